"""Everything the doctor looks at, once well and once broken; it leaves nothing behind."""

from __future__ import annotations

import copy
import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from packaging.requirements import Requirement
from tiny_model import register_network, write_broken

from rec_platform.errors import InputError
from rec_platform.registry import ModelRegistry
from rec_platform.serving.config import ServeConfig
from rec_platform.serving.doctor import Check, configuration, examine, machine, ports, store
from rec_platform.serving.doctor.check import guarded
from rec_platform.serving.schema import decisions
from rec_platform.serving.settings import TOKEN_VARIABLE, ServiceSettings
from rec_platform.serving.store import EventStore, now_us

CONFIGS = sorted((Path(__file__).parents[2] / "serve_configs").glob("*.yaml"))


@pytest.fixture(autouse=True)
def own_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("RAY_") or name == TOKEN_VARIABLE]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(configuration, "CLUSTER_FILE", tmp_path / "no-cluster")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def only(checks: list[Check], name: str) -> Check:
    (found,) = [check for check in checks if check.name == name]
    return found


def one(found: Check | Iterator[Check]) -> Check:
    (check,) = guarded("x", lambda: found)
    return check


def write_config(folder: Path, **settings: Any) -> Path:
    values = yaml.safe_load((CONFIGS[0].parent / "local.yaml").read_text())
    values["http_options"]["port"] = 0
    values["applications"][0]["args"] |= {"home": str(folder)} | settings
    values["applications"][0]["deployments"][0]["user_config"]["model"] = "tiny"
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_all_is_well_and_nothing_is_left(tmp_path: Path) -> None:
    register_network(tmp_path)
    config = write_config(tmp_path)
    before = files(tmp_path)
    running = ray.is_initialized()
    checks = examine(config)
    assert [check for check in checks if check.status == "error"] == []
    names = [check.name for check in checks]
    assert {"python", "ray", "packages", "haproxy", "open_files", "shared_memory", "serve_yaml", "cpus", "disk"} <= set(
        names
    )
    assert {"port", "replica_ports", "host", "token", "store", "model", "catalogue", "clock"} <= set(names)
    assert len(names) == len(set(names))
    assert all(check.message for check in checks)
    assert all(check.fix for check in checks if check.status != "ok")
    assert files(tmp_path) == before
    assert list(tmp_path.glob(".doctor*")) == []
    EventStore(f"sqlite:///{tmp_path / 'serving.db'}").close()
    before = files(tmp_path)
    assert only(examine(config), "store").message.endswith("journal wal, 0 events, 0 decisions")
    assert files(tmp_path) == before
    assert ray.is_initialized() == running


def keys_of(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where there are mappings."""
    if isinstance(node, dict):
        yield path
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from keys_of(value, (*path, key))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_an_unknown_key_anywhere_in_our_files(path: Path, tmp_path: Path) -> None:
    ServeConfig.load(path)
    values = yaml.safe_load(path.read_text())
    places = list(keys_of(values))
    assert len(places) >= 6
    for place in places:
        broken = copy.deepcopy(values)
        node = broken
        for step in place:
            node = node[step]
        node["unheard_of"] = 1
        target = tmp_path / "serve.yaml"
        target.write_text(yaml.safe_dump(broken))
        with pytest.raises(InputError, match="unheard_of"):
            ServeConfig.load(target)
    (check,) = [check for check in examine(target, port=0, home=tmp_path) if check.name == "serve_yaml"]
    assert check.status == "error"
    assert "unheard_of" in check.message


def test_a_misspelt_key_comes_with_the_right_one(tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(CONFIGS[0].read_text().replace("num_replicas", "num_replica"))
    checks = examine(path, home=tmp_path)
    assert "did you mean 'num_replicas'" in only(checks, "serve_yaml").fix
    assert "store" not in {check.name for check in checks}  # nobody knows which


# The machine


def test_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [Requirement("ray==1.0"), Requirement("numpy>=1"), Requirement("no-such-package")]
    monkeypatch.setattr(machine, "requirements", lambda: (">=3.99", wanted))
    assert machine.python_version().status == "error"
    (check,) = machine.packages()
    assert check.status == "error"
    assert "is not ==1.0; no-such-package is not installed" in check.message


def test_requirements_are_those_of_the_project() -> None:
    python, packages = machine.requirements()
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in python or ">=" in python
    assert {"ray", "numpy", "onnxruntime"} <= {requirement.name for requirement in packages}
    assert "pytest" not in {requirement.name for requirement in packages}


def test_haproxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert machine.haproxy().status == "ok"
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.haproxy().status == "error"


@pytest.mark.parametrize(("hard", "status"), [(512, "error"), (4096, "warning"), (65536, "ok"), (-1, "ok")])
def test_open_files(monkeypatch: pytest.MonkeyPatch, hard: int, status: str) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (512, hard))
    assert machine.open_files().status == status


@pytest.mark.parametrize(
    ("free", "status"), [(100 * 2**20, "error"), (2**30, "warning"), (4 * 2**30, "warning"), (50 * 2**30, "ok")]
)
def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, status: str) -> None:
    total = 100 * 2**30
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(total, total - free, free))
    assert [check.status for check in machine.disk(tmp_path / "not" / "yet")] == [status, status]
    assert machine.shared_memory(tmp_path).status == ("warning" if free < 200 * 2**20 else "ok")
    assert machine.shared_memory(tmp_path / "none").status == "ok"


@pytest.mark.parametrize(
    ("deployment", "status"),
    [
        ({}, "ok"),
        ({"num_replicas": 4}, "ok"),
        ({"num_replicas": 5}, "error"),
        ({"num_replicas": 5, "ray_actor_options": {"num_cpus": 0.5}}, "ok"),
        ({"num_replicas": "auto", "autoscaling_config": {"min_replicas": 2, "max_replicas": 4}}, "ok"),
        ({"num_replicas": "auto", "autoscaling_config": {"min_replicas": 2, "max_replicas": 5}}, "warning"),
        ({"num_replicas": "auto", "autoscaling_config": {"min_replicas": 5, "max_replicas": 8}}, "error"),
        ({"num_replicas": "auto"}, "warning"),
    ],
)
def test_cpus(deployment: dict[str, Any], status: str) -> None:
    assert machine.cpus(deployment, 4).status == status


# Ports


def test_a_taken_port_and_who_has_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        check = ports.http_port("127.0.0.1", port)
        assert check.status == "error"
        if sys.platform == "linux":
            assert f"process {os.getpid()} (" in check.message
            assert ports.holder_of(port) == os.getpid()
    assert ports.http_port("127.0.0.1", port).status == "ok"
    assert ports.http_port("127.0.0.1", 0).status == "ok"
    assert ports.holder_of(port) is None


def test_ports_of_replicas_and_of_haproxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ports.replica_ports(2).status == "ok"
    monkeypatch.setattr(ports, "listening", lambda: ((port, "0") for port in range(30000, 31000)))
    assert ports.replica_ports(1).status == "ok"
    assert ports.replica_ports(2).status == "error"
    assert ports.fixed_ports().status == "ok"
    monkeypatch.setattr(ports, "listening", lambda: iter([(8404, "1"), (8404, "2"), (80, "3")]))
    assert "8404" in ports.fixed_ports().message
    assert "9101" not in ports.fixed_ports().message


# Who may ask


def test_open_to_others_only_with_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("127.0.0.1", "localhost", "127.0.0.9", "::1"):
        assert configuration.exposure(ServeConfig(model="m", host=host)).status == "ok"
    for host in ("0.0.0.0", "10.0.0.1", "shop.example", "::"):
        assert configuration.exposure(ServeConfig(model="m", host=host)).status == "error"
    monkeypatch.setenv(TOKEN_VARIABLE, "t" * 32)
    assert configuration.exposure(ServeConfig(model="m", host="0.0.0.0")).status == "ok"


def test_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert configuration.token(ServiceSettings()).status == "ok"
    path = tmp_path / "token"
    settings = ServiceSettings(token_file=path)
    with pytest.raises(InputError, match="cannot be read"):
        configuration.token(settings)
    path.write_text("secret-" * 5)
    path.chmod(0o644)
    assert configuration.token(settings).fix == f"chmod 600 {path}"
    path.chmod(0o600)
    assert configuration.token(settings).status == "ok"
    path.write_text("short")
    with pytest.raises(InputError, match="is shorter than 16 characters"):
        configuration.token(settings)
    monkeypatch.setenv(TOKEN_VARIABLE, "t" * 32)
    assert TOKEN_VARIABLE in configuration.token(ServiceSettings()).message


def test_variables_that_a_cluster_would_ignore(tmp_path: Path) -> None:
    look = configuration.ray_variables
    none = tmp_path / "none"
    given = {"RAY_SERVE_ENABLE_HA_PROXY": "1"}
    assert one(look({}, none)).status == one(look(given, none)).status == "ok"
    assert "ignores" in one(look({**given, "RAY_ADDRESS": "10.0.0.1:6379"}, none)).message
    (tmp_path / "cluster").write_text("10.0.0.2:6379\n")
    check = one(look(given, tmp_path / "cluster"))
    assert check.status == "warning"
    assert "10.0.0.2:6379 ignores" in check.message
    assert "Ray of its own" in one(look({}, tmp_path / "cluster")).message
    check = one(look({"RAY_SERVE_ENABLE_HAPROXY": "1"}, none))
    assert check.status == "warning"
    assert "did you mean 'RAY_SERVE_ENABLE_HA_PROXY'" in check.message


# The store


def test_a_store_that_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "serving.db"
    url = f"sqlite:///{path}"
    path.write_text("this is no database, and long enough to be looked at" * 40)
    assert "is not a database" in one(store.opens(url)).message
    path.unlink()
    sqlite3.connect(path).close()  # an empty file
    assert "its tables will be made" in one(store.opens(url)).message
    EventStore(url).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '99'")
    assert "schema version 99" in one(store.opens(url)).message
    for bad in ("sqlite://", "mysql://x/y", "what is this"):
        with pytest.raises(InputError, match="store"):
            one_raised(bad)


def one_raised(url: str) -> list[Check]:
    return list(store.opens(url))


def test_a_store_that_somebody_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'serving.db'}"
    EventStore(url).close()
    monkeypatch.setattr(store, "LOCK_TIMEOUT_S", 0.05)
    holder = sqlite3.connect(tmp_path / "serving.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    check = one(store.opens(url))
    holder.close()
    assert check.status == "warning"
    assert "another process holds" in check.message
    assert one(store.opens(url)).status == "ok"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert one(store.opens(f"sqlite:///{tmp_path / 'serving.db'}")).status == "error"
    tmp_path.chmod(0o700)


def test_filesystems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'deep' / 'serving.db'}"
    monkeypatch.setattr(store, "filesystem_of", lambda _: "nfs4")
    assert "is on nfs4" in one(store.opens(url)).message
    monkeypatch.setattr(store, "filesystem_of", lambda _: "tmpfs")
    assert [check.status for check in store.opens(url)] == ["warning", "ok"]
    monkeypatch.undo()
    if sys.platform == "linux":
        assert store.filesystem_of(Path("/proc/self/status")) == "proc"
        assert store.filesystem_of(tmp_path / "not" / "there") == store.filesystem_of(tmp_path) != ""
    assert not (tmp_path / "deep").exists()


def test_postgresql_that_does_not_answer() -> None:
    check = one(store.opens("postgresql+psycopg://somebody:hush-hush@127.0.0.1:1/shop"))
    assert check.status == "error"
    assert check.fix
    assert "hush-hush" not in check.message


# The model and its log


def decision(number: int, catalog_hash: str, created_at: int) -> dict[str, Any]:
    texts = {
        column.name: "[]"
        for column in decisions.c
        if not column.nullable and column.name not in ("seq", "deferred", "mode")
    }
    return texts | {
        "decision_id": f"d{number}", "catalog_hash": catalog_hash, "created_at": created_at, "model_name": "tiny",
        "session_id": None, "placement": None, "previous_decision_id": None, "model_alias": None, "candidates": None,
    }  # fmt: skip


def event(number: int, item_id: str, received_at: int) -> dict[str, Any]:
    return {
        "event_id": f"e{number}", "type": "interaction", "user_id": "u", "session_id": None, "recommendation_id": None,
        "item_id": item_id, "action": "click", "value": None, "occurred_at": received_at, "received_at": received_at,
        "source": "client", "body": "{}",
    }  # fmt: skip


def test_the_log_and_the_catalogue(tmp_path: Path) -> None:
    register_network(tmp_path)
    catalog = ModelRegistry(tmp_path).get("tiny").load().catalog
    url = f"sqlite:///{tmp_path / 'serving.db'}"
    assert "nothing is logged" in store.log_fits(url, catalog, "tiny").message
    events = EventStore(url)
    events.add_decision(decision(1, catalog.hash, now_us())).result()
    events.add_events([event(n, f"i{n}", now_us()) for n in range(4)]).result()
    assert store.log_fits(url, catalog, "tiny").status == "ok"
    events.add_decision(decision(2, "another", now_us())).result()
    check = store.log_fits(url, catalog, "tiny")
    assert check.status == "warning"
    assert "1 of the newest 2 decisions" in check.message
    assert store.log_fits(url, catalog, "somebody else").status == "ok"
    events.add_events([event(n, f"strange{n}", now_us()) for n in range(10, 15)]).result()
    events.close()
    assert "5 of the newest 9 interactions" in store.log_fits(url, catalog, "tiny").message


def test_clock(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'serving.db'}"
    now = datetime.now(UTC)
    assert store.clock(url, now).status == "ok"
    assert "2 minutes later" in store.clock(url, now + timedelta(minutes=2, seconds=5)).message
    events = EventStore(url)
    events.add_events([event(1, "i1", now_us() + 3600 * 10**6)]).result()
    check = store.clock(url, now)
    assert "an event was received 60 minutes later" in check.message
    events.add_decision(decision(1, "h", now_us() + 7200 * 10**6)).result()
    events.close()
    assert "a decision was made 120 minutes later" in store.clock(url, now).message


def test_models_that_would_not_serve(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    assert "no model is registered" in only(examine(config), "model").message
    register_network(tmp_path)
    assert only(examine(config, model_name="tinny"), "model").fix == "did you mean 'tiny'?"
    assert "no alias 'next'" in only(examine(config, model_name="tiny@next"), "model").message
    registry = ModelRegistry(tmp_path)
    broken = registry.register("tiny", write_broken)
    check = only(examine(config, model_name=f"tiny@{broken}"), "model")
    assert check.status == "error"
    assert "not finite" in check.message
    damaged = registry.get("tiny", 1).folder / "scorer.onnx"
    damaged.write_bytes(damaged.read_bytes() + b"\0")
    checks = examine(config)
    assert "has changed" in only(checks, "model").message
    assert "catalogue" not in {check.name for check in checks}


def test_what_cannot_be_looked_at_hides_nothing_else() -> None:
    def fails() -> Check:
        raise RuntimeError("no idea")

    (check,) = guarded("x", fails)
    assert (check.name, check.status) == ("x", "error")
    assert "RuntimeError: no idea" in check.message
