"""API keys: who may ask for what, in a file from which no key can be made.

A key reads ``rp_ID_SECRET``. The id is public: it names the key in lists and finds it in one step. The secret is 256
random bits, so that a plain SHA-256 of the key is enough at rest: slow hashes protect passwords, which can be guessed,
and would cost every request their slowness.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from rec_platform.errors import InputError
from rec_platform.registry.files import sync_folder
from rec_platform.serving.api_models import Name

Scope = Literal["recommend", "events", "admin"]

SCOPES: tuple[Scope, ...] = get_args(Scope)
"""What a key may be good for. None includes another."""

KEY_FILE = "keys.json"
"""In the platform's home folder."""


class ApiKey(BaseModel):
    """One line of the list of keys.

    Attributes:
        id: public, 12 hexadecimal digits.
        name: whose it is, for people.
        scopes: what it is good for.
        expires_at: from then on it is refused; null never.
        revoked_at: since when it is refused.
        rate_limit: requests a second; null is the service's own limit.
        sha256: of the key as a whole, in hexadecimal.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
    name: Name
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None
    rate_limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

    @property
    def state(self) -> Literal["valid", "expired", "revoked"]:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= datetime.now(UTC) else "valid"


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    keys: tuple[ApiKey, ...] = ()


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """All keys of a file, revoked ones too; none where there is no file.

    Raises:
        InputError: it cannot be read, or is not a file of keys. No value of it is repeated.
    """
    try:
        content = _Content.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}", "let the service's user read it") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(str(path), f"is not a file of keys: {where}: {first['msg']}", "restore it") from None
    if len({key.id for key in content.keys}) < len(content.keys):
        raise InputError(str(path), "has two keys with one id", "restore it")
    return content.keys


class KeyFile:
    """Makes and revokes keys; several processes may do so at once, and a reader sees the file before or after."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        expires_in: timedelta | None = None,
        rate_limit: int | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key: (what is kept of it, the key itself, which nobody can get again).

        Raises:
            InputError: a value is not allowed, or the file is damaged or cannot be written.
        """
        key_id = secrets.token_hex(6)
        text = f"rp_{key_id}_{secrets.token_hex(32)}"
        now = datetime.now(UTC).replace(microsecond=0)
        try:
            values = {
                "id": key_id,
                "name": name,
                "scopes": tuple(dict.fromkeys(scopes)),
                "created_at": now,
                "expires_at": None if expires_in is None else now + expires_in,
                "rate_limit": rate_limit,
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
            }
            key = ApiKey.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(".".join(map(str, first["loc"])), first["msg"]) from None
        except OverflowError:
            raise InputError(
                "expires", "lies beyond the calendar", "leave it out for a key that does not expire"
            ) from None
        with self._changing() as keys:
            keys.append(key)
        return key, text

    def revoke(self, key_id: str) -> ApiKey:
        """Refuse a key from now on. A key revoked before keeps its date. Takes the key itself for its id too."""
        if key_id.startswith("rp_"):  # somebody who found a key somewhere has nothing else
            key_id = key_id.split("_")[1]
        with self._changing() as keys:
            for number, key in enumerate(keys):
                if key.id == key_id:
                    if key.revoked_at is None:
                        now = datetime.now(UTC).replace(microsecond=0)
                        keys[number] = key.model_copy(update={"revoked_at": now})
                    return keys[number]
        raise InputError("id", f"there is no key '{key_id[:40]}'", "rec-platform keys list")

    @contextmanager
    def _changing(self) -> Iterator[list[ApiKey]]:
        """The keys, to be changed in place, and written where they were."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with (self.path.parent / f".{self.path.name}.lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                keys = list(read_keys(self.path))
                before = list(keys)
                yield keys
                if keys != before:
                    self._write(_Content(keys=tuple(keys)))
        except OSError as error:
            raise InputError(str(self.path), f"cannot be written: {error.strerror}") from None

    def _write(self, content: _Content) -> None:
        beside = self.path.parent / f".{self.path.name}.{secrets.token_hex(8)}.tmp"
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(content.model_dump_json(indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self.path)
        finally:
            beside.unlink(missing_ok=True)
        sync_folder(self.path.parent)
