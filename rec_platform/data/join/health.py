"""Whether a joined log is fit to be evaluated on: what was joined and what was not, propensities, and experiment arms.

The audit of propensities rests on one identity: where every one of M eligible items may be shown, the mean of 1 / p of
the item shown is M, whatever the policy is. So 1 / (p M) has mean 1, slot by slot, with M counting what earlier slots
left for ``plackett_luce_step`` and everything eligible for ``slot_marginal``. A mean well below 1 says that some items
are never shown or that propensities are too large, one above that they are too small. Its standard error is told
beside it: with small propensities it is large, and the audit says little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import chisquare

from rec_platform.data.join.tables import list_lengths
from rec_platform.errors import InputError, did_you_mean
from rec_platform.types import Float64


@dataclass(frozen=True)
class JoinCounts:
    """Of decisions and events of the whole input. Every event is in one of ``duplicates``, ``matched``, ``late``,
    ``too_early``, ``unknown_items``, ``orphans_without_id``, ``orphans_of_unknown_id`` and ``pending``.

    Attributes:
        decisions: as they came, ``duplicate_decisions`` of them with an id that stood before.
        rows: closed, in earlier runs or now; ``inactive_rows`` of them without rewards.
        open_rows: left for a later run.
        events: as they came, ``duplicates`` of them with an id that stood before.
        matched: joined to their row; ``early`` of them happened before the decision was logged.
        late: happened after their row closed, or (``late_arrivals``) arrived only after it was given out.
        too_early: happened before the backward window.
        unknown_items: about items that their slate does not show.
        orphans_without_id, orphans_of_unknown_id: history, but no evaluation.
        pending: their rows are open.
    """

    decisions: int = 0
    duplicate_decisions: int = 0
    rows: int = 0
    open_rows: int = 0
    inactive_rows: int = 0
    events: int = 0
    duplicates: int = 0
    matched: int = 0
    early: int = 0
    late: int = 0
    late_arrivals: int = 0
    too_early: int = 0
    unknown_items: int = 0
    orphans_without_id: int = 0
    orphans_of_unknown_id: int = 0
    pending: int = 0

    def rates(self) -> dict[str, float]:
        """Shares of the different events whose fate is known; duplicates of all events. NaN without any."""
        known = self.events - self.duplicates - self.pending
        orphans = self.orphans_without_id + self.orphans_of_unknown_id
        return {
            "match_rate": self.matched / known if known else np.nan,
            "late_rate": self.late / known if known else np.nan,
            "orphan_rate": orphans / known if known else np.nan,
            "duplicate_rate": self.duplicates / self.events if self.events else np.nan,
        }

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True)
class ArmHealth:
    """The arms of one experiment.

    Attributes:
        rows: closed rows, by arm.
        users: different users, by arm.
        users_in_several_arms: who should not be.
        p_value: chi-square test of the users' split against the arms' weights, NaN with fewer than two arms. Users are
            counted, for they are what is drawn; below 0.001 the split is broken and so is the experiment.
    """

    rows: dict[str, int]
    users: dict[str, int]
    users_in_several_arms: int
    p_value: float


@dataclass(frozen=True)
class JoinHealth:
    """Metrics of the closed rows of the input. NaN where there is nothing to measure.

    Attributes:
        match_rate, late_rate, orphan_rate, duplicate_rate: see `JoinCounts.rates`.
        propensity_min, propensity_p1: least and first percentile of the propensities of policies with chance.
        unknown_propensities: slots without one, or with one outside (0, 1].
        deterministic_share: rows whose policy left nothing to chance; importance weighting refuses them.
        mean_inverse_propensity: mean of 1 / p.
        audit: mean of 1 / (p M), about 1 where all is well; of rows whose number of candidates is known.
        audit_stderr: its standard error, taken over rows.
        arms: by experiment.
    """

    match_rate: float = np.nan
    late_rate: float = np.nan
    orphan_rate: float = np.nan
    duplicate_rate: float = np.nan
    propensity_min: float = np.nan
    propensity_p1: float = np.nan
    unknown_propensities: int = 0
    deterministic_share: float = np.nan
    mean_inverse_propensity: float = np.nan
    audit: float = np.nan
    audit_stderr: float = np.nan
    arms: dict[str, ArmHealth] | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: NaN becomes null."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


def health_columns(decisions: pa.Table) -> pa.Table:
    """The columns that health is measured by; ``num_candidates`` is how many items could be shown, null = unknown."""
    names = ("propensities", "propensity_kind", "user_id", "experiment_id", "experiment_arm")
    table = decisions.select([name for name in names if name in decisions.column_names])
    listed = pc.list_value_length(decisions["candidates"]).cast(pa.int64())
    if "num_candidates" in decisions.column_names:
        listed = pc.coalesce(decisions["num_candidates"].cast(pa.int64()), listed)
    return table.append_column("num_candidates", listed)


def propensity_health(rows: pa.Table) -> dict[str, Any]:
    """The fields of `JoinHealth` about propensities, of rows of `health_columns`."""
    if not len(rows):
        return {}
    lengths = list_lengths(rows["propensities"])
    values = pc.list_flatten(rows["propensities"]).to_numpy()
    deterministic = pc.equal(rows["propensity_kind"], "deterministic").to_numpy()
    with np.errstate(invalid="ignore"):
        sound = (values > 0) & (values <= 1)
    random = np.repeat(~deterministic, lengths)
    used = np.flatnonzero(random & sound)
    told: dict[str, Any] = {
        "unknown_propensities": int((random & ~sound).sum()),
        "deterministic_share": float(deterministic.mean()),
    }
    if not len(used):
        return told
    owner = np.repeat(np.arange(len(rows), dtype=np.int32), lengths)[used]
    values = values[used]
    slot = used - (np.cumsum(lengths) - lengths)[owner]
    taken = np.where(pc.equal(rows["propensity_kind"], "plackett_luce_step").to_numpy()[owner], slot, 0)
    left = rows["num_candidates"].cast(pa.float64()).to_numpy()[owner] - taken
    told |= {
        "propensity_min": float(values.min()),
        "propensity_p1": float(np.percentile(values, 1)),
        "mean_inverse_propensity": float((1.0 / values).mean()),
    }
    return told | _audit(1.0 / (values * np.where(left > 0, left, np.nan)), owner, len(rows))


def _audit(shares: Float64, rows: NDArray[np.int32], size: int) -> dict[str, float]:
    known = ~np.isnan(shares)
    counts = np.bincount(rows[known], minlength=size)
    means = np.bincount(rows[known], weights=shares[known], minlength=size)[counts > 0] / counts[counts > 0]
    if not len(means):
        return {}
    stderr = float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else np.nan
    return {"audit": float(means.mean()), "audit_stderr": stderr}


def sample_ratio(rows: pa.Table, weights: Mapping[str, Mapping[str, float]]) -> dict[str, ArmHealth] | None:
    """The arms of each experiment of the rows; None where they name none.

    Raises:
        InputError: weights that are not positive, or lack an arm that the rows have.
    """
    names = ("experiment_id", "experiment_arm")
    if not set(names) <= set(rows.column_names):
        return None
    table = rows.select([*names, "user_id"]).filter(pc.is_valid(rows["experiment_arm"]))
    table = table.set_column(0, "experiment_id", pc.fill_null(table["experiment_id"].cast(pa.string()), ""))
    table = table.set_column(1, "experiment_arm", table["experiment_arm"].cast(pa.string()))
    users = table.group_by([*names, "user_id"], use_threads=False).aggregate([([], "count_all")])
    out: dict[str, ArmHealth] = {}
    for experiment in sorted(pc.unique(users["experiment_id"]).to_pylist()):
        own = users.filter(pc.equal(users["experiment_id"], experiment))
        arms = own.group_by("experiment_arm", use_threads=False).aggregate([("count_all", "sum"), ("user_id", "count")])
        found = {arm["experiment_arm"]: arm for arm in arms.to_pylist()}
        counts = {arm: int(found[arm]["user_id_count"]) for arm in sorted(found)}
        out[experiment] = ArmHealth(
            rows={arm: int(found[arm]["count_all_sum"]) for arm in sorted(found)},
            users=counts,
            users_in_several_arms=int((pc.value_counts(own["user_id"]).field("counts").to_numpy() > 1).sum()),
            p_value=_p_value(counts, experiment, weights.get(experiment)),
        )
    return out or None


def _p_value(users: Mapping[str, int], experiment: str, weights: Mapping[str, float] | None) -> float:
    shares = dict.fromkeys(users, 1.0) if weights is None else dict(weights)
    missing = sorted(set(users) - set(shares))
    if missing or not all(share > 0 for share in shares.values()):
        problem = f"no weight above 0 for arm '{missing[0]}'" if missing else "a weight is not above 0"
        raise InputError(f"arm_weights.{experiment}", problem, did_you_mean(missing[0], shares) if missing else "")
    if len(shares) < 2:
        return float("nan")
    observed = np.array([users.get(arm, 0) for arm in shares], dtype=np.float64)
    expected = np.array(list(shares.values()))
    return float(chisquare(observed, expected / expected.sum() * observed.sum()).pvalue)


def _plain(value: Any) -> Any:
    if isinstance(value, ArmHealth):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value
