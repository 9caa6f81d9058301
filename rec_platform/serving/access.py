"""Who may ask: bearer keys and the operator's token, held by a replica and kept up with the file of keys."""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from rec_platform.errors import InputError
from rec_platform.serving.api_keys import SCOPES, ApiKey, read_keys
from rec_platform.serving.problems import Problem
from rec_platform.serving.rate_limit import TokenBucket
from rec_platform.serving.settings import ServiceSettings

log = logging.getLogger(__name__)

KEPT = "the file of keys cannot be read; the keys read before it are kept"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may ask.

    Attributes:
        digest: SHA-256 of the key.
        expires: seconds since 1970.
        bucket: the rate limit; None is none.
    """

    digest: bytes
    scopes: frozenset[str]
    expires: float
    bucket: TokenBucket | None


class Access:
    """Tells callers by their ``Authorization`` header.

    Args:
        settings: without ``authentication: off`` there must be a key or a token.

    Attributes:
        required: whether callers must show a key.
        error: why the file of keys as it is now is not in force; None if it is.

    Raises:
        InputError: a key is required and there is neither a key nor a token, or they cannot be read.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.required = settings.authentication != "off"
        self.error: str | None = None
        self._path: Path = settings.key_path
        self._rate_limit = settings.rate_limit
        self._replicas = 1
        self._lock = threading.Lock()
        self._token = settings.token() if self.required else None
        self._keys: tuple[ApiKey, ...] = ()
        self._version: tuple[int, ...] | None = None
        if self.required:
            settings.check_credentials()
            self._version = self._version_now()
            self._keys = read_keys(self._path)
        self._callers: dict[bytes, Caller] = {}
        self._others = _nobody()
        self._rebuild(keep_buckets=False)

    @property
    def keys(self) -> int:
        """How many keys are neither revoked nor expired."""
        return sum(key.state == "valid" for key in self._keys)

    def authenticate(self, authorization: bytes | None) -> Caller:
        """The caller behind a header; takes as long for an unknown key as for a known one with a wrong secret.

        Raises:
            Problem: unauthorized.
        """
        if not self.required:
            return self._others
        if authorization is None:
            raise Problem("unauthorized", "send Authorization: Bearer KEY", headers={"WWW-Authenticate": "Bearer"})
        scheme, _, given = authorization.partition(b" ")
        given = given.strip()
        caller = self._callers.get(given[3:15], self._others)  # rp_ID_SECRET, with an id of 12 digits
        right = hmac.compare_digest(hashlib.sha256(given).digest(), caller.digest)
        if not right or scheme.lower() != b"bearer" or time.time() >= caller.expires:
            raise Problem(
                "unauthorized",
                "this key is unknown, expired or revoked; send Authorization: Bearer KEY",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        return caller

    def refresh(self) -> None:
        """Follow the file of keys. What cannot be read changes nothing and is told by `error`; nothing is raised."""
        if not self.required:
            return
        try:
            version = self._version_now()
            if version == self._version:
                self.error = None
                return
            if version is None:
                raise InputError(str(self._path), "is gone", "restore it; to refuse a key, revoke it")
            self._keys = read_keys(self._path)
        except Exception as error:
            problem = str(error) if isinstance(error, InputError) else type(error).__name__
            if problem != self.error:
                log.error("the keys in force are kept: %s", problem)
            self.error = problem
            return
        self._version, self.error = version, None
        with self._lock:
            self._rebuild(keep_buckets=True)
        log.info("%d keys in force", self.keys)

    def shared_by(self, replicas: int) -> None:
        """Divide rate limits by so many replicas."""
        with self._lock:
            if replicas != self._replicas:
                self._replicas = max(1, replicas)
                self._rebuild(keep_buckets=False)

    def _version_now(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_ctime_ns

    def _rebuild(self, *, keep_buckets: bool) -> None:
        """New callers, put in place at once: requests read them in another thread."""
        callers = {}
        for key in self._keys:
            if key.revoked_at is None:
                before = self._callers.get(key.id.encode()) if keep_buckets else None
                expires = math.inf if key.expires_at is None else key.expires_at.timestamp()
                bucket = self._bucket(key.rate_limit or self._rate_limit, before)
                callers[key.id.encode()] = Caller(bytes.fromhex(key.sha256), frozenset(key.scopes), expires, bucket)
        if not keep_buckets:
            digest = hashlib.sha256(self._token.encode()).digest() if self._token else b""
            if self._token or not self.required:
                self._others = Caller(digest, frozenset(SCOPES), math.inf, self._bucket(self._rate_limit, None))
        self._callers = callers

    def _bucket(self, rate: int | None, before: Caller | None) -> TokenBucket | None:
        if rate is None:
            return None
        if before is not None and before.bucket is not None and before.bucket.rate == rate:
            return before.bucket
        return TokenBucket(rate, replicas=self._replicas)


def _nobody() -> Caller:
    """Who an unknown key is compared with: the comparison takes its time and fails."""
    return Caller(secrets.token_bytes(32), frozenset(), 0.0, None)
