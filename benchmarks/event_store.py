"""How many events a second a store acknowledges, and how long a decision is on its way after its answer.

    python benchmarks/event_store.py sqlite:////tmp/events.db postgresql://user@host/empty_database [--seconds 5]

Each client sends one event, waits until it is on disk, and sends the next. Decisions are logged at ``--rate`` a second
as the service does with ``decision_log: async``, while 4 clients send events. Prints one JSON object a database:
``events_per_second`` by number of clients, and ``decision_lag_ms`` (median, 99th percentile, longest).
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from concurrent.futures import Future
from functools import partial
from uuid import uuid4

import numpy as np

from rec_platform.serving.store import EventStore, now_us

CLIENTS = (1, 16, 64)


def main() -> None:
    """Run it with the databases of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", nargs="+")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=200.0)
    arguments = parser.parse_args()
    for url in arguments.store:
        store = EventStore(url)
        speed = {str(clients): round(events(store, clients, arguments.seconds)) for clients in CLIENTS}
        lags = 1e3 * decision_lags(store, arguments.rate, arguments.seconds)
        lag = {"median": np.median(lags), "p99": np.quantile(lags, 0.99), "longest": lags.max()}
        told = {"store": store.writer.dialect.name, "events_per_second": speed}
        print(json.dumps(told | {"decision_lag_ms": {name: round(float(value), 1) for name, value in lag.items()}}))
        store.close()


def events(store: EventStore, clients: int, seconds: float) -> float:
    """Events acknowledged a second."""
    counts, begun = [0] * clients, time.monotonic()

    def client(number: int) -> None:
        while time.monotonic() - begun < seconds:
            store.add_events([event()]).result()
            counts[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - begun)


def decision_lags(store: EventStore, rate: float, seconds: float) -> np.ndarray:
    """Seconds from answer to disk, of every decision."""
    lags: list[float] = []
    beside = threading.Thread(target=events, args=(store, 4, seconds))
    beside.start()
    begun, count, last = time.monotonic(), 0, None
    while (now := time.monotonic()) - begun < seconds:
        if now - begun < count / rate:
            time.sleep(count / rate - (now - begun))
        last = store.add_decision(decision(), answered=True)
        last.add_done_callback(partial(_note, lags, time.monotonic()))
        count += 1
    beside.join()
    assert last is not None
    last.result()
    return np.array(lags)


def _note(lags: list[float], answered: float, _: Future[bool]) -> None:
    lags.append(time.monotonic() - answered)


def event() -> dict[str, object]:
    """A click."""
    moment = now_us()
    body = {"event_id": str(uuid4()), "type": "interaction", "user_id": "u42", "session_id": "s9", "item_id": "i7"}
    about: dict[str, object] = {"recommendation_id": None, "action": "click", "value": None, "source": "client"}
    return body | about | {"occurred_at": moment, "received_at": moment, "body": json.dumps(body | about)}


def decision() -> dict[str, object]:
    """Ten of ten thousand items, with a history of fifty."""
    slate, numbers = json.dumps([f"i{n}" for n in range(10)]), json.dumps([0.0123456789] * 10)
    history, liked = json.dumps([f"i{n}" for n in range(50)]), json.dumps([1.0] * 50)
    return {
        "decision_id": str(uuid4()), "user_id": "u42", "session_id": "s9", "placement": None, "created_at": now_us(),
        "previous_decision_id": None, "model_name": "m", "model_version": "1", "model_alias": None, "policy": "m",
        "sampler": "{}", "catalog_hash": "x", "candidates": None, "excluded": history, "items": slate,
        "scores": numbers, "propensities": numbers, "propensity_kind": "plackett_luce_step", "history": history,
        "history_feedback": liked, "user_features": numbers, "context": '{"served":{"hour":2.0},"given":{}}',
        "labels": "{}", "request_hash": "", "response": slate * 10,
    }  # fmt: skip


if __name__ == "__main__":
    main()
