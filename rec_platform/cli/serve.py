"""``rec-platform serve``: the recommendation service on this machine, until Ctrl-C."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("serve_configs/local.yaml")


def serve(
    config: Annotated[Path, typer.Option("--config", help="A Ray Serve YAML file.")] = DEFAULT_CONFIG,
    model: Annotated[str | None, typer.Option("--model", help="NAME, NAME@ALIAS or NAME@VERSION.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="Where to listen.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = None,
    dataset: Annotated[Path | None, typer.Option("--dataset", help="Import this dataset's users and events.")] = None,
    home: Annotated[Path | None, typer.Option("--home", envvar="REC_PLATFORM_HOME", help="The state folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when ready.")] = False,
) -> None:
    """Serve a registered model over HTTP until Ctrl-C or SIGTERM."""
    from rec_platform.serving.config import ServeConfig
    from rec_platform.serving.launch import running_service

    if config == DEFAULT_CONFIG and not config.exists():
        chosen = ServeConfig(model=model or "recommender@champion")
    else:
        chosen = ServeConfig.load(config)
    chosen = chosen.changed(model=model, host=host, port=port, home=home).resolved()
    if dataset is not None:
        _import(dataset, chosen.settings.store_url)
    stop = threading.Event()

    def ask_to_stop(_: int, __: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # while starting: leave through what was started
    with running_service(chosen) as url:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, ask_to_stop)
        if as_json:
            print(json.dumps({"url": url, "model": chosen.model}), flush=True)
        else:
            print(_greeting(url, chosen.model), flush=True)
        while not stop.wait(0.5):
            pass
        print("stopping …", file=sys.stderr)


def _import(folder: Path, store_url: str) -> None:
    from rec_platform.data.dataset import Dataset
    from rec_platform.serving.import_dataset import import_dataset
    from rec_platform.serving.store import EventStore

    dataset = Dataset.open(folder)
    store = EventStore(store_url)
    try:
        imported = import_dataset(store, dataset)
    finally:
        store.close()
    print(f"imported {imported.interactions} events of {imported.users} users from {folder}", file=sys.stderr)


def _greeting(url: str, model: str) -> str:
    event = '{"event_id": "e1", "type": "interaction", "user_id": "u1", "item_id": "ITEM", "action": "click"}'
    return "\n".join(
        [
            f"Serving {model} at {url} (API: {url}/docs). Ctrl-C stops it.",
            "",
            f"  curl '{url}/v1/users/u1/recommendations?limit=5'",
            f'  curl -d \'{{"user_id": "u1", "session_id": "s1", "limit": 5}}\' {url}/v1/recommendations',
            f"  curl -d '{{\"events\": [{event}]}}' {url}/v1/events",
            f"  curl {url}/v1/info",
        ]
    )
