"""Decides: scores of many requests at once, then one seeded draw a request. Plain Python, no Ray."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from rec_platform.data.users import UserEncoder
from rec_platform.errors import InputError
from rec_platform.policies.policy import Policy
from rec_platform.registry import Bundle
from rec_platform.serving.api_models import MAX_LIMIT, RecommendationRequest
from rec_platform.serving.draws import draw_slates
from rec_platform.serving.pending_decisions import LoggedDecision
from rec_platform.serving.problems import Problem, from_input_error
from rec_platform.serving.schema import SHOWN
from rec_platform.serving.situation import EncodeUser, Situation, SituationReader, dumps, stack
from rec_platform.serving.store import EventStore, SessionSoFar, now_us
from rec_platform.serving.user_cache import UserCache
from rec_platform.types import Float32


@dataclass(frozen=True, slots=True)
class Standing:
    """In what part a model decides.

    Attributes:
        mode: ``online`` if its slate is shown; else it is only logged what the model would have done.
        experiment_id, arm: where the user is in a test.
        degraded: why it is not the model whose turn it was: ``reason`` and ``served_by``.
        session: what the session had seen when somebody else decided; None reads it.
    """

    mode: str = SHOWN
    experiment_id: str | None = None
    arm: str | None = None
    degraded: Mapping[str, str] | None = None
    session: SessionSoFar | None = None


ALONE = Standing()


@dataclass(frozen=True)
class Ask:
    """A request with its identity.

    Attributes:
        request: as it was validated.
        recommendation_id: seeds the draw: the same id, model and situation give the same slate.
        standing: of whoever decides it.
    """

    request: RecommendationRequest
    recommendation_id: str
    standing: Standing = ALONE

    @staticmethod
    def of(request: RecommendationRequest, recommendation_id: str | None = None) -> Ask:
        """An ask under the given id, else the request's own, else a new one."""
        return Ask(request, recommendation_id or request.recommendation_id or new_id())

    @cached_property
    def request_hash(self) -> str:
        """Of the request's content, to tell a repetition from another request under the same id."""
        request = self.request
        if len(request.context) > 1 or len(request.labels) > 1:  # in whichever order the caller named them
            named = {"context": dict(sorted(request.context.items())), "labels": dict(sorted(request.labels.items()))}
            request = request.model_copy(update=named)
        added = None if request.defer_activation else {"defer_activation"}  # hashes of before there was that field hold
        text = request.model_dump_json(exclude=added)
        return hashlib.sha256(f"{'rank ' if request.ranks else ''}{text}".encode()).hexdigest()


class Made(NamedTuple):
    """What a decision was made of.

    Attributes:
        created: microseconds since 1970.
        items: catalogue indices [k].
        scores, propensities: of the items.
    """

    ask: Ask
    situation: Situation
    policy: Policy
    created: int
    items: list[int]
    scores: list[float]
    propensities: list[float]


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision, ready to be logged and sent.

    Attributes:
        logged: makes the row of the decision log; where it is written, not where users wait.
        response: the JSON text of the answer; also in the row.
        session: what it had seen before.
        made: what it was made of, for who counts.
        by: who decided.
        degraded: why it is a fallback; None if it is none.
    """

    logged: LoggedDecision
    response: str
    session: SessionSoFar
    made: Made
    by: DecisionService
    degraded: str | None = None


class DecisionService:
    """One model, answering requests from what the store knows. For one thread.

    Args:
        bundle: the model.
        store: read for history, session and user; never written here.
        version: as told in answers.
        alias: the alias it was found by, if it was.

    Raises:
        InputError: the model does not give finite scores of the right shape for a user without history.
    """

    def __init__(self, bundle: Bundle, store: EventStore, *, version: str, alias: str | None = None) -> None:
        self.bundle = bundle
        self.version = version
        self.alias = alias
        self._reader = SituationReader(bundle, store, user_encoder(bundle))
        self._samplers = {True: dumps(bundle.policy.sampler.spec()), False: dumps(bundle.greedy_policy.sampler.spec())}
        self._ids = [dumps(item_id) for item_id in bundle.catalog.item_ids]
        self._whole = bundle.manifest.observation.full_catalogue
        self._try_out()

    @property
    def users(self) -> UserCache:
        """Whom it has in memory."""
        return self._reader.users

    @property
    def name(self) -> str:
        """``NAME@VERSION``."""
        return f"{self.bundle.manifest.name}@{self.version}"

    def forget(self, user_ids: Iterable[str]) -> None:
        """What is known of these users is old."""
        self._reader.users.forget(user_ids)

    def decide(self, asks: Sequence[Ask]) -> list[Answer | Problem]:
        """One answer, or the reason why there is none, for each ask, in order."""
        found = self._reader.read([ask.request for ask in asks], [ask.standing.session for ask in asks])
        results: list[Answer | Problem | None] = [f if isinstance(f, Problem) else None for f in found]
        alike: dict[tuple[int | None, int, bool], list[tuple[int, Situation]]] = defaultdict(list)
        for number, situation in enumerate(found):
            if isinstance(situation, Situation):
                listed = None if situation.listed is None else -1 if self._whole else len(situation.listed)
                request = asks[number].request
                limit = min(situation.available, MAX_LIMIT) if request.ranks else request.limit
                alike[listed, limit, request.explore].append((number, situation))
        for (_, limit, explore), group in alike.items():
            numbers, situations = [number for number, _ in group], [situation for _, situation in group]
            answers = self._answers([asks[number] for number in numbers], situations, limit, explore)
            for number, answer in zip(numbers, answers, strict=True):
                results[number] = answer
        return [result for result in results if result is not None]

    def _answers(
        self, asks: Sequence[Ask], situations: Sequence[Situation], limit: int, explore: bool
    ) -> list[Answer | Problem]:
        """Of requests with equally many candidates and slots."""
        policy = self.bundle.policy if explore else self.bundle.greedy_policy
        observation = stack(situations, len(self.bundle.catalog), full_catalogue=self._whole)
        scores = policy.scorer.score(observation)
        try:
            excluded = [situation.excluded for situation in situations] if situations[0].listed is None else None
            ids = [ask.recommendation_id for ask in asks]
            drawn = draw_slates(policy.sampler, scores, observation, limit, ids, excluded)
        except InputError as error:
            return [from_input_error(error)] * len(asks)
        positions, propensities = drawn
        items = np.take_along_axis(observation.candidates, positions, axis=1)
        values = np.take_along_axis(scores.values, positions, axis=1).astype(np.float64)
        answers: list[Answer | Problem] = []
        for row, (ask, situation) in enumerate(zip(asks, situations, strict=True)):
            if not np.isfinite(propensities[row]).all():
                answers.append(Problem("internal", "the model gave a propensity that is not a number"))
                continue
            answers.append(
                self._answer(
                    ask, situation, policy, items[row].tolist(), values[row].tolist(), propensities[row].tolist()
                )
            )
        return answers

    def _answer(
        self,
        ask: Ask,
        situation: Situation,
        policy: Policy,
        items: list[int],
        scores: list[float],
        propensities: list[float],
    ) -> Answer:
        request, manifest, created, standing = ask.request, self.bundle.manifest, now_us(), ask.standing
        ids = self.bundle.catalog.item_ids
        slots: list[dict[str, Any]] = [
            {"item_id": ids[item], "rank": rank, "score": score, "propensity": chance, "source": "policy"}
            for rank, (item, score, chance) in enumerate(zip(items, scores, propensities, strict=True), start=1)
        ]
        if request.ranks and situation.listed is not None:
            places = {item: place for place, item in enumerate(situation.listed.tolist(), start=1)}
            for slot, item in zip(slots, items, strict=True):
                slot["baseline_rank"] = places[item]
        response = dumps(
            {
                "recommendation_id": ask.recommendation_id,
                "episode_id": request.session_id or ask.recommendation_id,
                "previous_recommendation_id": situation.session.last_decision_id,
                "created_at": rfc3339(created),
                "model": {"name": manifest.name, "version": self.version, "alias": self.alias, "policy": policy.name},
                "experiment": standing.experiment_id and {"id": standing.experiment_id, "arm": standing.arm},
                "mode": "validate_only" if request.validate_only else standing.mode,
                "degraded": standing.degraded,
                "items": slots,
                "propensity_kind": policy.sampler.propensity_kind,
                "filtered": len(situation.excluded),
                "missing_ids": situation.missing,
            }
        )
        shown = standing.mode == SHOWN
        if shown and not request.validate_only:
            self._reader.decided(request, ask.recommendation_id)
        made = Made(ask, situation, policy, created, items, scores, propensities)
        logged = LoggedDecision(
            ask.recommendation_id,
            request.user_id,
            request.session_id,
            created,
            lambda: self._row(*made) | {"response": response},
            shown=shown,
        )
        degraded = None if standing.degraded is None else str(standing.degraded["reason"])
        return Answer(logged, response, situation.session, made, self, degraded)

    def _row(
        self,
        ask: Ask,
        situation: Situation,
        policy: Policy,
        created: int,
        items: list[int],
        scores: list[float],
        propensities: list[float],
    ) -> dict[str, Any]:
        request = ask.request
        visible = situation.history >= 0
        names = self.bundle.manifest.observation.context_names
        served = dict(zip(names, map(float, situation.context), strict=True))
        return {
            "decision_id": ask.recommendation_id,
            "user_id": request.user_id,
            "session_id": request.session_id,
            "placement": request.placement,
            "created_at": created,
            "previous_decision_id": situation.session.last_decision_id,
            "model_name": self.bundle.manifest.name,
            "model_version": self.version,
            "model_alias": self.alias,
            "policy": policy.name,
            "sampler": self._samplers[request.explore],
            "catalog_hash": self.bundle.catalog.hash,
            "candidates": None if situation.listed is None else self._id_list(situation.listed),
            "excluded": self._id_list(situation.excluded),
            "items": self._id_list(items),
            "scores": dumps(scores),
            "propensities": dumps(propensities),
            "propensity_kind": policy.sampler.propensity_kind,
            "history": self._id_list(situation.history[visible]),
            "history_feedback": dumps(situation.history_feedback[visible].tolist()),
            "user_features": dumps(situation.user_features.tolist()),
            "context": dumps({"served": served, "given": request.context}),
            "labels": dumps(request.labels),
            "request_hash": ask.request_hash,
            "deferred": request.defer_activation,
            "mode": ask.standing.mode,
            "experiment_id": ask.standing.experiment_id,
            "experiment_arm": ask.standing.arm,
            "degraded": None if ask.standing.degraded is None else dumps(ask.standing.degraded),
        }

    def _id_list(self, indices: Iterable[Any]) -> str:
        """JSON of item ids."""
        return f"[{','.join([self._ids[index] for index in indices])}]"

    def _try_out(self) -> None:
        """A model that cannot answer for a new user must not take over from one that can."""
        size = len(self.bundle.catalog)
        observation = stack([self._reader.unknown_user()], size, full_catalogue=self._whole)
        limit = min(self.bundle.manifest.observation.slate_size, size)
        policies: tuple[Policy, ...] = (self.bundle.policy, self.bundle.greedy_policy)
        try:
            for policy in policies:
                decision = policy.decide(observation, limit, np.random.default_rng(0))
                if not (np.isfinite(decision.scores).all() and np.isfinite(decision.propensities).all()):
                    raise ValueError("its scores or propensities are not finite")
        except InputError:
            raise
        except Exception as error:
            message = f"version {self.version} fails for a user without history: {type(error).__name__}: {error}"
            raise InputError("model", message, "train and register it again") from error


def user_encoder(bundle: Bundle) -> EncodeUser | None:
    """What turns a user's JSON object into the model's user features; None where it has none."""
    names = bundle.manifest.observation.user_feature_names
    if not names:
        return None
    encoder = UserEncoder.from_dict(bundle.manifest.user_encoder or {})
    if len(encoder.names) != len(names):
        problem = f"its user_encoder gives {len(encoder.names)} features, it was trained with {len(names)}"
        raise InputError("model", problem, "register it again")

    def encode(body: str | None) -> Float32:
        return encoder.encode([json.loads(body) if body else {}])[0]

    return encode


def rfc3339(moment: int) -> str:
    """A moment in microseconds since 1970 as ``2026-01-31T12:00:00.000000Z``."""
    seconds, rest = divmod(moment, 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:06d}Z"


def new_id() -> str:
    """``rec_`` and 32 hexadecimal digits, the first 12 of them the time in milliseconds: later ids sort later."""
    return f"rec_{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"
