"""Any bytes: what reads bodies gives a value or a problem, and raises nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny_model import click

from rec_platform.serving.api_models import RecommendationRequest
from rec_platform.serving.event_intake import MAX_DEPTH, read_events
from rec_platform.serving.problems import Problem, from_validation

T = TypeVar("T")

GOOD = json.dumps({"events": [click("e", "i1", context={"hour": 1.0}, value=2.5)]}).encode()
ASKED = json.dumps({"user_id": "u", "limit": 3, "context": {"hour": 1.0}, "candidates": ["i1", "i2"]}).encode()

VALUES = st.sampled_from(
    [
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"9" * 400,
        b"9" * 5000,
        b"-0",
        b"1E400",
        b"\xff",
        b'"\\ud800"',
        b'"\\u0000"',
        b"{}",
    ]
    + [b"[" * depth + b"]" * depth for depth in (MAX_DEPTH - 1, MAX_DEPTH + 2, 190, 210, 100_000)]
    + [b'{"a":' * depth + b"1" + b"}" * depth for depth in (MAX_DEPTH + 2, 190, 50_000)]
)


@st.composite
def spoiled(draw: st.DrawFn, good: bytes) -> bytes:
    """A good body with something cut out and something put in."""
    start = draw(st.integers(0, len(good)))
    end = draw(st.integers(start, min(len(good), start + 20)))
    return good[:start] + draw(st.binary(max_size=6) | VALUES) + good[end:]


def value_or_problem(read: Callable[[], T]) -> T | Problem:
    """What ``read`` gives, or the problem that it raises, which must be the caller's and must be JSON."""
    try:
        return read()
    except Problem as problem:
        json.loads(json.dumps(problem.body()))
        return problem if 400 <= problem.status < 500 else pytest.fail(f"{problem.status}")


def take(body: bytes) -> None:
    intake = value_or_problem(lambda: read_events(body, received_at=1_700_000_000_000_000))
    if isinstance(intake, Problem):
        return
    json.dumps(intake.rejections)
    for row in intake.rejected_rows:
        for text in (row["body"], row["problem"], row["event_id"] or ""):
            text.encode()  # a database takes it
    for row in intake.rows:
        json.loads(row["body"])
        row["user_id"].encode()


def asked(body: bytes) -> RecommendationRequest:
    try:
        return RecommendationRequest.model_validate_json(body)
    except ValidationError as error:
        raise from_validation(error) from None


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=60) | spoiled(GOOD))
@example(body=b'{"events": [{"event_id": "\\ud800"}]}')
@example(body=b'{"events": [' + b"9" * 4000 + b"]}")
def test_events(body: bytes) -> None:
    take(body)


@settings(max_examples=200, deadline=None)
@given(value=VALUES, field=st.sampled_from(["event_id", "value", "context", "items", "quantity", "surprise"]))
def test_a_value_in_an_event(value: bytes, field: str) -> None:
    take(b'{"events": [{"type": "interaction", "user_id": "u", "%s": %s}]}' % (field.encode(), value))


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=60) | spoiled(ASKED))
def test_requests(body: bytes) -> None:
    value_or_problem(lambda: asked(body))


@pytest.mark.parametrize("bracket", [b"[", b'{"a":'])
def test_deep(bracket: bytes) -> None:
    body = b'{"events": ' + bracket * 100_000
    with pytest.raises(Problem) as caught:
        read_events(body, received_at=1)
    assert caught.value.kind == "malformed"
    deep: object = 1
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    body = json.dumps({"events": [click("a", "i1"), click("b", "i1", surprise=deep)]}).encode()
    intake = read_events(body, received_at=1_700_000_000_000_000)
    assert (len(intake.rows), [r["problem"]["detail"] for r in intake.rejections]) == (
        1,
        [f"the event is nested deeper than {MAX_DEPTH} levels"],
    )


def test_the_last_of_two_equal_keys_counts() -> None:
    request = RecommendationRequest.model_validate_json(b'{"user_id": "a", "limit": 1, "user_id": "b"}')
    assert request.user_id == "b"
    body = json.dumps({"events": [click("e", "i1")]}).replace('"user_id": "u"', '"user_id": "a", "user_id": "b"')
    (row,) = read_events(body.encode(), received_at=1).rows
    assert (row["user_id"], json.loads(row["body"])["user_id"]) == ("b", "b")


@pytest.mark.parametrize("part", ["%00", "%ff", "%f0%28", "%0a", "..%2f..", "%25", "a%2Fb", "\u00e9", " "])
def test_paths(tmp_path: Path, start: Callable[..., TestClient], part: str) -> None:
    client = start("nobody")
    for path in (
        f"/v1/recommendations/{part}",
        f"/v1/users/{part}/recommendations",
        f"/v1/users/u/recommendations?placement={part}",
    ):
        answer = client.get(path)
        assert answer.status_code in (404, 422, 503)
        assert answer.headers["content-type"] == "application/problem+json"


def test_odd_headers(tmp_path: Path, start: Callable[..., TestClient]) -> None:
    client = start("nobody")
    for name in (b"idempotency-key", b"x-request-id", b"authorization", b"content-length-not", b"content-type"):
        for value in (b"\xff\xfe", b"", b"x" * 1000, b"a,b", b'"'):
            answer = client.post("/v1/recommendations", content=ASKED, headers=[(name, value)])
            assert answer.status_code in (422, 503)
