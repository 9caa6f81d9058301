"""Connections to the store's database: one engine that reads, one that writes, and the tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Dialect, Engine, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from rec_platform.errors import InputError
from rec_platform.serving.migrate import bring_up_to_date

BUSY_TIMEOUT_MS = 30_000
"""How long a writer waits for another process that holds SQLite's write lock."""


def default_url(home: Path) -> str:
    """The SQLite file of a home folder."""
    return f"sqlite:///{home / 'serving.db'}"


def open_engines(url: str) -> tuple[Engine, Engine]:
    """(reader, writer) with the tables in place.

    SQLite: write-ahead log, so that readers never wait for the writer; ``synchronous=FULL``, so that a commit is on
    disk when it returns; the writer takes the write lock as it begins, so that two processes queue instead of failing,
    and overwrites what it deletes. PostgreSQL: a commit waits for the disk also where the server's default is not to.

    Raises:
        InputError: the URL is wrong, the database cannot be opened, or is of a newer version of this program.
    """
    try:
        parsed = _checked(url)
        if parsed.get_backend_name() == "sqlite":
            Path(str(parsed.database)).absolute().parent.mkdir(parents=True, exist_ok=True)
            reader, writer = create_engine(parsed), create_engine(parsed, pool_size=2)
            _configure_sqlite(reader, begin="BEGIN")
            _configure_sqlite(writer, begin="BEGIN IMMEDIATE")
        else:  # the server may have been restarted since a connection was used
            reader, writer = create_engine(parsed, pool_pre_ping=True), create_engine(parsed, pool_pre_ping=True)
            _wait_for_the_disk(writer)
        bring_up_to_date(reader, writer)
    except ModuleNotFoundError as error:
        fix = "pip install 'rec_platform[postgres]'" if error.name == "psycopg" else "install it"
        raise InputError("store", f"needs the package {error.name}", fix) from error
    except (ArgumentError, NoSuchModuleError, ImportError, OSError, OperationalError) as error:
        raise InputError("store", f"cannot be opened: {error}", "check the URL, the folder and its rights") from error
    return reader, writer


def insert_new(dialect: Dialect, table: Any) -> Any:
    """An INSERT that leaves rows alone whose key is there already."""
    return _insert(dialect, table).on_conflict_do_nothing()


def insert_or_replace(dialect: Dialect, table: Any, key: str, columns: Mapping[str, Any]) -> Any:
    """An INSERT that overwrites ``columns`` of the row whose ``key`` is there already."""
    statement = _insert(dialect, table)
    return statement.on_conflict_do_update(
        index_elements=[key], set_={name: statement.excluded[name] for name in columns}
    )


def _insert(dialect: Dialect, table: Any) -> Any:
    return postgresql.insert(table) if dialect.name == "postgresql" else sqlite.insert(table)


def _checked(url: str) -> URL:
    parsed = make_url(url)
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise InputError("store", f"'{parsed.get_backend_name()}' is not supported", "use sqlite:/// or postgresql://")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise InputError("store", "a database in memory forgets its events", "use sqlite:///FILE")
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed


def _wait_for_the_disk(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) WHERE "
                "current_setting('synchronous_commit') = 'off'"
            )
        connection.commit()


def _configure_sqlite(engine: Engine, *, begin: str) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)
