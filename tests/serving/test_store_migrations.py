"""Stores of earlier versions are taken over with every row; the tables said are the tables made."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, insert, inspect, select, text
from stored_rows import decision, row

from rec_platform.errors import InputError
from rec_platform.serving.database import open_engines
from rec_platform.serving.decision_log import decisions_table
from rec_platform.serving.join_source import read_log
from rec_platform.serving.migrate import FOLDER
from rec_platform.serving.schema import SCHEMA_VERSION, events, metadata
from rec_platform.serving.store import EventStore, LearnerState

# The tables as the program made them before there were migrations, each word of it.
KEY = {"sqlite": "INTEGER NOT NULL", "postgresql": "BIGSERIAL NOT NULL"}
BYTES = {"sqlite": "BLOB", "postgresql": "BYTEA"}
FLOAT = {"sqlite": "FLOAT", "postgresql": "FLOAT(53)"}
VERSION_1 = """
CREATE TABLE meta ("key" VARCHAR(64) NOT NULL, value TEXT NOT NULL, PRIMARY KEY ("key"));
CREATE TABLE events (
    seq {key}, event_id VARCHAR(256) NOT NULL, type VARCHAR(32) NOT NULL, user_id VARCHAR(256) NOT NULL,
    session_id VARCHAR(256), recommendation_id VARCHAR(256), item_id VARCHAR(256), action VARCHAR(64), value {float},
    occurred_at BIGINT NOT NULL, received_at BIGINT NOT NULL, source VARCHAR(16) NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (seq), UNIQUE (event_id)
);
CREATE INDEX events_of_recommendation ON events (recommendation_id);
CREATE INDEX events_of_session ON events (session_id, type);
CREATE INDEX events_of_user ON events (user_id, type, occurred_at);
CREATE TABLE decisions (
    seq {key}, decision_id VARCHAR(256) NOT NULL, user_id VARCHAR(256) NOT NULL, session_id VARCHAR(256),
    placement VARCHAR(256), created_at BIGINT NOT NULL, previous_decision_id VARCHAR(256),
    model_name VARCHAR(64) NOT NULL, model_version VARCHAR(32) NOT NULL, model_alias VARCHAR(64),
    policy VARCHAR(256) NOT NULL, sampler TEXT NOT NULL, catalog_hash VARCHAR(64) NOT NULL, candidates TEXT,
    excluded TEXT NOT NULL, items TEXT NOT NULL, scores TEXT NOT NULL, propensities TEXT NOT NULL,
    propensity_kind VARCHAR(32) NOT NULL, history TEXT NOT NULL, history_feedback TEXT NOT NULL,
    user_features TEXT NOT NULL, context TEXT NOT NULL, labels TEXT NOT NULL, request_hash VARCHAR(64) NOT NULL,
    response TEXT NOT NULL, PRIMARY KEY (seq), UNIQUE (decision_id)
);
CREATE INDEX decisions_after ON decisions (previous_decision_id);
CREATE INDEX decisions_of_session ON decisions (user_id, session_id, created_at);
CREATE TABLE users (user_id VARCHAR(256) NOT NULL, body TEXT NOT NULL, PRIMARY KEY (user_id));
CREATE TABLE learners (
    model_name VARCHAR(64) NOT NULL, model_version VARCHAR(32) NOT NULL, learned_to BIGINT NOT NULL,
    state {bytes} NOT NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (model_name)
);
CREATE TABLE rejected_events (
    seq {key}, received_at BIGINT NOT NULL, event_id TEXT, problem TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (seq)
);
INSERT INTO meta VALUES ('schema_version', '1');
INSERT INTO users VALUES ('u', '{{"age": 30}}');
INSERT INTO learners VALUES ('m', '1', 7, CAST('abc' AS {bytes}), 1);
INSERT INTO rejected_events (received_at, event_id, problem, body) VALUES (1, NULL, '{{}}', '{{}}');
"""


def old_store(url: str) -> None:
    """With two decisions, two events and a row of everything else."""
    engine = engine_of(url)
    kind = engine.dialect.name
    script = VERSION_1.format(key=KEY[kind], bytes=BYTES[kind], float=FLOAT[kind])
    with engine.begin() as connection:
        for statement in filter(str.strip, script.split(";\n")):
            connection.exec_driver_sql(statement)
        old = metadata.tables["decisions"]
        for name in ("d1", "d2"):
            values = decision(name, user_id="ü")
            columns = ", ".join(f'"{key}"' for key in values)
            marks = ", ".join(f":{key}" for key in values)
            connection.execute(text(f"INSERT INTO {old.name} ({columns}) VALUES ({marks})"), values)
        connection.execute(insert(events), [row("e1", value=0.1), row("e2", recommendation_id="d1")])
    engine.dispose()


def engine_of(url: str) -> Engine:
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def test_an_old_store_is_taken_over_with_every_row(store_url: str) -> None:
    old_store(store_url)
    store = EventStore(store_url)
    assert store.counts() == {
        "events": 2, "decisions": 2, "users": 1, "items": 0, "rejected_events": 1, "erasures": 0,
    }  # fmt: skip
    found = store.decision("d2")
    assert found is not None
    assert found == decision("d2", user_id="ü") | {
        "seq": 2, "deferred": False, "activated_at": None, "mode": "online", "experiment_id": None,
        "experiment_arm": None, "pass_probability": None, "degraded": None, "sources": None,
    }  # fmt: skip
    assert store.user("u") == {"age": 30}
    assert store.learner("m") == LearnerState("m", "1", 7, b"abc")
    made, happened = read_log(store)
    assert (made["decision_id"].to_pylist(), made["deferred"].to_pylist()) == (["d1", "d2"], [False, False])
    assert happened["recommendation_id"].to_pylist() == [None, "d1"]
    assert decisions_table(store)["user_id"].to_pylist() == ["ü", "ü"]
    assert [store.add_decision(decision(name)).result() for name in ("d2", "d3")] == [False, True]
    assert store.add_events([row("e2"), row("e3")]).result() == 1
    if store_url.startswith("sqlite"):
        with store.connect() as connection:
            numbers: dict[str, int] = dict(
                connection.execute(text("SELECT name, seq FROM sqlite_sequence")).tuples().all()
            )
        assert set(numbers) == {"events", "decisions"}
        assert min(numbers.values()) >= 3
    store.close()
    EventStore(store_url).close()


@pytest.mark.parametrize("old", [False, True])
def test_the_tables_said_are_the_tables_made(store_url: str, old: bool) -> None:
    if old:
        old_store(store_url)
    EventStore(store_url).close()
    engine = engine_of(store_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == head() == f"{SCHEMA_VERSION:04}"
        indexes = {name: inspect(connection).get_indexes(name) for name in metadata.tables}
        if engine.dialect.name == "sqlite":
            once = connection.execute(text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")).scalars()
            said = {name for name, table in metadata.tables.items() if table.dialect_options["sqlite"]["autoincrement"]}
            assert set(once) == said == {"events", "decisions", "user_changes"}
    assert {index["name"] for index in indexes["decisions"]} >= {"decisions_of_session", "decisions_after"}
    engine.dispose()


def head() -> str | None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    return ScriptDirectory.from_config(config).get_current_head()


def test_a_program_of_the_version_before_can_go_on_writing(store_url: str) -> None:
    """While replicas are replaced one after the other."""
    EventStore(store_url).close()
    engine = engine_of(store_url)
    values = decision("d")
    columns, marks = ", ".join(f'"{key}"' for key in values), ", ".join(f":{key}" for key in values)
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO decisions ({columns}) VALUES ({marks})"), values)
        found = connection.execute(select(metadata.tables["decisions"])).mappings().one()
    assert (found["deferred"], found["mode"]) == (False, "online")
    engine.dispose()


def test_replicas_may_start_at_once(store_url: str) -> None:
    """On an old store: one of them changes it, the others wait."""
    old_store(store_url)
    failed: list[BaseException] = []

    def begin() -> None:
        try:
            for engine in open_engines(store_url):
                engine.dispose()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    store = EventStore(store_url)
    assert store.counts()["decisions"] == 2
    store.close()


def test_a_change_that_fails_leaves_the_store_as_it_was(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old_store(store_url)
    with monkeypatch.context() as patch:
        patch.setattr("alembic.operations.Operations.create_table", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            open_engines(store_url)
    engine = engine_of(store_url)
    assert "erasures" not in inspect(engine).get_table_names()
    assert "deferred" not in {column["name"] for column in inspect(engine).get_columns("decisions")}
    engine.dispose()
    EventStore(store_url).close()


def test_a_newer_schema_is_refused(store_url: str) -> None:
    EventStore(store_url).close()
    engine = engine_of(store_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE meta SET value = '99'"))
    engine.dispose()
    with pytest.raises(InputError, match="newer"):
        EventStore(store_url)


def test_a_store_that_is_up_to_date_needs_no_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'serving.db'}"
    EventStore(url).close()
    script = (
        "import sys; from rec_platform.serving.store import EventStore; "
        f"EventStore({url!r}).close(); print('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "False"
    with sqlite3.connect(tmp_path / "serving.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(head(),)]
