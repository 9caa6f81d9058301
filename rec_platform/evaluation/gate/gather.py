"""The evidence: what a log says of a candidate beside the champion, and what simulated users said of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import norm

from rec_platform.errors import InputError
from rec_platform.evaluation.gate.evidence import Compared, Evidence
from rec_platform.evaluation.gate.settings import GateSettings
from rec_platform.evaluation.off_policy.diagnostics import effective_sample_size
from rec_platform.evaluation.off_policy.difference import difference
from rec_platform.evaluation.off_policy.estimate import Estimate
from rec_platform.evaluation.off_policy.intervals import interval
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
from rec_platform.evaluation.off_policy.logs.reproduction import reproduce
from rec_platform.evaluation.off_policy.logs.segments import segments_of
from rec_platform.evaluation.off_policy.logs.shown_slates import ShownSlates
from rec_platform.evaluation.off_policy.slate import RewardInteractionIPS, SlateIPS
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback
from rec_platform.registry.bundle import Bundle
from rec_platform.registry.manifest import BundleManifest
from rec_platform.registry.registry import ModelVersion
from rec_platform.types import Bool, Float64

ESTIMATORS: dict[str, Callable[[SlateFeedback], Estimate]] = {
    "ips": SlateIPS().estimate,
    "snips": SlateIPS(self_normalised=True).estimate,
    "rips": RewardInteractionIPS().estimate,
    "rsnips": RewardInteractionIPS(self_normalised=True).estimate,
}

LESS_IS_BETTER = "-"
"""Before the name of a guardrail."""


def gather(
    candidate: ModelVersion,
    champion: ModelVersion | None,
    log: DecisionLog | None,
    settings: GateSettings,
    *,
    reward: str | None = None,
    labels: Sequence[str] | None = None,
    seed: int = 0,
) -> Evidence:
    """What is known of ``candidate``.

    Args:
        champion: what it would replace; None where there is nothing.
        log: decisions of any policy whose propensities are known; None where there is no log yet.
        reward: its channel, as for `ShownSlates.read`.
        labels: of requests, to make groups of beside those of `segments_of`.
        seed: of resamples.

    Raises:
        InputError: the log cannot be weighed, or one of the models cannot be asked what it would have done.
    """
    new = candidate.load()
    known = Evidence(
        model=candidate.name,
        candidate=candidate.version,
        champion=None if champion is None else champion.version,
        simulation=None if champion is None else simulated(new.manifest, champion.manifest, settings.confidence),
    )
    if log is None:
        return known
    slates = ShownSlates.read(log, reward)
    if slates.behaviour_steps is None:
        problem = "its propensities are marginals of slots, of which no slate's chance follows"
        raise InputError("--log", problem, "log the steps of slates: models with such samplers are judged by A/B tests")
    steps = (slates.of_model(new, new.policy), _steps_of(slates, None if champion is None else champion.load()))
    logged = (*slates.warnings, *reproduce(log).warnings)
    about = log.about | {"reward": reward or "default", "left_out": dict(slates.left_out)}
    own = ESTIMATORS[settings.estimator](slates.feedback(steps[0]))
    known = known.model_copy(
        update={
            "log": about,
            "estimator": settings.estimator,
            "warnings": {one.code: one.sentence for one in (*logged, *own.warnings)},
            "effective_sample_size": _effective(own),
        }
    )
    other = steps[1]
    if other is None:
        return known
    weighed = _Weighed(slates, steps[0], other, settings, seed)
    codes = {one.code: f"champion: {one.sentence}" for one in weighed.estimate(other).warnings}
    groups = segments_of(slates.table, log.dataset, labels)
    return known.model_copy(
        update={
            "warnings": codes | known.warnings,
            "value": weighed.compared(),
            "guardrails": {name: weighed.guardrail(name) for name in settings.guardrails},
            "segments": {
                name: weighed.compared(rows, comparisons=len(groups)) for name, rows in groups.items() if rows.any()
            },
        }
    )


def simulated(candidate: BundleManifest, champion: BundleManifest, confidence: float) -> Compared | None:
    """Session returns that both bundles report of the same simulated users; None where they are not the same.

    The users are the same, so errors are not independent: taking them for independent makes the interval too wide.
    """
    parts = []
    for manifest in (candidate, champion):
        found = manifest.metrics.get(manifest.policy.name)
        value = found.get("return") if isinstance(found, dict) else None
        if not isinstance(value, dict) or not isinstance(found, dict) or value.get("stderr") is None:
            return None
        parts.append((float(value["mean"]), float(value["stderr"]), int(found.get("users", 0))))
    told = [
        {name: manifest.experiment.get(name) for name in ("simulator", "data", "evaluation", "slate_size")}
        | {"dataset": manifest.dataset and manifest.dataset.hash}
        for manifest in (candidate, champion)
    ]
    if told[0] != told[1] or told[0]["simulator"] is None:
        return None
    (new, new_error, users), (old, old_error, _) = parts
    half = float(norm.ppf(0.5 + confidence / 2)) * float(np.hypot(new_error, old_error))
    gap = new - old
    lower, upper = gap - half, gap + half
    return Compared(candidate=new, champion=old, difference=gap, lower=lower, upper=upper, decisions=users)


class _Weighed:
    """Slates beside the steps [n, k] of two policies."""

    def __init__(self, slates: ShownSlates, new: Float64, old: Float64, settings: GateSettings, seed: int) -> None:
        self._slates, self._new, self._old, self._settings, self._seed = slates, new, old, settings, seed

    def estimate(self, steps: Float64, rows: Bool | None = None, rewards: Float64 | None = None) -> Estimate:
        """The value of one policy, of some of the slates and of another reward if given."""
        feedback = self._slates.feedback(steps, rewards=rewards, rows=rows)
        return ESTIMATORS[self._settings.estimator](feedback)

    def compared(
        self, rows: Bool | None = None, rewards: Float64 | None = None, *, comparisons: int = 1
    ) -> Compared | None:
        """Both policies; None where one of them is undefined there.

        Args:
            comparisons: how many such intervals are looked at, that all of them hold (Bonferroni).
        """
        new, old = self.estimate(self._new, rows, rewards), self.estimate(self._old, rows, rewards)
        confidence = 1 - (1 - self._settings.confidence) / comparisons
        if not np.isfinite([new.value, old.value]).all() or new.units < 2:
            return None
        found = interval(difference(new, old), "bootstrap_t", confidence, seed=self._seed)
        if not np.isfinite([found.lower, found.upper]).all():
            return None
        return Compared(
            candidate=new.value,
            champion=old.value,
            difference=found.value,
            lower=found.lower,
            upper=found.upper,
            decisions=len(new.terms),
        )

    def guardrail(self, name: str) -> Compared | None:
        channel, sign = name, 1.0
        if name.startswith(LESS_IS_BETTER):
            channel, sign = name[1:], -1.0
        return self.compared(rewards=sign * self._slates.channel(channel))


def _steps_of(slates: ShownSlates, bundle: Bundle | None) -> Float64 | None:
    return None if bundle is None else slates.of_model(bundle, bundle.policy)


def _effective(estimate: Estimate) -> float:
    return effective_sample_size(estimate.weights, estimate.groups)
