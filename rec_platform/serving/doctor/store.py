"""Does the event store open, will it keep what it is given, and was its log made with this catalogue."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, NullPool, create_engine, func, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from rec_platform.data.catalog import Catalog
from rec_platform.errors import InputError
from rec_platform.serving.doctor.check import Check, error, ok, warning
from rec_platform.serving.doctor.machine import existing
from rec_platform.serving.schema import SCHEMA_VERSION, decisions, events, meta
from rec_platform.serving.store import EventStore, now_us

NETWORKED = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "fuse.sshfs"}
IN_MEMORY = {"tmpfs", "ramfs"}
RECENT = 1000
"""So many of the newest rows say what a log is like."""

AHEAD_US = 60 * 1_000_000
LOCK_TIMEOUT_S = 2.0


def opens(url: str) -> Iterator[Check]:
    """It can be opened and written; tried without leaving anything behind."""
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite":
        yield _postgresql(parsed)
        return
    assert parsed.database is not None
    path = Path(parsed.database).absolute()
    kind = filesystem_of(path)
    if kind in NETWORKED:
        fix = "put --home on a local disk, or use PostgreSQL: args.store"
        yield error("store", f"{path} is on {kind}: SQLite's write-ahead log needs a local disk", fix)
        return
    if kind in IN_MEMORY:
        yield warning("store_disk", f"{path} is in memory ({kind}) and gone when the machine stops", "use a disk")
    yield _sqlite_file(path) if path.exists() else _sqlite_folder(path)


def log_fits(url: str, catalog: Catalog, model_name: str) -> Check:
    """The newest decisions and events are about items of this catalogue."""
    with _reading(url) as connection:
        if connection is None:
            return ok("catalogue", f"{len(catalog):,} items; nothing is logged yet")
        of_model = select(decisions.c.catalog_hash).where(decisions.c.model_name == model_name)
        newest = of_model.order_by(decisions.c.seq.desc()).limit(RECENT).subquery()
        by_hash = select(newest.c.catalog_hash, func.count()).group_by(newest.c.catalog_hash)
        hashes = {hash_: int(count) for hash_, count in connection.execute(by_hash)}
        taken = select(events.c.item_id).where(events.c.type == "interaction").order_by(events.c.seq.desc())
        items = [item for item in connection.execute(taken.limit(RECENT)).scalars() if item is not None]
    strange = int((catalog.index_of(items) < 0).sum()) if items else 0
    if strange > len(items) / 2:
        message = f"{strange} of the newest {len(items)} interactions are with items that the model does not know"
        return warning("catalogue", message, "train on this shop's log, or name its store: args.store")
    other = sum(count for hash_, count in hashes.items() if hash_ != catalog.hash)
    if other:
        message = f"{other} of the newest {sum(hashes.values())} decisions were made with another catalogue"
        return warning("catalogue", message, "they cannot be computed again with this version; join them by theirs")
    return ok("catalogue", f"{len(catalog):,} items, hash {catalog.hash[:12]}, as in the newest {len(items)} events")


def clock(url: str, made_at: datetime | None = None) -> Check:
    """Nothing that is written already is from the future: histories and windows go by the clock."""
    moments = [] if made_at is None else [("the model was made", int(made_at.timestamp() * 1e6))]
    with _reading(url) as connection:
        if connection is not None:
            for what, column in (
                ("an event was received", events.c.received_at),
                ("a decision was made", decisions.c.created_at),
            ):
                table = column.table
                latest = connection.execute(select(column).order_by(table.c.seq.desc()).limit(1)).scalar()
                moments += [] if latest is None else [(what, int(latest))]
    now = now_us()
    late = [(what, moment) for what, moment in moments if moment > now + AHEAD_US]
    told = datetime.fromtimestamp(now / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if late:
        what, moment = max(late, key=lambda pair: pair[1])
        message = f"it is {told} here, but {what} {(moment - now) / 60e6:,.0f} minutes later than that"
        return warning("clock", message, "set the clock (NTP)")
    return ok("clock", told)


def filesystem_of(path: Path) -> str:
    """The kind of filesystem that ``path`` is or would be on; "" where that is not known."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return ""
    place = existing(path).resolve()
    over = [
        (len(Path(m[1]).parts), n) for n, m in enumerate(mounts) if place.is_relative_to(m[1].replace("\\040", " "))
    ]
    return mounts[max(over)[1]][2] if over else ""


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as problem:
        raise InputError("store", str(problem), "use sqlite:///FILE or postgresql+psycopg://…") from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise InputError("store", f"'{parsed.get_backend_name()}' is not supported", "use sqlite:/// or postgresql://")
    if parsed.get_backend_name() == "sqlite" and (not parsed.database or parsed.database == ":memory:"):
        raise InputError("store", "a database in memory forgets its events", "use sqlite:///FILE")
    return parsed


def _sqlite_folder(path: Path) -> Check:
    """Where there is no file yet: make a store beside where it will be, and remove it again."""
    folder = existing(path.parent)
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=folder) as beside:
            store = EventStore(f"sqlite:///{Path(beside) / 'serving.db'}")
            with store.connect() as connection:
                mode = connection.execute(text("PRAGMA journal_mode")).scalar()
            store.close()
    except OSError as problem:
        return error("store", f"nothing can be written in {folder}: {problem.strerror}", "check its rights, or --home")
    if mode != "wal":
        return error("store", f"{folder} gives no write-ahead log (SQLite says '{mode}')", "use a local disk")
    return ok("store", f"{path} will be made")


def _sqlite_file(path: Path) -> Check:
    try:
        with closing(_sqlite(path)) as connection:
            mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as problem:
        if "locked" in str(problem):
            return warning(
                "store", f"another process holds {path} for writing", "see who: fuser; it may be a long import"
            )
        return error("store", f"{path} cannot be written: {problem}", "check the rights of the file and its folder")
    except sqlite3.DatabaseError as problem:
        return error("store", f"{path} is not a database: {problem}", "move it away, or name another: args.store")
    return _schema(f"sqlite:///{path}", f"{path}, journal {mode}")


def _postgresql(url: URL) -> Check:
    shown = url.render_as_string(hide_password=True)
    try:
        engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5})
        with engine.connect() as connection:
            may = connection.execute(text("SELECT has_schema_privilege(current_schema(), 'CREATE')")).scalar()
    except ImportError as problem:
        return error("store", f"{shown} needs a driver: {problem}", "pip install 'psycopg[binary]'")
    except SQLAlchemyError as problem:
        reason = str(getattr(problem, "orig", problem)).strip().splitlines()[0]
        return error("store", f"{shown} cannot be opened: {reason}", "check host, database, user and password")
    if not may:
        return error("store", f"{shown}: the user may make no tables", "GRANT CREATE ON SCHEMA public TO the user")
    return _schema(url.render_as_string(hide_password=False), shown)


def _schema(url: str, shown: str) -> Check:
    with _reading(url) as connection:
        if connection is None:
            return ok("store", f"{shown}; its tables will be made")
        version = connection.execute(select(meta.c.value).where(meta.c.key == "schema_version")).scalar()
        rows = [connection.execute(select(func.max(table.c.seq))).scalar() or 0 for table in (events, decisions)]
    if version is None or int(version) > SCHEMA_VERSION:
        message = f"{shown} has schema version {version}, this program knows {SCHEMA_VERSION}"
        return error("store", message, "upgrade the program, or name another store")
    return ok("store", f"{shown}, {rows[0]:,} events, {rows[1]:,} decisions")


@contextmanager
def _reading(url: str) -> Iterator[Connection | None]:
    """A connection to a store that is there already; None where its tables, or it, are not. Makes nothing."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(parsed.database or "").absolute()
        if not path.exists():
            yield None
            return
        engine = create_engine("sqlite://", creator=lambda: _sqlite(path), poolclass=NullPool)
    else:
        engine = create_engine(parsed, poolclass=NullPool, connect_args={"connect_timeout": 5})
    with engine.connect() as connection:
        there = {"meta", "events", "decisions"} <= set(inspect(connection).get_table_names())
        yield connection if there else None


def _sqlite(path: Path) -> sqlite3.Connection:
    """An existing file only."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=LOCK_TIMEOUT_S, isolation_level=None)
