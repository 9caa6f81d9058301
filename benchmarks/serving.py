"""How fast is the service, and what does a request cost?

    python benchmarks/serving.py [--seconds 20] [--clients 1 16] [--items 1000] [--model NAME --home DIR]

Starts the service on loopback (a generated model of a network's cost where none is named), then asks for
recommendations and posts events, each with 1 and with 16 clients. Clients are threads of one other process, so that
their work is not the service's; on few cores they still compete with it. Prints one JSON object: ``results``, one flat
object a measurement: ``what``, ``clients``, ``requests``, ``errors``, ``requests_per_second``, ``p50_ms``, ``p95_ms``,
``cpu_us_per_request`` (of the replica, HAProxy and everything else that Ray runs; ``replica_cpu_us`` is the replica's
share) and ``client_cpu_us``.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.scorers import DiverseScorer, StaticScorer
from rec_platform.registry import ModelRegistry, ObservationContract, write_bundle

USERS = 2000
WARM_UP_S = 2.0
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run it with the numbers of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--items", type=int, default=1000, help="of the generated model")
    parser.add_argument("--model", help="a registered one instead, NAME[@ALIAS or VERSION]")
    parser.add_argument("--home", type=Path, help="where --model is registered; events are kept elsewhere")
    arguments = parser.parse_args()

    from rec_platform.serving.config import ServeConfig
    from rec_platform.serving.launch import running_service
    from rec_platform.serving.settings import ServiceSettings

    with tempfile.TemporaryDirectory() as folder:
        home = arguments.home or Path(folder)
        if not arguments.model:
            register_model(home, arguments.items)
        settings = ServiceSettings(home=home, authentication="off", store=f"sqlite:///{folder}/events.db")
        config = ServeConfig(model=arguments.model or "bench", port=0, settings=settings)
        with running_service(config) as url:
            items = [i["item_id"] for i in ask(url, {"user_id": "warm", "limit": 50})["items"]]
            results = [
                measure(url, what, clients, arguments.seconds, items)
                for what in ("recommendations", "events")
                for clients in arguments.clients
            ]
    print(json.dumps({"results": results}))


def register_model(home: Path, items: int) -> None:
    """Popularity less likeness to the recent history: reads everything that a network reads."""
    rng = np.random.default_rng(0)
    names = tuple(f"i{n}" for n in range(items))
    popularity = rng.dirichlet(np.ones(items)).astype(np.float32)
    features = rng.normal(size=(items, 32)).astype(np.float32)
    catalog = Catalog(names, names, features, tuple(f"f{n}" for n in range(32)), popularity)
    registry = ModelRegistry(home)
    version = registry.register(
        "bench",
        lambda folder: write_bundle(
            folder,
            policy=Policy("bench", DiverseScorer(StaticScorer(popularity), features, 1.0), PlackettLuce(0.1)),
            greedy_sampler=Greedy(),
            catalog=catalog,
            observation=ObservationContract(history_length=20, slate_size=10, full_catalogue=True),
            feedback=FeedbackRule(),
        ),
    )
    registry.promote("bench", version)


def ask(url: str, body: dict[str, Any]) -> Any:
    """One recommendation."""
    return httpx.post(f"{url}/v1/recommendations", json=body, timeout=30).raise_for_status().json()


def measure(url: str, what: str, clients: int, seconds: float, items: list[str]) -> dict[str, Any]:
    """One row of results."""
    replica = int(httpx.get(f"{url}/v1/info").json()["pid"])
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    process = context.Process(target=_clients, args=(url, what, clients, seconds, items, answers), daemon=True)
    process.start()
    answers.get(timeout=60)  # warm: from here on it counts
    before, replica_before = _cpu(_children(os.getpid()) - {process.pid}), _cpu([replica])
    milliseconds, errors, wall, client_cpu = answers.get(timeout=seconds + 60)
    spent = _cpu(_children(os.getpid()) - {process.pid}) - before
    replica_spent = _cpu([replica]) - replica_before
    process.join(timeout=10)
    count = len(milliseconds)
    p50, p95 = np.percentile(milliseconds, [50, 95]) if count else (float("nan"),) * 2
    return {
        "what": what,
        "clients": clients,
        "requests": count,
        "errors": errors,
        "requests_per_second": round(count / wall, 1),
        "p50_ms": round(float(p50), 2),
        "p95_ms": round(float(p95), 2),
        "cpu_us_per_request": round(1e6 * spent / max(count, 1)),
        "replica_cpu_us": round(1e6 * replica_spent / max(count, 1)),
        "client_cpu_us": round(1e6 * client_cpu / max(count, 1)),
    }


def _clients(url: str, what: str, clients: int, seconds: float, items: list[str], answers: Any) -> None:
    """In a process of its own: ask from ``clients`` threads for ``WARM_UP_S``, then for ``seconds``."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    assert host is not None
    warm = time.monotonic() + WARM_UP_S
    end = warm + seconds
    times: list[float] = []
    errors = [0]

    def client(number: int) -> None:
        rng = np.random.default_rng(number)
        connection = http.client.HTTPConnection(host, port, timeout=30)
        sent = 0
        while (now := time.monotonic()) < end:
            sent += 1
            user = f"u{rng.integers(USERS)}"
            if what == "recommendations":
                path, body = "/v1/recommendations", {"user_id": user, "session_id": f"s{user}", "limit": 10}
                good = 200
            else:
                event = {
                    "event_id": f"{what}-{clients}-{number}-{sent}", "type": "interaction", "user_id": user,
                    "item_id": items[rng.integers(len(items))], "action": "click",
                }  # fmt: skip
                path, body, good = "/v1/events", {"events": [event]}, 202
            try:
                connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                failed = answer.status != good
            except (OSError, http.client.HTTPException):
                connection.close()
                failed = True
            if now >= warm:
                errors[0] += failed
                if not failed:
                    times.append(1e3 * (time.monotonic() - now))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(max(0.0, warm - time.monotonic()))
    began, cpu = time.monotonic(), time.process_time()
    answers.put("warm")
    for thread in threads:
        thread.join()
    answers.put((times, errors[0], time.monotonic() - began, time.process_time() - cpu))


def _children(root: int) -> set[int]:
    """All processes below ``root``."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found: set[int] = set()
    while new := {pid for pid, parent in parents.items() if (parent == root or parent in found)} - found:
        found |= new
    return found


def _cpu(processes: Iterable[int]) -> float:
    """CPU seconds that these processes have used so far."""
    total = 0.0
    for pid in processes:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


if __name__ == "__main__":
    main()
