"""JSON logs: one object a line, with ids, and nothing of a user."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tiny_model import click, register_network

from rec_platform.errors import InputError
from rec_platform.serving import store_writes
from rec_platform.serving.observability.request_log import CURRENT, JsonFormatter, JsonHandler, RequestIds, log_as
from rec_platform.serving.settings import ServiceSettings, parse

USER, ITEM = "user-olga-1971", "item-of-olga"


@pytest.fixture
def ours() -> Iterator[logging.Logger]:
    """The platform's logger, as it was afterwards."""
    logger = logging.getLogger("rec_platform")
    before = (list(logger.handlers), logger.propagate, logger.level)
    yield logger
    logger.handlers[:], logger.propagate = before[0], before[1]
    logger.setLevel(before[2])


def formatted(message: str, *args: object, **more: Any) -> dict[str, Any]:
    record = logging.LogRecord("rec_platform.x", logging.WARNING, "x.py", 1, message, args, more.pop("exc_info", None))
    record.__dict__.update(more)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_record() -> None:
    told = formatted("%d\nlines", 2, recommendation_id="rec_1")
    assert told.pop("time").endswith("Z")
    assert told == {
        "level": "WARNING",
        "logger": "rec_platform.x",
        "message": "2\nlines",
        "recommendation_id": "rec_1",
    }


def test_ids_of_the_request() -> None:
    ids = RequestIds({"headers": [(b"x-request-id", b"req-1")]})
    ids.recommendation_id = "rec_2"
    token = CURRENT.set(ids)
    told = formatted("x")
    CURRENT.reset(token)
    assert (told["request_id"], told["recommendation_id"]) == ("req-1", "rec_2")
    assert "request_id" not in formatted("x")


def test_an_exception_is_told_by_its_type_and_place() -> None:
    try:
        raise KeyError(USER)
    except KeyError as error:
        told = formatted("broken", exc_info=(KeyError, error, error.__traceback__))
    assert told["exception"] == "builtins.KeyError"
    assert __file__ in told["at"][0]
    assert USER not in json.dumps(told)


def test_it_is_set_up_once_and_text_changes_nothing(ours: logging.Logger) -> None:
    before = list(ours.handlers)
    log_as("text")
    assert ours.handlers == before
    assert ours.propagate
    log_as("json")
    log_as("json")
    assert sum(isinstance(handler, JsonHandler) for handler in ours.handlers) == 1
    assert not ours.propagate


def test_the_setting() -> None:
    with pytest.raises(InputError, match="log_format"):
        parse(ServiceSettings, {"log_format": "xml"}, "args")


@pytest.mark.parametrize("decision_log", ["durable", "async"])
def test_nothing_of_a_user(
    tmp_path: Path,
    start: Callable[..., TestClient],
    monkeypatch: pytest.MonkeyPatch,
    ours: logging.Logger,
    decision_log: str,
) -> None:
    register_network(tmp_path)
    client = start(log_format="json", slow_ms=0.001, decision_log=decision_log)
    written = io.StringIO()
    (handler,) = (handler for handler in ours.handlers if isinstance(handler, JsonHandler))
    handler.setStream(written)

    def refused(*_: Any, **__: Any) -> Future:
        failed: Future = Future()
        failed.set_exception(ValueError(f"disk of {USER}"))
        return failed

    monkeypatch.setattr(client.app.state.runtime.store, "write_decision", refused)  # type: ignore[attr-defined]
    monkeypatch.setattr(store_writes, "write_answered", lambda *_: refused().result())
    headers = {"X-Request-ID": "req-7"}
    client.post("/v1/recommendations", json={"user_id": USER, "exclude_items": [ITEM]}, headers=headers)
    client.post("/v1/events", json={"events": [click("e", ITEM, user_id=USER)]}, headers=headers)
    client.get(f"/v1/users/{USER}/nothing", headers=headers)
    client.__exit__(None, None, None)
    records = [json.loads(line) for line in written.getvalue().splitlines()]
    client.__enter__()
    assert "olga" not in written.getvalue()
    (slow, *_) = (r for r in records if " took " in r["message"])
    assert slow["request_id"] == "req-7"
    assert slow["recommendation_id"].startswith("rec_")
    (failed,) = (r for r in records if r["level"] == "ERROR")
    assert failed["recommendation_id"] == slow["recommendation_id"]
