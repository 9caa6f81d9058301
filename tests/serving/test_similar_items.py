"""Items alike by their content features, held against the cosine as it is written down."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from tiny_model import make_catalog

from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.policies.scorers import StaticScorer
from rec_platform.registry import ModelRegistry, ObservationContract, write_bundle
from rec_platform.serving.problems import Problem
from rec_platform.serving.similar_items import SimilarItems
from rec_platform.types import Float32


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:rec-platform:problem:{kind}"
    return body


def cosine(a: list[float], b: list[float]) -> float:
    lengths = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(x * x for x in b))
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def with_features(features: Float32) -> Catalog:
    names = tuple(f"f{n}" for n in range(features.shape[1]))
    return dataclasses.replace(make_catalog(len(features)), features=features, feature_names=names)


@pytest.mark.parametrize("scale", [1.0, 1e30, 1e-30])
def test_against_the_definition(scale: float) -> None:
    rng = np.random.default_rng(3)
    features = (rng.normal(size=(60, 5)) * scale).astype(np.float32)
    features[[4, 9]] = 0
    catalog, finder = with_features(features), SimilarItems()
    for item in (0, 4, 7):
        exact = {
            other: cosine(features[item].tolist(), features[other].tolist()) for other in range(60) if other != item
        }
        found = finder.of(catalog, f"i{item}", 59)
        assert dict(found) == pytest.approx({f"i{other}": value for other, value in exact.items()}, abs=2e-6)
        assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
        for limit in (1, 10, 58, 500):
            assert finder.of(catalog, f"i{item}", limit) == found[:limit]


def test_ties_are_in_the_catalogues_order() -> None:
    features = np.tile(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), (30, 1))
    finder, catalog = SimilarItems(), with_features(features)
    even = [f"i{n}" for n in range(2, 60, 2)]
    odd = [f"i{n}" for n in range(1, 60, 2)]
    for limit in (1, 5, 29, 40, 59):
        assert [name for name, _ in finder.of(catalog, "i0", limit)] == (even + odd)[:limit]
    assert [name for name, _ in finder.of(catalog, "i0", 2, ["i2", "i0", "unknown", "i6", "i2"])] == ["i4", "i8"]
    assert finder.of(catalog, "i0", 2, [f"i{n}" for n in range(60)]) == []
    other = with_features(-features)
    assert finder.of(other, "i1", 1) == [("i3", 1.0)]  # another catalogue, other vectors


def test_nothing_to_compare() -> None:
    with pytest.raises(Problem, match="no content features"):
        SimilarItems().of(with_features(np.zeros((3, 0), np.float32)), "i0", 1)
    with pytest.raises(Problem, match="no item 'x'"):
        SimilarItems().of(make_catalog(3), "x", 1)
    assert SimilarItems().of(make_catalog(1), "i0", 5) == []


def test_over_http(client: TestClient, start: Callable[..., TestClient]) -> None:
    answer = client.post("/v1/items/i3/similar", json={"limit": 4, "exclude_items": ["i1", "unknown"]})
    assert answer.status_code == 200
    body = answer.json()
    features = make_catalog(40).features.tolist()
    scores = {f"i{n}": cosine(features[3], features[n]) for n in range(40) if n not in (1, 3)}
    best = sorted(scores, key=lambda name: -scores[name])[:4]
    assert (body["item_id"], body["model"]) == ("i3", {"name": "tiny", "version": "1"})
    assert [(item["rank"], item["item_id"]) for item in body["items"]] == list(enumerate(best, start=1))
    assert [item["score"] for item in body["items"]] == pytest.approx([scores[name] for name in best], abs=1e-6)
    assert len(client.post("/v1/items/i3/similar", json={}).json()["items"]) == 10
    assert len(client.post("/v1/items/i3/similar", json={"limit": 500}).json()["items"]) == 39
    assert client.app.state.runtime.store.counts()["decisions"] == 0  # type: ignore[attr-defined]
    bodies: list[Any] = [{"limit": 0}, {"limit": 501}, {"limit": "3"}, {"exclude_items": "i1"}, {"filter": {}}, []]
    for wrong in bodies:
        problem(client.post("/v1/items/i3/similar", json=wrong), 422, "validation")
    problem(client.post("/v1/items/i3/similar", content=b""), 400, "malformed")
    problem(client.post("/v1/items/unknown/similar", json={}), 404, "not-found")
    problem(client.get("/v1/items/i3/similar"), 405, "method-not-allowed")
    problem(start(max_body_bytes=1024).post("/v1/items/i3/similar", content=b" " * 2000), 413, "too-large")
    problem(start("nobody").post("/v1/items/i3/similar", json={}), 503, "not-ready")


def test_a_catalogue_without_features(tmp_path: Path, start: Callable[..., TestClient]) -> None:
    registry = ModelRegistry(tmp_path)
    catalog = with_features(np.zeros((5, 0), np.float32))
    policy = Policy("plain", StaticScorer(np.arange(5, dtype=np.float32)), Greedy())
    contract = ObservationContract(history_length=0, slate_size=2, full_catalogue=True)
    version = registry.register(
        "tiny",
        lambda folder: write_bundle(
            folder,
            policy=policy,
            greedy_sampler=Greedy(),
            catalog=catalog,
            observation=contract,
            feedback=FeedbackRule(),
        ),
    )
    registry.promote("tiny", version)
    answer = problem(start().post("/v1/items/i1/similar", json={}), 422, "validation")
    assert "no content features" in answer["detail"]
