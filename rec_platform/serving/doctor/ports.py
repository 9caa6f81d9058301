"""Are the ports free, and who has them if not. Which process it is can be told for one's own processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ray.serve._private import constants

from rec_platform.errors import InputError
from rec_platform.serving.doctor.check import Check, error, ok, warning
from rec_platform.serving.launch import check_port

LISTENING = "0A"
STATISTICS_PORT = 8404
METRICS_PORT = 9101


def http_port(host: str, port: int) -> Check:
    """Where the service is to listen."""
    if port == 0:
        return ok("port", "a free one is taken")
    try:
        check_port(host, port)
    except InputError as problem:
        holder = holder_of(port)
        who = f"; {_called(holder)} has it" if holder else ""
        return error("port", f"{problem.problem}{who}", _fix(holder))
    return ok("port", f"{host}:{port} is free")


def replica_ports(replicas: int) -> Check:
    """HAProxy reaches each replica on a port of its own."""
    first = int(getattr(constants, "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT", 30000))
    last = int(getattr(constants, "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT", 31000))
    taken = len({port for port, _ in listening() if first <= port <= last})
    free = last - first + 1 - taken
    told = f"{free} of {first} to {last} are free"
    if free < replicas:
        return error("replica_ports", told, "choose another range: RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT and _MAX_")
    return ok("replica_ports", told)


def fixed_ports() -> Check:
    """HAProxy's statistics and metrics; `rec-platform serve` takes free ones, Ray's own commands the fixed ones."""
    taken = {port for port, _ in listening()} & {STATISTICS_PORT, METRICS_PORT}
    if taken:
        holders = ", ".join(f"{port}: {_called(holder_of(port)) or 'somebody'}" for port in sorted(taken))
        fix = "for `serve deploy` set RAY_SERVE_HAPROXY_STATS_PORT and RAY_SERVE_HAPROXY_METRICS_PORT in `ray start`"
        return warning("haproxy_ports", f"taken ({holders}); rec-platform serve takes free ones instead", fix)
    return ok("haproxy_ports", f"{STATISTICS_PORT} (statistics) and {METRICS_PORT} (metrics) are free")


def listening() -> Iterator[tuple[int, str]]:
    """(port, inode of the socket) of all TCP sockets that listen; none where there is no /proc."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == LISTENING:
                yield int(fields[1].rpartition(":")[2], 16), fields[9]


def holder_of(port: int) -> int | None:
    """The process that listens there, where it may be known."""
    wanted = {f"socket:[{inode}]" for found, inode in listening() if found == port}
    for folder in Path("/proc").glob("[0-9]*/fd") if wanted else ():
        try:
            if any(os.readlink(link) in wanted for link in folder.iterdir()):
                return int(folder.parent.name)
        except OSError:  # another user's, or gone
            continue
    return None


def _called(pid: int | None) -> str:
    if pid is None:
        return ""
    try:
        return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"
    except OSError:
        return f"process {pid}"


def _fix(pid: int | None) -> str:
    try:
        orphan = pid is not None and Path(f"/proc/{pid}/comm").read_text().strip() == "haproxy"
        orphan = orphan and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] == "1"
    except OSError:
        orphan = False
    if orphan:
        return f"an HAProxy whose Ray is gone: kill {pid}"
    return "stop that service, or choose another port: --port, http_options.port"
