"""A store's tables, brought to the newest schema when it is opened: made, or changed without losing a row."""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, select, text

from rec_platform.errors import InputError
from rec_platform.serving.schema import SCHEMA_VERSION, meta

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "migrations"

MIGRATION_LOCK = 7_239_411
"""PostgreSQL's advisory lock, of every version of this program: replicas that start at once take turns."""


def bring_up_to_date(reader: Engine, writer: Engine) -> None:
    """Run the migrations that are missing, all in one transaction; one look where none is.

    Stores from before there were migrations have the tables of the first: it is noted as done.

    Raises:
        InputError: the database is of a newer version of this program.
    """
    with reader.connect() as connection:
        if schema_version(connection) == SCHEMA_VERSION:
            return
    with writer.begin() as connection:  # SQLite: BEGIN IMMEDIATE, so that another process waits here
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        version = schema_version(connection)
        if version is None or version < SCHEMA_VERSION:
            _upgrade(connection, begun=version is not None)
            connection.execute(meta.delete().where(meta.c.key == "schema_version"))
            connection.execute(meta.insert().values(key="schema_version", value=str(SCHEMA_VERSION)))
        elif version > SCHEMA_VERSION:
            raise InputError("store", f"its schema version {version} is newer than {SCHEMA_VERSION}", "upgrade")
    if version == 1 and writer.dialect.name == "sqlite":
        _rewrite(writer)


def schema_version(connection: Connection) -> int | None:
    """Of the tables there are; None where there are none. Programs from before the migrations read it too."""
    if not inspect(connection).has_table(meta.name):
        return None
    found = connection.execute(select(meta.c.value).where(meta.c.key == "schema_version")).scalar()
    return None if found is None else int(found)


def _rewrite(writer: Engine) -> None:
    """Version 1 did not overwrite what it moved and deleted: once, so that what is erased later is gone."""
    connection = writer.raw_connection()  # no transaction
    try:
        connection.cursor().execute("VACUUM")
    except sqlite3.Error as error:
        log.warning("VACUUM the store once: its file may hold parts of rows that were removed (%s)", error)
    finally:
        connection.close()


def _upgrade(connection: Connection, *, begun: bool) -> None:
    from alembic import command  # most stores are up to date: they need no Alembic
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    with _ALEMBIC:
        if begun and not inspect(connection).has_table("alembic_version"):
            command.stamp(config, "0001")
        command.upgrade(config, "head")


_ALEMBIC = threading.Lock()
"""Alembic keeps the connection of the migration that runs in its modules: one at a time in a process."""
