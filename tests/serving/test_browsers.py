"""Pages of other origins are let in by name only, and answers are neither guessed at nor kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError
from tiny_model import register_network

from rec_platform.serving.api_keys import KeyFile
from rec_platform.serving.settings import ServiceSettings

SHOP, OTHER = "https://shop.example", "https://shop.example.evil.example"
ASK = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


def cors(answer: object) -> dict[str, str]:
    headers = answer.headers  # type: ignore[attr-defined]
    return {name: value for name, value in headers.items() if name.startswith("access-control")}


def test_off_by_default(client: TestClient) -> None:
    answer = client.get("/v1/info", headers={"Origin": SHOP})
    assert (answer.status_code, cors(answer)) == (200, {})
    answer = client.options("/v1/recommendations", headers={"Origin": SHOP, **ASK})
    assert (answer.status_code, cors(answer)) == (405, {})


def test_named_origins(tmp_path: Path, start: Callable[..., TestClient]) -> None:
    register_network(tmp_path)
    _, key = KeyFile(tmp_path / "keys.json").create("page", ["recommend"])
    client = start(authentication="required", cors_origins=[SHOP])
    asked = client.options("/v1/recommendations", headers={"Origin": SHOP, **ASK})  # browsers ask without a key
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, SHOP)
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    headers = {"Origin": SHOP, "Authorization": f"Bearer {key}"}
    answer = client.post("/v1/recommendations", json={"user_id": "u", "limit": 1}, headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, SHOP)
    assert "origin" in answer.headers["vary"].lower()
    problem = client.post("/v1/recommendations", json={}, headers={"Origin": SHOP})
    assert (problem.status_code, problem.headers["access-control-allow-origin"]) == (401, SHOP)
    assert "access-control-allow-credentials" not in answer.headers
    for origin in (OTHER, "https://SHOP.example", "http://shop.example", "null", "https://shop.example:444"):
        assert "access-control-allow-origin" not in client.get("/v1/info", headers={"Origin": origin}).headers
        refused = client.options("/v1/recommendations", headers={"Origin": origin, **ASK})
        assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")
        assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("origin", ["*", "https://*.example", "shop.example", "https://shop.example/", "null", ""])
def test_only_exact_origins(origin: str) -> None:
    with pytest.raises(ValidationError):
        ServiceSettings.model_validate({"cors_origins": [origin]})


def test_headers_of_every_answer(client: TestClient) -> None:
    for path in ("/v1/info", "/v1/nothing", "/v1/recommendations", "/healthz", "/docs"):
        answer = client.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers.get("cache-control") == ("no-store" if path.startswith("/v1") else None)
