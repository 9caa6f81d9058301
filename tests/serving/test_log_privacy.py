"""Whatever happens, the log names requests and decisions and nothing that a user or a caller sent."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError
from tiny_model import click, register_network

from rec_platform.serving import store_writes
from rec_platform.serving.api_keys import KeyFile

USER, ITEM, CONTEXT = "user-olga-1971", "item-of-olga", "feature_of_olga"


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that any logger says, at any level, as a handler would write it."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for name in ("httpx", "httpcore", "asyncio"):  # the client's, not the service's
        logging.getLogger(name).setLevel(logging.WARNING)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize("decision_log", ["durable", "async"])
def test_nothing_of_a_user(
    tmp_path: Path,
    start: Callable[..., TestClient],
    monkeypatch: pytest.MonkeyPatch,
    logged: io.StringIO,
    decision_log: str,
) -> None:
    register_network(tmp_path)
    _, key = KeyFile(tmp_path / "keys.json").create("shop", ["recommend", "events", "admin"])
    client = start(authentication="required", decision_log=decision_log)
    client.headers["X-Request-ID"] = "req-77"
    path = f"/v1/users/{USER}/recommendations"

    def everything(headers: dict[str, str]) -> set[int]:
        body = {"user_id": USER, "limit": 2, "exclude_items": [ITEM], "context": {CONTEXT: 1.0}}
        answers = [
            client.get(path, headers=headers),
            client.get(f"{path}?limit=no", headers=headers),
            client.get(f"/v1/users/{USER}/nothing", headers=headers),
            client.post("/v1/recommendations", json=body, headers=headers),
            client.post("/v1/recommendations", json=body | {"limit": 1000}, headers=headers),
            client.post("/v1/recommendations", content=f'{{"user_id": "{USER}"', headers=headers),
            client.post("/v1/events", json={"events": [click("e", ITEM, user_id=USER)]}, headers=headers),
            client.post("/v1/events", json={"events": [click("e", ITEM, user_id=USER, more=1)]}, headers=headers),
        ]
        return {answer.status_code for answer in answers}

    assert everything({"Authorization": f"Bearer {key}"}) == {200, 202, 400, 404, 422}
    assert everything({"Authorization": f"Bearer {key[:-1]}x"}) == {401}
    runtime = client.app.state.runtime  # type: ignore[attr-defined]

    def unwritten(*_: Any, **__: Any) -> Future:
        failed: Future = Future()
        failed.set_exception(
            OperationalError("INSERT …", {"user_id": USER, "item": ITEM}, Exception(f"disk of {USER}"))
        )
        return failed

    async def breaks(ask: Any) -> None:
        try:
            raise KeyError(USER)
        except KeyError as error:
            raise ValueError(f"{ask} failed for {ITEM}") from error

    with monkeypatch.context() as patch:
        patch.setattr(runtime.store, "write_decision", unwritten)
        patch.setattr(store_writes, "write_answered", lambda *_: unwritten().result())
        patch.setattr(runtime.store, "add_events", unwritten)
        assert 503 in everything({"Authorization": f"Bearer {key}"})
        while runtime.store.decisions_pending:
            time.sleep(0.01)
    with monkeypatch.context() as patch:
        patch.setattr(runtime, "decide", breaks)
        assert 500 in everything({"Authorization": f"Bearer {key}"})
    asyncio.run(asyncio.sleep(0))
    said = logged.getvalue()
    for private in (USER, ITEM, CONTEXT, key, key.split("_")[2], "olga"):
        assert private not in said
    assert "GET /v1/users/{user_id}/recommendations [req-77] failed" in said
    assert "builtins.ValueError at:" in said
    assert "builtins.KeyError at:" in said
    assert "could not write" in said if decision_log == "durable" else "could not be logged" in said
