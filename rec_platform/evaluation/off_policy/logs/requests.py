"""The requests of logged decisions as a model sees them: as they were served, or rebuilt from the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.exposures import events_before
from rec_platform.data.histories import Histories
from rec_platform.data.request_context import REQUEST_CONTEXT, request_context
from rec_platform.data.users import UserEncoder
from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.estimate import Int64
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog, models_of
from rec_platform.registry.bundle import Bundle
from rec_platform.types import Float32, Int32, Observation

MOST_UNKNOWN = 0.5
"""Share of items shown that a model may not have; above it, it is a model of something else."""


@dataclass(frozen=True)
class LoggedRequests:
    """n requests in the layout of one model's observations; N items.

    Attributes:
        user_features: float32 [n, F].
        history: int32 [n, L].
        history_feedback: float32 [n, L].
        context: float32 [n, C].
        candidates: lists of catalogue indices; None for the whole catalogue.
        excluded: catalogue indices that could not be shown; None where that was not logged: then the history.
        shown: int32 [n, k] catalogue indices, -1 = the model does not have it.
        num_items: N.
    """

    user_features: Float32
    history: Int32
    history_feedback: Float32
    context: Float32
    candidates: Sequence[Int32 | None]
    excluded: Sequence[Int32 | None]
    shown: Int32
    num_items: int

    @staticmethod
    def of(log: DecisionLog, table: pa.Table, bundle: Bundle) -> LoggedRequests:
        """The requests of ``table``, rows of the log's, as ``bundle`` sees them.

        A history that was logged is taken; else it is what the log's dataset holds of the user strictly before the
        decision, by the model's own rule of what is positive. So with the context: columns that were not logged are
        counted (session_slates, session_response_rate), made from the moment (`REQUEST_CONTEXT`), or 0.

        Raises:
            InputError: most of what was shown is not in the model's catalogue, or it sees features of users that the
                log does not have.
        """
        contract, catalog = bundle.manifest.observation, bundle.catalog
        slates = table["slate"].to_pylist()
        shown = np.stack([catalog.index_of(slate) for slate in slates]).astype(np.int32)
        if (shown < 0).mean() > MOST_UNKNOWN:
            row, slot = np.argwhere(shown < 0)[0]
            problem = f"'{slates[row][slot]}', which was shown, is not in the catalogue of {bundle.manifest.name}"
            raise InputError("--target", problem, "evaluate a model of the same catalogue")
        history, feedback = _histories(log, table, bundle)
        lists = [None if names is None else catalog.index_of(names) for names in table["candidates"].to_pylist()]
        barred = table["excluded"].to_pylist() if "excluded" in table.column_names else [None] * len(table)
        return LoggedRequests(
            user_features=_user_features(log, table, bundle),
            history=history,
            history_feedback=feedback,
            context=_context(log, table, contract.context_names, contract.max_session_slates),
            candidates=lists,
            excluded=[None if names is None else catalog.index_of(names) for names in barred],
            shown=shown,
            num_items=len(catalog),
        )

    def observation(self, rows: Int64) -> tuple[Observation, Int32]:
        """Of some requests: the observation over the whole catalogue, and the positions [B, k] of what was shown.

        Those are -1 where the model does not have the item.
        """
        everything = np.arange(self.num_items, dtype=np.int32)
        available = np.ones((len(rows), self.num_items), dtype=np.bool_)
        for number, row in enumerate(rows):
            listed, barred = self.candidates[row], self.excluded[row]
            if listed is not None:
                available[number] = False
                available[number, listed[listed >= 0]] = True
            elif barred is None:
                barred = self.history[row]
            if barred is not None:
                available[number, barred[barred >= 0]] = False
        shown = self.shown[rows]
        known = np.nonzero(shown >= 0)
        available[known[0], shown[known]] = True
        return (
            Observation(
                user_features=self.user_features[rows],
                history=self.history[rows],
                history_feedback=self.history_feedback[rows],
                context=self.context[rows],
                candidates=np.where(available, everything, np.int32(-1)),
            ),
            shown,
        )


def _user_features(log: DecisionLog, table: pa.Table, bundle: Bundle) -> Float32:
    """Float32 [n, F]: as models with the same encoder saw and logged them, else from the dataset."""
    names, encoder = bundle.manifest.observation.user_feature_names, bundle.manifest.user_encoder or {}
    if not names:
        return np.zeros((len(table), 0), np.float32)
    deciding = [(pair, log.bundle(*pair)) for pair in models_of(table)]
    other = [pair for pair, model in deciding if model is None or (model.manifest.user_encoder or {}) != encoder]
    if deciding and not other and "user_features" in table.column_names:
        return np.array(table["user_features"].to_pylist(), dtype=np.float32).reshape(len(table), len(names))
    if log.dataset is None:
        whom = f"{' '.join(other[0])}, which decided," if other else "the models that decided"
        problem = f"{bundle.manifest.name} sees features of users that {whom} did not log"
        raise InputError("--target", problem, "give the users: --users DATASET")
    return log.dataset.user_features(table["user_id"].to_pylist(), UserEncoder.from_dict(encoder))


def _histories(log: DecisionLog, table: pa.Table, bundle: Bundle) -> tuple[Int32, Float32]:
    """History int32 [n, L] and feedback float32 [n, L]."""
    length, catalog = bundle.manifest.observation.history_length, bundle.catalog
    history = np.full((len(table), length), -1, dtype=np.int32)
    feedback = np.zeros((len(table), length), dtype=np.float32)
    if not length:
        return history, feedback
    if log.dataset is not None:
        past = Histories.build(log.dataset, catalog, bundle.feedback_rule)
        users = pc.fill_null(pc.index_in(table["user_id"], value_set=pa.array(past.user_ids, pa.string())), -1)
        user = users.to_numpy(zero_copy_only=False).astype(np.int64)
        known = np.flatnonzero(user >= 0)
        times = table["timestamp"].cast(pa.int64()).to_numpy()
        order = known[np.lexsort((times[known], user[known]))]
        ends = events_before(past, user[order], times[order])
        history[order], feedback[order] = past.window(user[order], ends, length)
    served = table["history"].to_pylist()
    answers = table["history_feedback"].to_pylist()
    for row, names in enumerate(served):
        if names is not None:
            history[row], feedback[row] = -1, 0.0
            kept = names[-length:]
            if kept:
                history[row, -len(kept) :] = catalog.index_of(kept)
                feedback[row, -len(kept) :] = (answers[row] or [1.0] * len(names))[-length:]
    return history, feedback


def _context(log: DecisionLog, table: pa.Table, names: Sequence[str], longest: int) -> Float32:
    """Float32 [n, C]."""
    logged: list[dict[str, float]] = [dict(entries or ()) for entries in table["context"].to_pylist()]
    so_far = _sessions_so_far(log.table, longest) if set(names) & {"session_slates", "session_response_rate"} else {}
    session = np.array([so_far.get(name, (0.0, 0.0)) for name in table["decision_id"].to_pylist()]).reshape(-1, 2)
    times = table["timestamp"].cast(pa.int64()).to_numpy()
    users: list[Any] = table["user_id"].to_pylist()
    columns = np.zeros((len(table), len(names)), dtype=np.float32)
    for column, name in enumerate(names):
        values = np.zeros(len(table))
        if name in ("session_slates", "session_response_rate"):
            values = session[:, int(name == "session_response_rate")]
        elif name in REQUEST_CONTEXT:
            values = request_context([name], times, users)[:, 0].astype(np.float64)
        columns[:, column] = [entry.get(name, value) for entry, value in zip(logged, values, strict=True)]
    return columns


def _sessions_so_far(table: pa.Table, longest: int) -> dict[str, tuple[float, float]]:
    """By decision: slates of its session before it over ``longest``, and the share of them that was answered."""
    answered = pc.fill_null(table["chosen"], -1).to_numpy(zero_copy_only=False) >= 0
    order = np.argsort(table["timestamp"].cast(pa.int64()).to_numpy(), kind="stable")
    names, users, sessions = (table[name].to_pylist() for name in ("decision_id", "user_id", "session_id"))
    seen: dict[tuple[str, str], tuple[int, int]] = {}
    found = {}
    for row in order:
        if sessions[row] is None:
            continue
        count, clicks = seen.get((users[row], sessions[row]), (0, 0))
        found[names[row]] = min(count / longest, 1.0), clicks / count if count else 0.0
        seen[users[row], sessions[row]] = count + 1, clicks + int(answered[row])
    return found
