"""What a replica is told when it starts (``args`` in the Serve YAML) and while it runs (``user_config``)."""

from __future__ import annotations

import hmac
import os
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rec_platform.errors import InputError, did_you_mean
from rec_platform.registry import parse_reference, platform_home
from rec_platform.serving.database import default_url

TOKEN_VARIABLE = "REC_PLATFORM_TOKEN"


class ServiceSettings(BaseModel):
    """What does not change while a replica runs.

    Attributes:
        home: the platform's state folder; ``$REC_PLATFORM_HOME`` or ``.rec_platform`` if null.
        store: SQLAlchemy URL of the event store; ``serving.db`` in the home folder if null.
        decision_log: ``durable`` answers after the decision is on disk, ``async`` writes it right after the answer.
        token_file: a file with the bearer token that ``/v1`` asks for; ``$REC_PLATFORM_TOKEN`` if null, and no
            authentication where neither is set.
        max_body_bytes: larger bodies are refused with 413.
        poll_seconds: how often the registry is asked whether the alias has moved.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: Path | None = None
    store: str | None = None
    decision_log: Literal["durable", "async"] = "durable"
    token_file: Path | None = None
    max_body_bytes: int = Field(default=4 * 2**20, ge=1024)
    poll_seconds: float = Field(default=1.0, gt=0)

    @property
    def store_url(self) -> str:
        return self.store or default_url(platform_home(self.home))

    def token(self) -> str | None:
        """The bearer token, or None where everyone may ask.

        Raises:
            InputError: the token file cannot be read or is empty.
        """
        if self.token_file is None:
            return os.environ.get(TOKEN_VARIABLE) or None
        try:
            token = self.token_file.read_text().strip()
        except OSError as error:
            raise InputError("token_file", f"cannot be read: {error.strerror}", "name a readable file") from None
        if not token:
            raise InputError("token_file", "is empty", "write the token into it")
        return token


class LiveSettings(BaseModel):
    """What may change while a replica runs.

    Attributes:
        model: ``NAME``, ``NAME@ALIAS`` or ``NAME@VERSION``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(min_length=1, max_length=200)

    @property
    def reference(self) -> tuple[str, str]:
        return parse_reference(self.model)


Settings = TypeVar("Settings", bound=BaseModel)


def parse(kind: type[Settings], values: Any, where: str) -> Settings:
    """Validate settings; raises `InputError` with the dotted key, and a did-you-mean for an unknown one."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([where, *map(str, first["loc"])])
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(str(first["loc"][-1]), kind.model_fields)
            raise InputError(key, "is unknown", hint) from None
        raise InputError(key, first["msg"]) from None


def same_token(given: str, token: str) -> bool:
    """Whether two tokens are equal, in time that tells nothing about where they differ."""
    return hmac.compare_digest(given.encode(), token.encode())
