"""Who comes in: keys and their scopes, the file of keys while the service runs, and the door to other machines."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from tiny_model import click, register_network

from rec_platform.errors import InputError
from rec_platform.serving import rate_limit
from rec_platform.serving.access import Access
from rec_platform.serving.api_keys import SCOPES, KeyFile
from rec_platform.serving.app import build
from rec_platform.serving.config import ServeConfig, on_loopback
from rec_platform.serving.guard import scope_of
from rec_platform.serving.routes import create_app
from rec_platform.serving.settings import ServiceSettings

TOKEN = "an operator's own words"
LOCAL = Path(__file__).parents[2] / "serve_configs" / "local.yaml"


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    register_network(tmp_path)
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def serve(keys: KeyFile, start: Callable[..., TestClient]) -> Callable[..., TestClient]:
    def started(**settings: object) -> TestClient:
        return start(authentication="required", **settings)

    return started


def refused(answer: Any, status: int, kind: str) -> str:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["type"].endswith(kind)
    return answer.headers.get("www-authenticate", "")


ROUTES = [
    ("recommend", "POST", "/v1/recommendations", {"user_id": "u", "limit": 2}),
    ("recommend", "GET", "/v1/users/u/recommendations?limit=2", None),
    ("recommend", "GET", "/v1/recommendations/rec_1", None),
    ("recommend", "POST", "/v1/recommendations/rec_1/activate", None),
    ("recommend", "POST", "/v1/rank", {"user_id": "u", "candidates": ["i1", "i2"]}),
    ("recommend", "POST", "/v1/items/i1/similar", {"limit": 2}),
    ("admin", "PUT", "/v1/users/u", {"age": 30}),
    ("admin", "PATCH", "/v1/users/u", {"age": 31}),
    ("admin", "GET", "/v1/users/u", None),
    ("admin", "DELETE", "/v1/users/somebody", None),
    ("admin", "GET", "/v1/erasures/erase_1", None),
    ("admin", "PUT", "/v1/items/i1", {"price": 2}),
    ("admin", "PATCH", "/v1/items/i1", {"price": 3}),
    ("admin", "GET", "/v1/items/i1", None),
    ("admin", "DELETE", "/v1/items/i1", None),
    ("admin", "POST", "/v1/items:batch", {"items": [{"item_id": "i1"}]}),
    ("events", "POST", "/v1/events", {"events": [click("e", "i1")]}),
    ("admin", "GET", "/v1/info", None),
    ("admin", "GET", "/v1/anything-not-thought-of", None),
]


def test_scopes(keys: KeyFile, serve: Callable[..., TestClient]) -> None:
    text = {scope: keys.create(scope, [scope])[1] for scope in SCOPES}
    client = serve()
    for needed, method, path, body in ROUTES:
        for scope in SCOPES:
            answer = client.request(method, path, json=body, headers=bearer(text[scope]))
            if scope == needed:
                assert answer.status_code in (200, 202, 204, 404)
            else:
                assert refused(answer, 403, "forbidden") == f'Bearer error="insufficient_scope", scope="{needed}"'
        assert refused(client.request(method, path, json=body), 401, "unauthorized") == "Bearer"
    for path in ("/healthz", "/readyz", "/docs", "/v1/openapi.json"):
        assert client.get(path).status_code == 200
    assert client.app.state.runtime.store.counts()["events"] == 1  # type: ignore[attr-defined]


def test_every_route_has_the_scope_it_was_meant_to_have() -> None:
    """Looks new to you? Say in `guard.scope_of` who may use the new route, and add it here."""
    found = {path: scope_of(path) for path in create_app(None).openapi()["paths"]}
    assert found == {
        "/healthz": None,
        "/readyz": None,
        "/v1/erasures/{job_id}": "admin",
        "/v1/events": "events",
        "/v1/info": "admin",
        "/v1/items/{item_id}": "admin",
        "/v1/items/{item_id}/similar": "recommend",
        "/v1/items:batch": "admin",
        "/v1/rank": "recommend",
        "/v1/recommendations": "recommend",
        "/v1/recommendations/{recommendation_id}": "recommend",
        "/v1/recommendations/{recommendation_id}/activate": "recommend",
        "/v1/users/{user_id}": "admin",
        "/v1/users/{user_id}/recommendations": "recommend",
    }
    for path in ("/v1/models", "/v1/users/u", "/v1/items/i", "/v1/rank/", "//v1/rank", "/V1/rank", "/v1/events\n", ""):
        assert scope_of(path) == "admin"
    for path in ("/v1/rank", "/v1/items/i/similar"):
        assert scope_of(path) == "recommend"


def test_what_is_no_key(keys: KeyFile, serve: Callable[..., TestClient]) -> None:
    key, text = keys.create("good", ["admin"])
    late = keys.create("late", ["admin"], expires_in=timedelta(0))[1]
    gone = keys.create("gone", ["admin"])[1]
    keys.revoke(gone)
    client = serve()
    assert client.get("/v1/info", headers=bearer(text)).status_code == 200
    assert client.get("/v1/info", headers={"Authorization": f"bearer  {text} "}).status_code == 200
    secret = text.split("_")[2]
    wrong = ["", "x", late, gone, secret, key.id, text[:-1], text + "0", text.upper(), f"rp_{key.id}_", key.sha256]
    wrong += [f"rp_{'0' * 12}_{secret}", f"rp_{key.id}_{gone.split('_')[2]}", f"Bearer {text}", "_" * 100, "é" * 40]
    for words in wrong:
        answer = client.get("/v1/info", headers={"Authorization": f"Bearer {words}".encode()})
        assert refused(answer, 401, "unauthorized") == 'Bearer error="invalid_token"'
    for header in (text, f"Basic {text}", f"Bearer{text}"):
        refused(client.get("/v1/info", headers={"Authorization": header}), 401, "unauthorized")
    assert client.get("/v1/info", headers=bearer(text)).json()["keys"] == 1


def test_the_operators_token(tmp_path: Path, serve: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    client = serve(token_file=tmp_path / "token")
    answer = client.get("/v1/info", headers=bearer(TOKEN))
    assert answer.status_code == 200
    assert TOKEN not in answer.text
    assert client.get("/v1/users/u/recommendations?limit=1", headers=bearer(TOKEN)).status_code == 200
    refused(client.get("/v1/info", headers=bearer(TOKEN + ".")), 401, "unauthorized")
    (tmp_path / "token").write_text("short")
    with pytest.raises(InputError, match="shorter than 16"):
        serve(token_file=tmp_path / "token")
    monkeypatch.setenv("REC_PLATFORM_TOKEN", TOKEN)
    assert Access(ServiceSettings(home=tmp_path)).authenticate(f"Bearer {TOKEN}".encode()).scopes == set(SCOPES)


def test_the_file_of_keys_changes_while_the_service_runs(keys: KeyFile, serve: Callable[..., TestClient]) -> None:
    first, first_text = keys.create("first", ["admin"])
    client = serve(poll_seconds=0.02)

    def status(text: str) -> int:
        return client.get("/v1/info", headers=bearer(text)).status_code

    def eventually(text: str, wanted: int) -> bool:
        deadline = time.monotonic() + 10
        while status(text) != wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        return status(text) == wanted

    _, second = keys.create("second", ["admin"])
    assert eventually(second, 200)
    keys.revoke(first.id)
    assert eventually(first_text, 401)
    whole = keys.path.read_text()
    access = client.app.state.runtime.access  # type: ignore[attr-defined]
    for damage in (lambda: keys.path.write_text(whole[:-20]), keys.path.unlink, lambda: keys.path.write_text("")):
        damage()
        access.refresh()
        assert (status(second), status(first_text), status("nobody")) == (200, 401, 401)
        ready = client.get("/readyz").json()
        assert ready["status"] == "ready"
        assert "cannot be read" in ready["key_error"]
        assert str(keys.path) not in ready["key_error"]  # it is open to all
        assert client.get("/v1/info", headers=bearer(second)).json()["key_error"].startswith(str(keys.path))
    keys.path.write_text(whole)
    access.refresh()
    assert client.get("/readyz").json()["key_error"] is None
    keys.path.write_text('{"keys": []}')
    assert eventually(second, 401)


def test_requests_a_second(keys: KeyFile, serve: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr(rate_limit.TokenBucket.__init__, "__kwdefaults__", {"replicas": 1, "clock": lambda: now[0]})
    _, slow = keys.create("slow", ["admin"], rate_limit=2)
    _, usual = keys.create("usual", ["admin"])
    client = serve(rate_limit=5)
    answers = [client.get("/v1/info", headers=bearer(slow)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit"] for answer in answers] == [f'"default";r={r};t=1' for r in (1, 0, 0)]
    assert answers[0].headers["ratelimit-policy"] == '"default";q=2;w=1'
    refused(answers[2], 429, "too-many-requests")
    assert answers[2].headers["retry-after"] == "1"
    statuses = [client.get("/v1/info", headers=bearer(usual)).status_code for _ in range(6)]
    assert statuses == [200] * 5 + [429]  # a limit for itself, and the service's own
    access = client.app.state.runtime.access  # type: ignore[attr-defined]
    keys.create("another", ["admin"])
    access.refresh()
    assert client.get("/v1/info", headers=bearer(slow)).status_code == 429  # a changed file forgives nothing
    now[0] += 1
    refused(client.post("/v1/events", headers=bearer(slow)), 403, "forbidden")  # counted all the same
    assert client.get("/v1/info", headers=bearer(slow)).status_code == 200
    assert client.get("/v1/info", headers=bearer(slow)).status_code == 429
    for number in range(50):
        refused(client.get("/v1/info", headers=bearer(f"rp_{number:012x}_0")), 401, "unauthorized")
    assert len(access._callers) == 3
    access.shared_by(2)
    statuses = [client.get("/v1/info", headers=bearer(slow)).status_code for _ in range(2)]
    assert statuses == [200, 429]


def test_a_limit_for_all_where_nobody_shows_a_key(keys: KeyFile, start: Callable[..., TestClient]) -> None:
    client = start(rate_limit=1)
    statuses = {client.get("/v1/info").status_code for _ in range(5)}
    assert statuses == {200, 429}
    assert client.get("/healthz").status_code == 200
    assert "ratelimit" not in start().get("/v1/info").headers


def test_nobody_could_come_in(tmp_path: Path) -> None:
    for settings in (ServiceSettings(home=tmp_path), ServiceSettings(home=tmp_path, authentication="required")):
        with pytest.raises(InputError, match=r"authentication: is required, and there is neither a key"):
            Access(settings)
    KeyFile(tmp_path / "keys.json").create("n", ["admin"])
    assert Access(ServiceSettings(home=tmp_path)).required
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(InputError, match="is not a file of keys"):
        Access(ServiceSettings(home=tmp_path))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "recommender.example", "127.0.0.1.example", "", None])
def test_the_door_stays_shut(tmp_path: Path, host: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REC_PLATFORM_TOKEN", raising=False)
    assert not on_loopback(host)
    config = ServeConfig(model="m", host=host, settings=ServiceSettings(home=tmp_path))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="authentication: is required"):
        config.resolved()
    KeyFile(tmp_path / "keys.json").create("n", ["admin"])
    assert config.resolved().settings.authentication == "required"
    values = yaml.safe_load(LOCAL.read_text())
    values["http_options"] = {"port": 8000} if host is None else {"host": host}  # Serve's own default is 0.0.0.0
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match="authentication: is off, and"):
        ServeConfig.load(tmp_path / "serve.yaml")
    if host is not None:
        with pytest.raises(InputError, match="authentication: is off, and"):
            ServeConfig.load(LOCAL).changed(host=host).resolved()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_on_loopback(tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REC_PLATFORM_TOKEN", raising=False)
    assert on_loopback(host)
    config = ServeConfig(model="m", host=host, settings=ServiceSettings(home=tmp_path))
    assert config.resolved().settings.authentication == "off"
    monkeypatch.setenv("REC_PLATFORM_TOKEN", TOKEN)
    assert config.resolved().settings.authentication == "required"


def test_a_deployed_file_is_held_against_where_serve_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    class Listening:
        class http_config:
            host = "0.0.0.0"

    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("rec_platform.serving.app._get_global_client", lambda **_: Listening)
    build({})
    for off in ("off", False):  # YAML reads a bare `off` as false
        with pytest.raises(InputError, match=r"authentication: is off, and 0\.0\.0\.0"):
            build({"authentication": off})
    Listening.http_config.host = "127.0.0.1"
    build({"authentication": "off"})
