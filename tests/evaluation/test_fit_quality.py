"""What is said of a fit: rows, remarks, sections."""

from __future__ import annotations

from typing import Any

from rec_platform.evaluation.fit_quality import fit_remarks, fit_rows, fit_section

METRICS = {"auc": 0.81, "log_loss": 0.53, "calibration_error": 0.0123, "examples": 20381}

FIT: dict[str, Any] = {
    "train": {
        "holdout": METRICS,
        "item_and_user": {**METRICS, "auc": 0.7871},
        "random_items": None,
        "segments": {"few user events": {**METRICS, "auc": 0.7}},
        "channels": {"purchase": {**METRICS, "auc": 0.66}},
        "curve": {"predicted": [0.1, 0.9], "observed": [0.2, 0.8], "examples": [5, 5]},
        "notes": ["<no> negatives"],
        "leave": {"sessions": 12000, "mean_steps": 10.35, "holdout": {"auc": 0.853}},
        "choice": {"decisions": 50000, "log_loss": 1.4678, "shares_log_loss": 1.5653},
    },
    "selection_bias": {"naive_mean": 2.6115, "weighted_mean": 2.3308, "random_mean": 2.2289},
}


def test_rows() -> None:
    assert fit_rows(FIT) == [
        ("train: response model", "0.81", "0.53", "0.0123", "20,381"),
        ("train: item mean and user residual", "0.7871", "0.53", "0.0123", "20,381"),
    ]


def test_remarks() -> None:
    notes, leave, choice, bias = fit_remarks(FIT)
    assert notes == "train: <no> negatives"
    assert "12,000 sessions of 10.3 steps; AUC 0.853" in leave
    assert "50,000 decisions; log-loss 1.468 against 1.565" in choice
    assert bias == "mean rating of the log 2.611, weighted by propensity 2.331, of randomly drawn items 2.229"
    assert fit_remarks({"train": {"holdout": METRICS}}) == []


def test_a_model_that_learned_nothing_is_said_so() -> None:
    poor = {"holdout": {**METRICS, "auc": 0.64}, "item_and_user": {**METRICS, "auc": 0.68}, "notes": ["short"]}
    same, *poor_ones = fit_remarks({"train": poor, "evaluation": poor})
    assert same == "train, evaluation: short"
    assert [remark.split(":")[0] for remark in poor_ones] == ["train", "evaluation"]
    assert "(AUC 0.640) is no better than item means and user residuals (0.680)" in poor_ones[0]


def test_section() -> None:
    text = "".join(fit_section(FIT))
    assert "purchase, given consumption" in text
    assert "train: few user events" in text
    assert "&lt;no&gt; negatives" in text
    assert text.count("<svg") == 1
    assert "<svg" not in "".join(fit_section({"train": {"holdout": METRICS}}))
