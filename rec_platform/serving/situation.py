"""From a request and the event store to what the policy sees: the same `Observation` as in training."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from rec_platform.data.request_context import REQUEST_CONTEXT, request_context
from rec_platform.registry import Bundle
from rec_platform.serving.api_models import RecommendationRequest
from rec_platform.serving.problems import Problem
from rec_platform.serving.store import EventStore, SessionSoFar, now_us
from rec_platform.types import Float32, Int32, Observation

UNKNOWN_ITEMS_ALLOWANCE = 4
"""So many times L events are read, since those of items that are not in the catalogue leave no trace."""

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
        candidates: int32 [M], -1 = not available.
        listed: the caller's candidates as catalogue indices; None for the whole catalogue.
        excluded: catalogue indices that could have been candidates and were not available.
        missing: ids of the request that are not in the catalogue.
        session: what the session has seen before.
    """

    user_features: Float32
    history: Int32
    history_feedback: Float32
    context: Float32
    candidates: Int32
    listed: Int32 | None
    excluded: Int32
    missing: tuple[str, ...]
    session: SessionSoFar

    @property
    def available(self) -> int:
        """How many candidates may be shown."""
        return int((self.candidates >= 0).sum())


class SituationReader:
    """Resolves requests for one model.

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
        self._everything = np.arange(len(bundle.catalog), dtype=np.int32)

    def read(self, requests: Sequence[RecommendationRequest]) -> list[Situation | Problem]:
        """Situations of requests, in order; a `Problem` where one cannot be answered."""
        results: list[Situation | Problem] = []
        with self._store.connect() as connection:
            users = {}
            if self._encode_user is not None:
                users = self._store.user_bodies(connection, sorted({request.user_id for request in requests}))
            for request in requests:
                try:
                    results.append(self._situation(connection, request, users.get(request.user_id)))
                except Problem as problem:
                    results.append(problem)
        return results

    def unknown_user(self) -> Situation:
        """The situation of a user without history, for a trial of a model."""
        return Situation(
            self._user_features(None),
            *self._padded([]),
            np.zeros(len(self._contract.context_names), np.float32),
            self._everything,
            None,
            np.zeros(0, np.int32),
            (),
            SessionSoFar(),
        )

    def _situation(self, connection: Connection, request: RecommendationRequest, user: str | None) -> Situation:
        history, feedback = self._history(connection, request.user_id)
        session = SessionSoFar()
        if request.session_id is not None:
            session = self._store.session(connection, request.user_id, request.session_id, self._rule)
        excluded = np.zeros(len(self._everything), dtype=bool)
        if request.exclude_seen is None:
            excluded[history[history >= 0]] = True
        elif request.exclude_seen:
            seen = self._catalog.index_of(self._store.seen_items(connection, request.user_id))
            excluded[seen[seen >= 0]] = True
        missing: dict[str, None] = {}
        excluded[self._known(request.exclude_items, missing)] = True
        listed = None
        if request.candidates is not None:
            listed = self._known(request.candidates, missing)
        candidates, unavailable = self._candidates(listed, excluded)
        situation = Situation(
            self._user_features(user),
            history,
            feedback,
            self._context(request, session),
            candidates,
            listed,
            unavailable,
            tuple(missing),
            session,
        )
        if request.limit > situation.available:
            message = f"{request.limit} is larger than the {situation.available} available candidates"
            fix = "ask for fewer items, give more candidates or exclude fewer"
            unknown = (
                f"; {len(missing)} ids are not in the catalogue: {', '.join(list(missing)[:5])}" if missing else ""
            )
            error = {"loc": ["limit"], "msg": message, "type": "too_few_candidates"}
            raise Problem("validation", f"limit: {message} ({fix}){unknown}", errors=[error])
        return situation

    def _candidates(self, listed: Int32 | None, excluded: np.ndarray) -> tuple[Int32, Int32]:
        """(candidates [M], what of them is not available)."""
        if listed is None:
            return np.where(excluded, np.int32(-1), self._everything), np.flatnonzero(excluded).astype(np.int32)
        unavailable = listed[excluded[listed]]
        shown = np.where(excluded[listed], np.int32(-1), listed)
        if not self._contract.full_catalogue:
            return shown, unavailable
        # Candidate j must be catalogue index j: whatever the caller did not list is not available.
        candidates = np.full(len(self._everything), -1, dtype=np.int32)
        candidates[shown[shown >= 0]] = shown[shown >= 0]
        return candidates, unavailable

    def _history(self, connection: Connection, user_id: str) -> tuple[Int32, Float32]:
        length = self._contract.history_length
        if length == 0:
            return self._padded([])
        allowance = UNKNOWN_ITEMS_ALLOWANCE * length
        known = self._store.history(connection, user_id, self._catalog, self._rule, allowance)
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
        values: dict[str, float] = {
            **self._of_request(request),
            **request.context,
            "session_slates": min(session.slates / self._contract.max_session_slates, 1.0),
            "session_response_rate": min(session.positives / session.slates, 1.0) if session.slates else 0.0,
        }
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


def stack(situations: Sequence[Situation]) -> Observation:
    """Situations with equally many candidates as one observation."""
    return Observation(
        user_features=np.stack([s.user_features for s in situations]),
        history=np.stack([s.history for s in situations]),
        history_feedback=np.stack([s.history_feedback for s in situations]),
        context=np.stack([s.context for s in situations]),
        candidates=np.stack([s.candidates for s in situations]),
    )


def dumps(value: object) -> str:
    """Compact JSON; floats keep every digit."""
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(separators=(",", ":"))
