"""Connections to the store's database: one engine that reads, one that writes, and the tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from rec_platform.errors import InputError
from rec_platform.serving.schema import SCHEMA_VERSION, meta, metadata

BUSY_TIMEOUT_MS = 30_000
"""How long a writer waits for another process that holds SQLite's write lock."""


def default_url(home: Path) -> str:
    """The SQLite file of a home folder."""
    return f"sqlite:///{home / 'serving.db'}"


def open_engines(url: str) -> tuple[Engine, Engine]:
    """(reader, writer) with the tables in place.

    SQLite: write-ahead log, so that readers never wait for the writer; ``synchronous=FULL``, so that a commit is on
    disk when it returns; the writer takes the write lock as it begins, so that two processes queue instead of failing.

    Raises:
        InputError: the URL is wrong, the database cannot be opened, or is of a newer version of this program.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise InputError(
                "store", f"'{parsed.get_backend_name()}' is not supported", "use sqlite:/// or postgresql://"
            )
        if parsed.get_backend_name() == "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise InputError("store", "a database in memory forgets its events", "use sqlite:///FILE")
            Path(parsed.database).absolute().parent.mkdir(parents=True, exist_ok=True)
        reader, writer = create_engine(parsed), create_engine(parsed, pool_size=2)
        if parsed.get_backend_name() == "sqlite":
            _configure_sqlite(reader, begin="BEGIN")
            _configure_sqlite(writer, begin="BEGIN IMMEDIATE")
        with writer.begin() as connection:
            if writer.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(7239411)"))  # two replicas may start at once
            metadata.create_all(connection)
            version = connection.execute(select(meta.c.value).where(meta.c.key == "schema_version")).scalar()
            if version is None:
                connection.execute(insert(meta).values(key="schema_version", value=str(SCHEMA_VERSION)))
            elif int(version) > SCHEMA_VERSION:
                raise InputError("store", f"its schema version {version} is newer than {SCHEMA_VERSION}", "upgrade")
    except (ArgumentError, NoSuchModuleError, ImportError, OSError, OperationalError) as error:
        raise InputError("store", f"cannot be opened: {error}", "check the URL, the folder and its rights") from error
    return reader, writer


def insert_new(engine: Engine, table: Any) -> Any:
    """An INSERT that leaves rows alone whose key is there already."""
    dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


def insert_or_replace(engine: Engine, table: Any, key: str, columns: Mapping[str, Any]) -> Any:
    """An INSERT that overwrites ``columns`` of the row whose ``key`` is there already."""
    dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    return statement.on_conflict_do_update(
        index_elements=[key], set_={name: statement.excluded[name] for name in columns}
    )


def _configure_sqlite(engine: Engine, *, begin: str) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)
