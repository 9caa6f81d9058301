"""What a replica is told when it starts: ``args`` in the Serve YAML. See `traffic.live_settings` for the rest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from rec_platform.errors import InputError, did_you_mean
from rec_platform.registry import platform_home
from rec_platform.serving.api_keys import KEY_FILE, read_keys
from rec_platform.serving.database import default_url

TOKEN_VARIABLE = "REC_PLATFORM_TOKEN"

MIN_TOKEN = 16
"""Characters. Nothing slows guessing down but their number."""

Authentication = Annotated[
    Literal["required", "off"],
    BeforeValidator(lambda value: "off" if value is False else value),  # YAML reads a bare `off` as false
]

Origin = Annotated[str, StringConstraints(pattern=r"^https?://[a-z0-9.\-\[\]:]+$", max_length=256)]
"""As browsers write it: scheme, host in small letters, port where it is not the scheme's own; no path."""


class ServiceSettings(BaseModel):
    """What does not change while a replica runs.

    Attributes:
        home: the platform's state folder; ``$REC_PLATFORM_HOME`` or ``.rec_platform`` if null.
        store: SQLAlchemy URL of the event store; ``serving.db`` in the home folder if null.
        decision_log: ``async`` answers first and writes the decision within 50 ms; a replica that is killed loses those
            it was writing. ``durable`` answers after the decision is on disk. Either way a request that names its
            ``recommendation_id`` is answered after it.
        authentication: ``required`` asks for a key everywhere under ``/v1``, and a replica without keys does not start.
            ``off`` is for loopback. Null is ``required``, but ``rec-platform serve`` on loopback takes it as ``off``
            where there is neither a key nor a token.
        key_file: the file of keys (``rec-platform keys``); ``keys.json`` in the home folder if null.
        token_file: a file with one more key, of all scopes, in the operator's own words; ``$REC_PLATFORM_TOKEN`` if
            null.
        rate_limit: requests a second of each key without a limit of its own; with authentication off, of all callers
            together. Null is none.
        cors_origins: whose pages may call the service from a browser, such as ``https://shop.example``.
        max_body_bytes: larger bodies are refused with 413.
        log_format: ``json`` writes one object a line, with the ids of the request and the recommendation.
        slow_ms: a request that takes longer is logged, by its ids; null is none.
        tracing: an OpenTelemetry collector that takes spans by OTLP over HTTP, such as ``http://127.0.0.1:4318``; null
            is none. It takes ``pip install "rec_platform[otel]"``.
        poll_seconds: how soon a moved alias and a changed file of keys are noticed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: Path | None = None
    store: str | None = None
    decision_log: Literal["durable", "async"] = "async"
    authentication: Authentication | None = None
    key_file: Path | None = None
    token_file: Path | None = None
    rate_limit: int | None = Field(default=None, ge=1, le=1_000_000)
    cors_origins: tuple[Origin, ...] = ()
    max_body_bytes: int = Field(default=4 * 2**20, ge=1024)
    log_format: Literal["json", "text"] = "text"
    slow_ms: float | None = Field(default=1000.0, gt=0)
    tracing: str | None = Field(default=None, pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$", max_length=512)
    poll_seconds: float = Field(default=1.0, gt=0)

    @property
    def store_url(self) -> str:
        return self.store or default_url(platform_home(self.home))

    @property
    def key_path(self) -> Path:
        return self.key_file or platform_home(self.home) / KEY_FILE

    def token(self) -> str | None:
        """The operator's token, if there is one.

        Raises:
            InputError: the token file cannot be read, or the token is too short.
        """
        where, token = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE, "").strip()
        if self.token_file is not None:
            where = "token_file"
            try:
                token = self.token_file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                problem = f"cannot be read: {getattr(error, 'strerror', 'it is not UTF-8')}"
                raise InputError("token_file", problem, "name a readable file") from None
        elif not token:
            return None
        if len(token) < MIN_TOKEN:
            raise InputError(where, f"is shorter than {MIN_TOKEN} characters", "make one: openssl rand -hex 32")
        return token

    def check_credentials(self) -> None:
        """Raise `InputError` where nobody could be let in."""
        if not self.has_credentials():
            problem = f"is required, and there is neither a key in {self.key_path} nor a token"
            raise InputError(
                "authentication", problem, "rec-platform keys create --name NAME --scope recommend --scope events"
            )

    def has_credentials(self) -> bool:
        """Whether there is a token, or a key, be it revoked: a service that has had keys stays closed without them.

        Raises:
            InputError: they cannot be read.
        """
        return self.token() is not None or bool(read_keys(self.key_path))


Settings = TypeVar("Settings", bound=BaseModel)


def parse(kind: type[Settings], values: Any, where: str) -> Settings:
    """Validate settings; raises `InputError` with the dotted key, and a did-you-mean for an unknown one."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([where, *map(str, first["loc"])])
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(str(first["loc"][-1]), kind.model_fields) if len(first["loc"]) == 1 else ""
            raise InputError(key, "is unknown", hint) from None
        raise InputError(key, first["msg"]) from None
