"""The proof of a log's propensities: the models that made it, asked again, give the same numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.evaluation.off_policy.estimate import EstimateWarning
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog, models_of
from rec_platform.evaluation.off_policy.logs.requests import LoggedRequests
from rec_platform.policies import samplers
from rec_platform.registry.bundle import Bundle

TOLERANCE = 1e-6
"""Scores are float32; the same network gives propensities that differ by less."""

MOST = 1_000
"""Decisions of a model that are asked again; drawn evenly over the log."""


@dataclass(frozen=True)
class Reproduction:
    """Attributes:
    checked: decisions asked again.
    unknown: decisions whose model is not registered here, or whose catalogue it does not have any more.
    largest: difference of a logged propensity and the one of now; NaN where none was checked.
    worst: the decision that it is of.
    """

    checked: int
    unknown: int
    largest: float
    worst: str | None

    @property
    def warnings(self) -> tuple[EstimateWarning, ...]:
        if not self.checked or self.largest <= TOLERANCE:
            return ()
        sentence = (
            f"of {self.checked:,} decisions asked again, the model gives '{self.worst}' a propensity that differs by "
            f"{self.largest:.3g} from the one logged"
        )
        return (EstimateWarning("propensities_not_reproduced", sentence),)


def reproduce(log: DecisionLog, *, most: int = MOST) -> Reproduction:
    """Ask the models of a log again; nothing is checked where the log does not say which made it, and how."""
    checked, unknown, largest, worst = 0, 0, 0.0, None
    if "sampler" not in log.table.column_names:
        return Reproduction(0, len(log.table), float("nan"), None)
    for (name, version), count in models_of(log.table).items():
        bundle = log.bundle(name, version)
        same = pc.and_(pc.equal(log.table["model_name"], name), pc.equal(log.table["model_version"], version))
        rows = log.table.filter(same)
        if bundle is None or not pc.all(pc.equal(rows["catalog_hash"], bundle.catalog.hash)).as_py():
            unknown += count
            continue
        rows = rows.take(pa.array(np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64))))
        checked += len(rows)
        for sampler in rows["sampler"].unique().to_pylist():
            alike = rows.filter(pc.equal(rows["sampler"], sampler))
            gap, decision = _largest(log, alike, bundle, sampler)
            if not gap <= largest:  # NaN is the largest of all
                largest, worst = gap, decision
    return Reproduction(checked, unknown, largest if checked else float("nan"), worst)


def _largest(log: DecisionLog, rows: pa.Table, bundle: Bundle, sampler: str) -> tuple[float, str | None]:
    """The largest difference in decisions of one sampler, and the decision."""
    drawn, largest, worst = samplers.build(json.loads(sampler)), 0.0, None
    sizes = pc.list_value_length(rows["slate"].combine_chunks())
    for size in pc.unique(sizes).to_pylist():
        alike = rows.filter(pc.equal(sizes, size))
        requests = LoggedRequests.of(log, alike, bundle)
        logged = np.array(alike["propensities"].to_pylist(), dtype=np.float64).reshape(len(alike), size)
        for start in range(0, len(alike), 512):
            chunk = np.arange(start, min(start + 512, len(alike)))
            observation, shown = requests.observation(chunk)
            again = drawn.propensity(bundle.policy.scorer.score(observation), observation, shown)
            gaps = np.abs(again - logged[chunk]).max(axis=1)
            row = int(np.argmax(gaps))  # argmax finds the first NaN
            if not gaps[row] <= largest:
                largest, worst = float(gaps[row]), alike["decision_id"][int(chunk[row])].as_py()
    return largest, worst
