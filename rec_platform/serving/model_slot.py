"""A place for one model, and how another version takes it: loaded beside, tried out, switched when whole."""

from __future__ import annotations

import logging
import threading
import time

from rec_platform.errors import InputError
from rec_platform.registry import ModelRegistry, parse_reference
from rec_platform.serving.decision_service import DecisionService
from rec_platform.serving.store import EventStore

RETRY_SECONDS = 30.0
"""A version that failed to load is tried again after this, or at once when the alias moves."""

NOT_YET = "no model was loaded yet"
"""Neither that it failed."""

log = logging.getLogger(__name__)


class ModelSlot:
    """Holds the service of the model that a reference names now. Nothing here raises: what fails is told by `error`,
    and what served before goes on serving.

    Args:
        reference: ``NAME``, ``NAME@ALIAS`` or ``NAME@VERSION``.

    Attributes:
        service: of the current model; None until the first one is loaded.
        error: why the wanted model is not the one that serves; None if it is.
    """

    def __init__(self, reference: str, registry: ModelRegistry, store: EventStore) -> None:
        self.reference = reference
        self._registry = registry
        self._store = store
        self._lock = threading.Lock()
        self._current: tuple[str, int] | None = None
        self._failed: tuple[tuple[str, int], float] | None = None
        self.service: DecisionService | None = None
        self.error: str | None = NOT_YET

    def retry(self) -> None:
        """What failed to load is tried again by the next `refresh`."""
        with self._lock:
            self._failed = None

    def refresh(self) -> None:
        """Look where the alias points, and follow it."""
        with self._lock:
            try:
                self._follow()
            except InputError as error:
                self._report(str(error))
            except Exception as error:  # a replica that dies of a bad model takes the service with it
                log.exception("the model could not be loaded")
                self._report(f"{type(error).__name__}: {error}")

    def _report(self, error: str) -> None:
        if error != self.error:
            log.error("%s: what served before is kept: %s", self.reference, error)
        self.error = error

    def _follow(self) -> None:
        name, reference = parse_reference(self.reference)
        version = self._registry.get(name, reference)
        key = (version.name, version.version)
        if key == self._current:
            if self.service is not None:
                self.service.alias = version.alias
            self.error = None
            return
        if self._failed and self._failed[0] == key and time.monotonic() - self._failed[1] < RETRY_SECONDS:
            return
        self._failed = (key, time.monotonic())
        service = DecisionService(version.load(), self._store, version=str(version.version), alias=version.alias)
        self.service, self._current, self._failed, self.error = service, key, None, None
        log.info("serving %s version %d", *key)
