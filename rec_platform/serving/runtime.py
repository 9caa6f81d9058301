"""A replica without HTTP and without Ray: settings, store, model, and the few things that are asked of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

import rec_platform
from rec_platform.registry import ModelRegistry
from rec_platform.serving.access import KEPT, Access
from rec_platform.serving.api_models import RecommendationRequest
from rec_platform.serving.batcher import Batcher
from rec_platform.serving.decision_service import Answer, Ask, DecisionService
from rec_platform.serving.event_intake import read_events
from rec_platform.serving.failures import log_failure
from rec_platform.serving.group_commit import StoreBusy
from rec_platform.serving.observability.meters import DEFAULT_ARM, Meters
from rec_platform.serving.observability.request_log import log_as, of_this_request
from rec_platform.serving.observability.tracing import NO_SPAN, tracing_to
from rec_platform.serving.problems import Problem
from rec_platform.serving.settings import ServiceSettings
from rec_platform.serving.situation import dumps
from rec_platform.serving.store import EventStore, now_us
from rec_platform.serving.traffic.fleet import ModelFleet
from rec_platform.serving.user_cache import ChangeFeed

log = logging.getLogger(__name__)

QUICK_BATCH_S = 0.01
"""A batch that takes longer on average must not keep the event loop from others."""

MEASURE_SECONDS = 1.0

Result = TypeVar("Result")
Decide = Callable[[Ask], Awaitable[Answer | Problem]]


class ServiceRuntime:
    """What the routes talk to.

    Args:
        settings: see `ServiceSettings`.

    Attributes:
        decide: decides one ask, together with those that come in meanwhile.
        meters: what is counted here.
        send_metrics: called after they were collected, once a second, in a thread.
        tracing: None where it is off.

    Raises:
        InputError: the store, the file of keys or the token cannot be read, or a key is required and there is none.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        log_as(settings.log_format)
        self.settings = settings
        self.tracing = tracing_to(settings.tracing)
        self.meters = Meters()
        self.send_metrics: Callable[[], None] | None = None
        self.access = Access(settings)
        self.store = EventStore(settings.store_url)
        if self.tracing is not None:
            self.store.around_commits(self.tracing.commit)
        self.fleet = ModelFleet(ModelRegistry(settings.home), self.store)
        self._feed = ChangeFeed(self.store)
        self._batch_seconds = 0.0
        self._local_store = self.store.reader.dialect.name == "sqlite"
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="decide")
        decide = self._decide if self.tracing is None else self.tracing.batches(self._decide)
        batcher = Batcher(decide, self._executor, at_once=self._is_quick)
        self.decide: Decide = batcher if self.tracing is None else self.tracing.asks(batcher)
        self._started = datetime.now(UTC)
        self._pollers: list[asyncio.Task] = []

    async def start(self) -> None:
        """Follow the registry and the file of keys from now on; a revoked key does not wait for a model to load."""
        self._pollers = [asyncio.create_task(self._poll(look)) for look in (self.fleet.refresh, self.access.refresh)]
        self._pollers.append(asyncio.create_task(self._poll(self._measure, MEASURE_SECONDS)))

    async def stop(self) -> None:
        """Write what waits and let go of the store."""
        for poller in self._pollers:
            poller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await poller
        self._executor.shutdown()
        self.fleet.close()
        self._feed.close()
        await asyncio.to_thread(self.store.close)
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)

    async def configure(self, user_config: Any) -> None:
        """A new ``user_config``; never raises (see `ModelFleet`)."""
        await asyncio.to_thread(self.fleet.configure, user_config)

    def _is_quick(self) -> bool:
        """Whether a batch takes few milliseconds and the store is on this machine: then the event loop decides it."""
        return self._local_store and self._batch_seconds < QUICK_BATCH_S

    def _decide(self, asks: Sequence[Ask]) -> list[Answer | Problem]:
        """Of the batcher, so never twice at once."""
        if self.fleet.service is None:
            return [self._no_model()] * len(asks)
        if changed := self._feed.changed():
            self.fleet.forget(changed)
        began = time.perf_counter()
        answers = self.fleet.decide(asks)
        self._batch_seconds += 0.1 * (time.perf_counter() - began - self._batch_seconds)
        for ask in asks:
            self._feed.own(ask.recommendation_id)
        self._count(answers)
        return answers

    def _count(self, answers: Sequence[Answer | Problem]) -> None:
        """Tell the meters, by who decided and for which arm."""
        alike: dict[tuple[DecisionService, str], list[Answer]] = defaultdict(list)
        for answer in answers:
            if isinstance(answer, Answer):
                alike[answer.by, answer.made.ask.standing.arm or DEFAULT_ARM].append(answer)
        for (service, arm), theirs in alike.items():
            self.meters.decided(service, theirs, arm)

    async def recommend(self, request: RecommendationRequest, idempotency_key: str | None = None) -> str:
        """The JSON text of the answer; its decision is on disk if ``decision_log`` is durable or an id was given.

        Raises:
            Problem: it cannot be answered.
        """
        ask = Ask.of(request, idempotency_key)
        of_this_request().recommendation_id = ask.recommendation_id
        given = idempotency_key is not None or request.recommendation_id is not None
        if request.validate_only:
            return (await self._decided(ask)).response
        if given and (replayed := await self._replay(ask)) is not None:
            return replayed
        answer = await self._decided(ask)
        if self.settings.decision_log == "async" and not given:
            self._submitted(lambda: self.store.log_decision(answer.logged))
            return answer.response
        written = self._submitted(lambda: self.store.write_decision(answer.logged))
        if not await self._durable(written):
            return await self._replay(ask) or answer.response  # another request with this id was faster
        return answer.response

    async def take_events(self, body: bytes) -> str:
        """Store a batch of events; the JSON text of the answer, given when they are on disk.

        Raises:
            Problem: the body cannot be read, or the store cannot write now (nothing is stored then).
        """
        intake = read_events(body, received_at=now_us())
        new = await self._durable(self._submitted(lambda: self.store.add_events(intake.rows, intake.rejected_rows)))
        service = self.fleet.service
        missing: list[str] = []
        if service is not None:
            indices = service.bundle.catalog.index_of(intake.item_ids)
            missing = [item for item, index in zip(intake.item_ids, indices, strict=True) if index < 0]
        self.meters.took(intake.rows, new=new, rejected=len(intake.rejections), unknown_items=len(missing))
        return dumps(
            {
                "accepted": new,
                "duplicates": len(intake.rows) - new,
                "rejected": intake.rejections,
                "missing_ids": missing,
            }
        )

    async def written(self, write: Callable[[], Future]) -> Any:
        """The result of a write of the store, when it is on disk.

        Raises:
            Problem: the store cannot write now (nothing is changed then).
        """
        return await self._durable(self._submitted(write))

    async def logged(self, recommendation_id: str) -> dict[str, Any]:
        """A row of the decision log; raises `Problem` (not-found)."""
        row = await asyncio.to_thread(self.store.decision, recommendation_id)
        if row is None:
            raise Problem("not-found", f"there is no recommendation '{recommendation_id[:80]}'")
        return row

    async def metrics(self) -> str:
        """What is counted here, as Prometheus reads it."""
        await asyncio.to_thread(self.collect)
        return self.meters.text()

    def collect(self) -> None:
        """Bring what is counted up to date."""
        self.meters.collect(self.store, self.fleet.services)

    def _measure(self) -> None:
        try:
            self.collect()
            if self.send_metrics is not None:
                self.send_metrics()
        except Exception as error:  # a service that cannot count goes on serving
            log_failure(log, "the metrics could not be told", error)

    def readiness(self) -> dict[str, Any]:
        """Why it is ready; raises `Problem` (not-ready) if it is not."""
        if self.fleet.service is None:
            raise self._no_model()
        if not self.store.alive:
            raise Problem("not-ready", "the event store cannot write")
        return {
            "status": "ready",
            "model": self._model(),
            "wanted": self.fleet.wanted,
            "load_error": self.fleet.error,
            "key_error": KEPT if self.access.error else None,
        }

    def info(self) -> dict[str, Any]:
        """Versions and state; no secrets."""
        return {
            "service": "rec_platform",
            "version": rec_platform.__version__,
            "python": platform.python_version(),
            "started_at": self._started.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "pid": os.getpid(),
            "model": self._model(),
            "wanted": self.fleet.wanted,
            "load_error": self.fleet.error,
            "traffic": self.fleet.state(),
            "decision_log": self.settings.decision_log,
            "store": self.store.writer.dialect.name,
            "authentication": "required" if self.access.required else "off",
            "keys": self.access.keys,
            "key_error": self.access.error,
        }

    def _model(self) -> dict[str, Any] | None:
        service = self.fleet.service
        if service is None:
            return None
        manifest = service.bundle.manifest
        return {
            "name": manifest.name,
            "version": service.version,
            "alias": service.alias,
            "policy": manifest.policy.name,
            "items": len(service.bundle.catalog),
            "catalog_hash": manifest.catalog_hash,
            "slate_size": manifest.observation.slate_size,
            "context_names": list(manifest.observation.context_names),
        }

    def _no_model(self) -> Problem:
        return Problem("not-ready", f"no model is loaded: {self.fleet.error}", headers={"Retry-After": "1"})

    async def _decided(self, ask: Ask) -> Answer:
        answer = await self.decide(ask)
        if isinstance(answer, Problem):
            raise answer
        return answer

    async def _replay(self, ask: Ask) -> str | None:
        row = await asyncio.to_thread(self.store.decision, ask.recommendation_id)
        if row is None:
            return None
        if row["request_hash"] != ask.request_hash:
            message = f"recommendation_id '{ask.recommendation_id[:80]}' was used for another request; choose a new one"
            error = {"loc": ["recommendation_id"], "msg": message, "type": "idempotency_mismatch"}
            raise Problem("idempotency-mismatch", message, errors=[error])
        return str(row["response"])

    def _submitted(self, write: Callable[[], Result]) -> Result:
        try:
            return write()
        except StoreBusy as error:
            raise Problem("not-ready", str(error), headers={"Retry-After": "1"}) from None

    async def _durable(self, written: Future) -> Any:
        try:
            with NO_SPAN if self.tracing is None else self.tracing.span("store write"):
                return await asyncio.wrap_future(written)
        except (DBAPIError, PoolTimeout) as error:
            log_failure(log, "the event store could not write", error)
            raise Problem("not-ready", "the event store could not write", headers={"Retry-After": "1"}) from None

    async def _poll(self, look: Callable[[], None], seconds: float | None = None) -> None:
        while True:
            await asyncio.sleep(seconds or self.settings.poll_seconds)
            await asyncio.to_thread(look)
