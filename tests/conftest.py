"""What several rooms' tests share: one small Ray and one PostgreSQL for the whole run, and services in this process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from postgres_server import CannotRun, PostgresServer

from rec_platform.data.join import JOINED, RewardSpec, join_imported, write_joined
from rec_platform.serving.routes import create_app
from rec_platform.serving.runtime import ServiceRuntime
from rec_platform.serving.settings import ServiceSettings


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray with four logical CPUs, ready for RLlib and for Serve behind HAProxy."""
    import ray

    from rec_platform.serving.launch import serve_environment, start_ray

    with tempfile.TemporaryDirectory(prefix="rec-") as folder:  # short: HAProxy's socket lies there
        start_ray(serve_environment(Path(folder)), num_cpus=4)
        yield
        ray.shutdown()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server, from the first test on that asks for it."""
    try:
        server = PostgresServer()
    except CannotRun as error:
        pytest.skip(f"no PostgreSQL here: {error}")
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_url()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """A function that starts the application on ``tmp_path``, in this process and without Ray, and gives its client.
    Without authentication unless it is asked for.

    Inside: ``app.state.runtime``. Decisions are logged before the answer, so that tests can read them at once, unless
    ``decision_log`` says otherwise. ``traffic`` is what else is in ``user_config``.
    """
    clients = []

    def start_service(
        model: str = "tiny", *, traffic: Mapping[str, Any] | None = None, **settings: object
    ) -> TestClient:
        chosen: dict[str, object] = {"home": tmp_path, "authentication": "off", "decision_log": "durable", **settings}
        runtime = ServiceRuntime(ServiceSettings.model_validate(chosen))
        runtime.fleet.configure({"model": model, **(traffic or {})})
        app = create_app(runtime)
        app.state.runtime = runtime
        client = TestClient(app, raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield start_service
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def joined_log(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes joined rows and gives their folder.

    A row is ``user``, ``day`` (since 1970) and what it says of ``clicks`` (of each slot), ``arm``, ``experiment``,
    ``policy``, ``active`` and ``labels``.
    """

    def write(rows: Sequence[Mapping[str, Any]], name: str = "joined") -> Path:
        clicks = [row.get("clicks", [0.0]) for row in rows]
        columns = {
            "decision_id": pa.array([f"d{number}" for number in range(len(rows))], pa.string()),
            "user_id": pa.array([row["user"] for row in rows], pa.string()),
            "timestamp": pa.array([round(row["day"] * 86_400e6) for row in rows], pa.timestamp("us", tz="UTC")),
            "slate": pa.array([[f"i{slot}" for slot in range(len(one))] for one in clicks], pa.list_(pa.string())),
            "propensities": pa.array([[0.5] * len(one) for one in clicks], pa.list_(pa.float64())),
            "propensity_kind": pa.array(["plackett_luce_step"] * len(rows), pa.string()),
            "policy": pa.array([row.get("policy", "m") for row in rows], pa.string()),
            "policy_version": pa.array([row.get("version") for row in rows], pa.string()),
            "chosen": pa.array([next((s for s, x in enumerate(one) if x), -1) for one in clicks], pa.int32()),
            "rewards": pa.array(
                [[("click", list(one))] for one in clicks], pa.map_(pa.string(), pa.list_(pa.float64()))
            ),
            "experiment_id": pa.array([row.get("experiment") for row in rows], pa.string()),
            "experiment_arm": pa.array([row.get("arm") for row in rows], pa.string()),
            "labels": pa.array(
                [list(row.get("labels", {}).items()) for row in rows], pa.map_(pa.string(), pa.string())
            ),
        }
        joined = join_imported(pa.table(columns), RewardSpec())
        seen = {f"d{number}": row.get("active", True) for number, row in enumerate(rows)}
        active = [seen[name] for name in joined.rows["decision_id"].to_pylist()]
        table = joined.rows
        for field in ("chosen", "rewards", "reward", "slot_rewards"):
            values = [v if on else None for v, on in zip(table[field].to_pylist(), active, strict=True)]
            table = table.set_column(
                table.column_names.index(field), JOINED.field(field), pa.array(values, JOINED.field(field).type)
            )
        table = table.set_column(
            table.column_names.index("active"), JOINED.field("active"), pa.array(active, pa.bool_())
        )
        write_joined(tmp_path / name, replace(joined, rows=table))
        return tmp_path / name

    return write
