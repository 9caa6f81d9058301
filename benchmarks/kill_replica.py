"""Does an acknowledged event survive ``kill -9`` of the replica that took it?

    python benchmarks/kill_replica.py [--events 2000] [--kills 4] [--clients 8]

Starts the service on Ray Serve, posts events from several clients and kills the replica again and again meanwhile. A
client that gets no 202 sends the same event once more, as real clients do. Prints one JSON object: ``acknowledged``
events, how many of them are ``missing`` from the store, how many are there ``twice``, ``kills``, ``retries`` and
``seconds``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np

from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.scorers import StaticScorer
from rec_platform.registry import ModelRegistry, ObservationContract, write_bundle

RECOVERY_TIMEOUT_S = 90.0


def main() -> None:
    """Run it with the numbers of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--clients", type=int, default=8)
    arguments = parser.parse_args()

    from rec_platform.serving.config import ServeConfig
    from rec_platform.serving.launch import running_service
    from rec_platform.serving.settings import ServiceSettings

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        register_model(home)
        config = ServeConfig(model="popular", port=0, settings=ServiceSettings(home=home))
        with running_service(config) as url:
            result = post_through_kills(
                url, home / "serving.db", events=arguments.events, kills=arguments.kills, clients=arguments.clients
            )
    print(json.dumps(result))


def register_model(home: Path) -> None:
    """A model of a hundred items, so that there is something to serve."""
    popularity = np.full(100, 0.01, dtype=np.float32)
    names = tuple(f"i{n}" for n in range(100))
    catalog = Catalog(names, names, np.ones((100, 1), np.float32), ("one",), popularity)
    registry = ModelRegistry(home)
    version = registry.register(
        "popular",
        lambda folder: write_bundle(
            folder,
            policy=Policy("popular", StaticScorer(popularity), PlackettLuce()),
            greedy_sampler=Greedy(),
            catalog=catalog,
            observation=ObservationContract(history_length=10, slate_size=5, full_catalogue=True),
            feedback=FeedbackRule(),
        ),
    )
    registry.promote("popular", version)


def post_through_kills(url: str, database: Path, *, events: int, kills: int, clients: int) -> dict[str, float]:
    """Post ``events`` events one by one while the replica is killed ``kills`` times, evenly spread over them."""
    waiting = iter(range(events))
    lock = threading.Lock()
    acknowledged: list[str] = []
    retries = [0]

    def client() -> None:
        with httpx.Client(base_url=url, timeout=15) as http:
            while True:
                with lock:
                    number = next(waiting, None)
                if number is None:
                    return
                send(http, f"kill-{number}")

    def send(http: httpx.Client, event_id: str) -> None:
        event = {"event_id": event_id, "type": "interaction", "user_id": f"u{hash(event_id) % 50}", "item_id": "i1"}
        while True:
            try:
                answer = http.post("/v1/events", json={"events": [event | {"action": "click"}]})
                if answer.status_code == 202 and not answer.json()["rejected"]:
                    with lock:
                        acknowledged.append(event_id)
                    return
            except (httpx.HTTPError, json.JSONDecodeError):
                pass
            with lock:
                retries[0] += 1
            time.sleep(0.05)

    started = time.monotonic()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for kill in range(kills):
        while len(acknowledged) < events * (kill + 1) // (kills + 1):
            time.sleep(0.002)
        kill_replica(url)
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - started
    with sqlite3.connect(database) as connection:
        counts = dict(connection.execute("SELECT event_id, COUNT(*) FROM events GROUP BY event_id"))
    return {
        "acknowledged": len(acknowledged),
        "missing": sum(event_id not in counts for event_id in acknowledged),
        "twice": sum(counts.get(event_id, 0) > 1 for event_id in acknowledged),
        "kills": kills,
        "retries": retries[0],
        "seconds": round(seconds, 1),
    }


def kill_replica(url: str) -> None:
    """SIGKILL the process that answers ``/v1/info``, once there is one that is a Serve replica."""
    deadline = time.monotonic() + RECOVERY_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            pid = int(httpx.get(f"{url}/v1/info", timeout=5).json()["pid"])
            if b"ServeReplica" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
                return
        except (httpx.HTTPError, ValueError, KeyError, OSError):
            pass
        time.sleep(0.1)
    raise TimeoutError(f"no replica answered at {url}")


if __name__ == "__main__":
    main()
