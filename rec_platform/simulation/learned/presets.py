"""Published protocols as settings of the learned simulator.

``kuaisim``           whole-session task of KuaiSim (Zhao et al. 2023): six items a slate, each answered on its own with
                      probability sigmoid(x) less 0.2 times its correlation with the slate; temper 20; reward the mean
                      answer of the slate. Unlike the published code, which applies the sigmoid twice so that no
                      probability is under one half, ours are those of the fitted model.
``kuaisim_sessions``  its cross-session task: five slates a session, six sessions a user, and what counts is how soon he
                      comes back: the return is minus the days away, in units of ten.
``easyrl4rec``        EasyRL4Rec and KuaiRec (Yu et al. 2024; Gao et al. 2023): one item a step, at most 30, and a user
                      who meets a category more than once among his last nine leaves.
"""

from __future__ import annotations

from typing import Any

KUAISIM_CORRELATION = 0.2 / 64
"""The published 0.2, with vectors of width 64 whose product is divided by the width once more than a cosine."""

PRESETS: dict[str, dict[str, Any]] = {
    "kuaisim": {
        "slate_size": 6,
        "choice": "each",
        "correlation_penalty": KUAISIM_CORRELATION,
        "leave": {"kind": "temper"},
        "reward": {"consume": 1.0 / 6.0},
    },
    "kuaisim_sessions": {
        "slate_size": 6,
        "choice": "each",
        "correlation_penalty": KUAISIM_CORRELATION,
        "leave": {"kind": "temper", "max_slates": 5},
        "sessions": {"per_user": 6, "longest": 10, "absence_penalty": 1.0},
        "reward": {"consume": 0.0},
    },
    "easyrl4rec": {
        "slate_size": 1,
        "leave": {"kind": "repetition", "recent": 9, "most": 1, "max_slates": 30},
    },
}
