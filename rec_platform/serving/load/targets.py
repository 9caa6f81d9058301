"""What a generator can be pointed at: the service's two busy routes, the no-op, and what all of them are asked."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from rec_platform.errors import InputError
from rec_platform.serving.load.measure import Measurement, measure
from rec_platform.serving.load.plan import Plan, post

SLATES_A_SESSION = 10
PLACE = "@number@"
"""Stands for a running number while a body is put together."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address and what it is asked.

    Attributes:
        name: in the results.
        plan: how it is asked.
        replicas: process ids of those that answer; empty where they are elsewhere.
    """

    name: str
    plan: Plan
    replicas: tuple[int, ...] = ()

    def measure(self) -> Measurement:
        return measure(self.plan, replicas=self.replicas)


def recommend(url: str, shape: Plan, *, users: int, limit: int, key: str | None = None) -> Plan:
    """``POST /v1/recommendations`` for the users of `bench_model.add_users`, ten slates a session."""
    run = secrets.token_hex(4)
    bodies = [
        {"user_id": f"bench-{user}", "session_id": f"{run}-{user}-{PLACE}", "limit": limit} for user in range(users)
    ]
    return _plan(
        url, "/v1/recommendations", bodies, shape, key, counters=1, numbers_last=users * SLATES_A_SESSION, expected=200
    )


def events(url: str, shape: Plan, item_ids: Sequence[str], *, batch: int, users: int, key: str | None = None) -> Plan:
    """``POST /v1/events`` with batches of clicks that nobody has sent before."""
    rng, run = np.random.default_rng(2), secrets.token_hex(4)
    bodies = []
    for _ in range(200):
        clicks = []
        for user, item in zip(rng.integers(users, size=batch), rng.integers(len(item_ids), size=batch), strict=True):
            who = f"bench-{user}"
            clicks.append(
                {
                    "event_id": f"bench-{run}-{PLACE}",
                    "type": "interaction",
                    "user_id": who,
                    "session_id": f"{run}-{who}",
                    "item_id": item_ids[item],
                    "action": "click",
                }
            )
        bodies.append({"events": clicks})
    plan = _plan(url, "/v1/events", bodies, shape, key, counters=batch, numbers_last=1, expected=202)
    return replace(plan, counted="accepted")


def noop(url: str, shape: Plan) -> Plan:
    """``POST`` to `noop.Noop` with a small body, which it does not read."""
    return _plan(url, "/", [{"user_id": "bench-0", "limit": 10}], shape, None, counters=0, numbers_last=1, expected=200)


def replicas_of(pid: int) -> tuple[int, ...]:
    """The Serve replica ``pid`` and its like under the same parent; empty where this machine has no such replica."""
    title = _title(pid)
    if b"ServeReplica" not in title:
        return ()
    parent = _parent(pid)
    everybody = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return tuple(other for other in everybody if _title(other) == title and _parent(other) == parent)


def information(url: str, *, key: str | None = None) -> dict[str, Any]:
    """``GET /v1/info`` of a running service.

    Raises:
        InputError: nobody answers there, or it is not our service, or the key is not the right one.
    """
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    try:
        answer = httpx.get(f"{url}/v1/info", headers=headers, timeout=10)
        told = answer.json() if answer.status_code == 200 else {}
    except (httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError) as error:
        raise InputError("url", f"{url} does not answer as the service does: {error}", "is it running?") from None
    if answer.status_code == 401:
        raise InputError("key", f"{url} refuses it", "give the service's token: --key")
    if "pid" not in told:
        raise InputError("url", f"{url}/v1/info answers {answer.status_code}", "give the base URL of the service")
    return told


def some_items(url: str, *, key: str | None = None) -> tuple[str, ...]:
    """A few items that a running service knows."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    body = {"user_id": "bench-0", "limit": 1, "validate_only": True}
    answer = httpx.post(f"{url}/v1/recommendations", json=body, headers=headers, timeout=30)
    if answer.status_code != 200:
        raise InputError("url", f"{url} does not recommend: {answer.status_code} {answer.text[:200]}")
    return tuple(item["item_id"] for item in answer.json()["items"])


def _plan(
    url: str,
    path: str,
    bodies: Sequence[dict[str, Any]],
    shape: Plan,
    key: str | None,
    *,
    counters: int,
    numbers_last: int,
    expected: int,
) -> Plan:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        raise InputError("url", f"'{url}' is not http://HOST[:PORT]", "the load generator speaks plain HTTP")
    texts = (json.dumps(body).replace("%", "%%").replace(PLACE, "%012d") for body in bodies)
    templates = tuple(post(parts.netloc, parts.path.rstrip("/") + path, text.encode(), key=key) for text in texts)
    return replace(
        shape,
        host=parts.hostname,
        port=parts.port or 80,
        templates=templates,
        counters=counters,
        numbers_last=numbers_last,
        expected=expected,
    )


def _title(pid: int) -> bytes:
    """What a process calls itself, less the method that an actor runs just now."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b".")[0]
    except OSError:
        return b""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1
