"""From a request and the event store to what the policy sees: the same `Observation` as in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic_core import to_json
from sqlalchemy import Connection

from rec_platform.data.request_context import REQUEST_CONTEXT, request_context
from rec_platform.registry import Bundle
from rec_platform.serving.api_models import RecommendationRequest
from rec_platform.serving.problems import Problem
from rec_platform.serving.store import EventStore, SessionSoFar, now_us
from rec_platform.serving.user_cache import KnownUser, UserCache
from rec_platform.types import Float32, Int32, Observation

UNKNOWN_ITEMS_ALLOWANCE = 4
"""So many times L events are read, since those of items that are not in the catalogue leave no trace."""

SESSION_CONTEXT = ("session_slates", "session_response_rate")

MOST_SESSIONS = 32
"""Of one user kept in memory."""

NOTHING = np.zeros(0, dtype=np.int32)
EMPTY = np.zeros(0, dtype=np.float32)

EncodeUser = Callable[[str | None], Float32]
"""From a user's JSON object (None = unknown user) to float32 [F]."""


@dataclass(frozen=True, slots=True)
class Situation:
    """One request, resolved: a row of an `Observation` and what the log wants to know beside it.

    Attributes:
        user_features: float32 [F].
        history: int32 [L], -1 = padding at the left.
        history_feedback: float32 [L].
        context: float32 [C].
        listed: the caller's candidates as catalogue indices, distinct; None for the whole catalogue.
        excluded: catalogue indices that could have been candidates and were not available, sorted.
        available: how many candidates may be shown.
        missing: ids of the request that are not in the catalogue.
        session: what the session has seen before.
    """

    user_features: Float32
    history: Int32
    history_feedback: Float32
    context: Float32
    listed: Int32 | None
    excluded: Int32
    available: int
    missing: tuple[str, ...]
    session: SessionSoFar


class SituationReader:
    """Resolves requests for one model. For one thread.

    Args:
        bundle: says what the policy was trained to see.
        store: knows the users.
        encode_user: None where the model has no user features.
    """

    def __init__(self, bundle: Bundle, store: EventStore, encode_user: EncodeUser | None) -> None:
        self._catalog = bundle.catalog
        self._contract = bundle.manifest.observation
        self._rule = bundle.feedback_rule
        self._store = store
        self._encode_user = encode_user
        self._request_names = [name for name in self._contract.context_names if name in REQUEST_CONTEXT]
        self._counted = bool(set(self._contract.context_names) & set(SESSION_CONTEXT))
        self.users = UserCache()

    def read(
        self, requests: Sequence[RecommendationRequest], sessions: Sequence[SessionSoFar | None] | None = None
    ) -> list[Situation | Problem]:
        """Situations of requests, in order; a `Problem` where one cannot be answered.

        Args:
            sessions: what they had seen, where that is known already.
        """
        results: list[Situation | Problem] = []
        known = [None] * len(requests) if sessions is None else sessions
        with _Reads(self._store) as reads:
            for request, session in zip(requests, known, strict=True):
                try:
                    results.append(self._situation(reads, request, session))
                except Problem as problem:
                    results.append(problem)
        return results

    def unknown_user(self) -> Situation:
        """The situation of a user without history, for a trial of a model."""
        context = np.zeros(len(self._contract.context_names), np.float32)
        features, (history, feedback) = self._user_features(None), self._padded([])
        return Situation(features, history, feedback, context, None, NOTHING, len(self._catalog), (), SessionSoFar())

    def _situation(
        self, reads: _Reads, request: RecommendationRequest, session: SessionSoFar | None = None
    ) -> Situation:
        user = self.users.get(request.user_id)
        if user is None:
            user = self._known_user(reads, request.user_id)
            self.users.put(request.user_id, user)
        if session is None:
            session = SessionSoFar()
            if request.session_id is not None:
                session = self._session(reads, user, request.user_id, request.session_id)
        missing: dict[str, None] = {}
        barred = user.met
        if request.exclude_seen is not None:
            seen = self._store.seen_items(reads.connection, request.user_id) if request.exclude_seen else ()
            barred = _distinct(self._catalog.index_of(seen)) if seen else NOTHING
        if request.exclude_items:
            barred = _distinct(np.concatenate([barred, self._known(request.exclude_items, missing)]))
        listed, available = None, len(self._catalog)
        if request.candidates is not None:
            listed = self._known(request.candidates, missing)
            barred, available = np.intersect1d(barred, listed).astype(np.int32), len(listed)
        available -= len(barred)
        if request.ranks and available == 0:
            raise _none_known(list(missing))
        if request.limit > available:
            raise _too_few(request.limit, available, list(missing))
        return Situation(
            user.user_features,
            user.history,
            user.history_feedback,
            self._context(request, session),
            listed,
            barred,
            available,
            tuple(missing),
            session,
        )

    def _known_user(self, reads: _Reads, user_id: str) -> KnownUser:
        body = None
        if self._encode_user is not None:
            body = self._store.user_bodies(reads.connection, [user_id]).get(user_id)
        history, feedback = self._history(reads, user_id)
        return KnownUser(self._user_features(body), history, feedback, _distinct(history))

    def _session(self, reads: _Reads, user: KnownUser, user_id: str, session_id: str) -> SessionSoFar:
        session = user.sessions.get(session_id)
        if session is None:
            session = self._store.session(reads.connection, user_id, session_id, self._rule)
            if len(user.sessions) >= MOST_SESSIONS:
                user.sessions.clear()
            user.sessions[session_id] = session
        return session

    def decided(self, request: RecommendationRequest, decision_id: str) -> None:
        """A decision of this replica counts in its session at once, before it is in the store."""
        user = self.users.peek(request.user_id)
        if user is None or request.session_id is None:
            return
        before = user.sessions.get(request.session_id, SessionSoFar())
        user.sessions[request.session_id] = SessionSoFar(before.slates + 1, before.positives, decision_id)

    def _history(self, reads: _Reads, user_id: str) -> tuple[Int32, Float32]:
        length = self._contract.history_length
        if length == 0:
            return self._padded([])
        allowance = UNKNOWN_ITEMS_ALLOWANCE * length
        known = self._store.history(reads.connection, user_id, self._catalog, self._rule, allowance)
        return self._padded(known[-length:])

    def _padded(self, known: list[tuple[int, float]]) -> tuple[Int32, Float32]:
        length = self._contract.history_length
        history = np.full(length, -1, dtype=np.int32)
        feedback = np.zeros(length, dtype=np.float32)
        if known:
            history[-len(known) :] = [index for index, _ in known]
            feedback[-len(known) :] = [value for _, value in known]
        return history, feedback

    def _context(self, request: RecommendationRequest, session: SessionSoFar) -> Float32:
        """The model's context features: those of the session are counted here, the others are the caller's."""
        if not self._contract.context_names:
            return EMPTY
        values: dict[str, float] = {**self._of_request(request), **request.context}
        if self._counted:
            values["session_slates"] = min(session.slates / self._contract.max_session_slates, 1.0)
            share = session.positives / session.slates if session.slates else 0.0
            values["session_response_rate"] = min(share, 1.0)
        return np.array([values.get(name, 0.0) for name in self._contract.context_names], dtype=np.float32)

    def _of_request(self, request: RecommendationRequest) -> dict[str, float]:
        """The columns that say when, and by whom, it is made."""
        if not self._request_names:
            return {}
        row = request_context(self._request_names, np.array([now_us()]), [request.user_id])[0]
        return dict(zip(self._request_names, map(float, row), strict=True))

    def _user_features(self, body: str | None) -> Float32:
        if self._encode_user is None:
            return np.zeros(len(self._contract.user_feature_names), dtype=np.float32)
        return self._encode_user(body)

    def _known(self, item_ids: Sequence[str], missing: dict[str, None]) -> Int32:
        """Catalogue indices of distinct ids; ids that are not in the catalogue are added to ``missing``."""
        ids = list(dict.fromkeys(item_ids))
        indices = self._catalog.index_of(ids)
        missing.update((item_id, None) for item_id, index in zip(ids, indices, strict=True) if index < 0)
        return indices[indices >= 0]


class _Reads:
    """A connection that is taken when the first row must be read: most batches need none."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._connection: Connection | None = None

    def __enter__(self) -> _Reads:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    @property
    def connection(self) -> Connection:
        if self._connection is None:
            self._connection = self._store.connect()
        return self._connection


def _distinct(indices: Int32) -> Int32:
    """Sorted, without -1 and repetitions."""
    return np.unique(indices[indices >= 0])


def _too_few(limit: int, available: int, missing: Sequence[str]) -> Problem:
    message = f"{limit} is larger than the {available} available candidates"
    fix = "ask for fewer items, give more candidates or exclude fewer"
    unknown = f"; {len(missing)} ids are not in the catalogue: {', '.join(missing[:5])}" if missing else ""
    error = {"loc": ["limit"], "msg": message, "type": "too_few_candidates"}
    return Problem("validation", f"limit: {message} ({fix}){unknown}", errors=[error])


def _none_known(missing: Sequence[str]) -> Problem:
    message = "none of them is in the model's catalogue"
    error = {"loc": ["candidates"], "msg": message, "type": "too_few_candidates"}
    return Problem("validation", f"candidates: {message}: {', '.join(missing[:5])}", errors=[error])


def stack(situations: Sequence[Situation], num_items: int, *, full_catalogue: bool) -> Observation:
    """Situations with equally many candidates as one observation.

    Args:
        num_items: N of the catalogue.
        full_catalogue: candidate j must be catalogue index j: whatever the caller did not list is not available.
    """
    rows = np.arange(len(situations))
    first = situations[0].listed
    if first is None or full_catalogue:
        candidates = np.tile(np.arange(num_items, dtype=np.int32), (len(rows), 1))
        for row, situation in enumerate(situations):
            if situation.listed is not None:
                candidates[row] = -1
                candidates[row, situation.listed] = situation.listed
            candidates[row, situation.excluded] = -1
    else:
        candidates = np.stack([s.listed for s in situations if s.listed is not None])
        for row, situation in enumerate(situations):
            candidates[row, np.isin(candidates[row], situation.excluded)] = -1
    return Observation(
        user_features=np.stack([s.user_features for s in situations]),
        history=np.stack([s.history for s in situations]),
        history_feedback=np.stack([s.history_feedback for s in situations]),
        context=np.stack([s.context for s in situations]),
        candidates=candidates,
    )


def dumps(value: object) -> str:
    """Compact JSON; floats keep every digit."""
    return to_json(value, inf_nan_mode="constants").decode()
