"""Decides: scores of many requests at once, then one seeded draw a request. Plain Python, no Ray."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from rec_platform.data.users import UserEncoder
from rec_platform.errors import InputError
from rec_platform.policies.policy import Policy, Scores
from rec_platform.registry import Bundle
from rec_platform.serving.api_models import RecommendationRequest
from rec_platform.serving.problems import Problem, from_input_error
from rec_platform.serving.situation import EncodeUser, Situation, SituationReader, dumps, stack
from rec_platform.serving.store import EventStore, now_us
from rec_platform.types import Float32, Observation


@dataclass(frozen=True, slots=True)
class Ask:
    """A request with its identity.

    Attributes:
        request: as it was validated.
        recommendation_id: seeds the draw: the same id, model and situation give the same slate.
        request_hash: of the request's content, to tell a repetition from another request under the same id.
    """

    request: RecommendationRequest
    recommendation_id: str
    request_hash: str

    @staticmethod
    def of(request: RecommendationRequest, recommendation_id: str | None = None) -> Ask:
        """An ask under the given id, else the request's own, else a new one."""
        text = json.dumps(request.model_dump(), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return Ask(request, recommendation_id or request.recommendation_id or new_id(), digest)


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision, ready to be logged and sent.

    Attributes:
        row: of the decision log (`schema.decisions`).
        response: the JSON text of the answer; also in the row.
    """

    row: dict[str, Any]
    response: str


class DecisionService:
    """One model, answering requests from what the store knows.

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
        self._try_out()

    def decide(self, asks: Sequence[Ask]) -> list[Answer | Problem]:
        """One answer, or the reason why there is none, for each ask, in order."""
        found = self._reader.read([ask.request for ask in asks])
        results: list[Answer | Problem | None] = [f if isinstance(f, Problem) else None for f in found]
        by_size: dict[int, list[tuple[int, Situation]]] = defaultdict(list)
        for number, situation in enumerate(found):
            if isinstance(situation, Situation):
                by_size[len(situation.candidates)].append((number, situation))
        for group in by_size.values():
            observation = stack([situation for _, situation in group])
            scores = self.bundle.policy.scorer.score(observation)
            for row, (number, situation) in enumerate(group):
                results[number] = self._answer(asks[number], situation, observation, scores, row)
        return [result for result in results if result is not None]

    def _answer(
        self, ask: Ask, situation: Situation, observation: Observation, scores: Scores, row: int
    ) -> Answer | Problem:
        request = ask.request
        policy = self.bundle.policy if request.explore else self.bundle.greedy_policy
        own_scores, own = scores.take(np.array([row])), observation.take(np.array([row]))
        try:
            positions = policy.sampler.sample(own_scores, own, request.limit, seeded(ask.recommendation_id))
            propensities = policy.sampler.propensity(own_scores, own, positions)[0]
        except InputError as error:
            return from_input_error(error)
        if not np.isfinite(propensities).all():
            return Problem("internal", "the model gave a propensity that is not a number")
        items = [self.bundle.catalog.item_ids[index] for index in own.candidates[0, positions[0]]]
        values = [float(value) for value in own_scores.values[0, positions[0]]]
        created = now_us()
        moment = datetime.fromtimestamp(created / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        manifest = self.bundle.manifest
        body = {
            "recommendation_id": ask.recommendation_id,
            "episode_id": request.session_id or ask.recommendation_id,
            "previous_recommendation_id": situation.session.last_decision_id,
            "created_at": moment,
            "model": {"name": manifest.name, "version": self.version, "alias": self.alias, "policy": policy.name},
            "mode": "validate_only" if request.validate_only else "online",
            "degraded": None,
            "items": [
                {"item_id": item, "rank": rank, "score": score, "propensity": float(propensity), "source": "policy"}
                for rank, (item, score, propensity) in enumerate(zip(items, values, propensities, strict=True), start=1)
            ],
            "propensity_kind": policy.sampler.propensity_kind,
            "filtered": len(situation.excluded),
            "missing_ids": list(situation.missing),
        }
        response = dumps(body)
        logged = self._logged(ask, situation, created, items, values, [float(p) for p in propensities])
        return Answer(logged | {"response": response}, response)

    def _logged(
        self,
        ask: Ask,
        situation: Situation,
        created: int,
        items: list[str],
        scores: list[float],
        propensities: list[float],
    ) -> dict[str, Any]:
        request, ids = ask.request, self.bundle.catalog.item_ids
        policy = self.bundle.policy if request.explore else self.bundle.greedy_policy
        visible = situation.history >= 0
        names = self.bundle.manifest.observation.context_names
        served = {name: float(value) for name, value in zip(names, situation.context, strict=True)}
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
            "candidates": None if situation.listed is None else dumps([ids[i] for i in situation.listed]),
            "excluded": dumps([ids[i] for i in situation.excluded]),
            "items": dumps(items),
            "scores": dumps(scores),
            "propensities": dumps(propensities),
            "propensity_kind": policy.sampler.propensity_kind,
            "history": dumps([ids[i] for i in situation.history[visible]]),
            "history_feedback": dumps([float(value) for value in situation.history_feedback[visible]]),
            "user_features": dumps([float(value) for value in situation.user_features]),
            "context": dumps({"served": served, "given": request.context}),
            "labels": dumps(request.labels),
            "request_hash": ask.request_hash,
        }

    def _try_out(self) -> None:
        """A model that cannot answer for a new user must not take over from one that can."""
        observation = stack([self._reader.unknown_user()])
        size = len(self.bundle.catalog)
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


def seeded(recommendation_id: str) -> np.random.Generator:
    """The chance of one recommendation: its id decides every draw."""
    digest = hashlib.blake2b(recommendation_id.encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def new_id() -> str:
    """``rec_`` and 32 hexadecimal digits, the first 12 of them the time in milliseconds: later ids sort later."""
    return f"rec_{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"
