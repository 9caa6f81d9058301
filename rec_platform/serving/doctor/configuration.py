"""Is what the service is told right, and safe: who may ask from where, the keys, variables that would be ignored."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ray.serve._private import constants

from rec_platform.errors import did_you_mean
from rec_platform.serving.config import ServeConfig, on_loopback
from rec_platform.serving.doctor.check import Check, error, ok, warning
from rec_platform.serving.settings import TOKEN_VARIABLE, ServiceSettings

CLUSTER_FILE = Path(tempfile.gettempdir()) / "ray" / "ray_current_cluster"
"""`ray start` leaves the address of its cluster there."""

_VARIABLE = re.compile(r"RAY_SERVE_[A-Z0-9_]*[A-Z0-9]")


def exposure(config: ServeConfig) -> Check:
    """A service that other machines reach asks for a key."""
    settings, local = config.settings, on_loopback(config.host)
    known = settings.has_credentials()
    asks = settings.authentication == "required" or (settings.authentication is None and (known or not local))
    if not local and not asks:
        fix = "leave args.authentication out and create keys, or listen on 127.0.0.1"
        return error("host", f"{config.host} is open to other machines and nobody is asked for a key", fix)
    if asks and not known:
        fix = f"rec-platform keys create --name N --scope recommend, or set {TOKEN_VARIABLE}"
        return error("host", f"{config.host}: a key is asked for, and there is none", fix)
    if local:
        return ok("host", f"{config.host}: this machine only, {'with' if asks else 'without'} a key")
    return ok("host", f"{config.host}, with a key; the replicas' own ports (30000 and up) need a firewall")


def token(settings: ServiceSettings) -> Check:
    """The token can be read by the service, and by nobody else; raises `InputError` where it is too short."""
    value = settings.token()
    if value is None:
        return ok("token", "there is none")
    if settings.token_file is None:
        return ok("token", f"from {TOKEN_VARIABLE}")
    mode = stat.S_IMODE(settings.token_file.stat().st_mode)
    if mode & 0o077:
        message = f"{settings.token_file} may be read by others (mode {mode:03o})"
        return warning("token", message, f"chmod 600 {settings.token_file}")
    return ok("token", f"in {settings.token_file}, for its owner only")


def ray_variables(environment: Mapping[str, str] | None = None, cluster_file: Path = CLUSTER_FILE) -> Iterator[Check]:
    """Variables for Serve are read where Ray is started; in the shell of a driver they change nothing."""
    environment = os.environ if environment is None else environment
    given = sorted(name for name in environment if name.startswith("RAY_SERVE_"))
    known = set(_VARIABLE.findall(Path(constants.__file__).read_text()))
    unknown = [name for name in given if name not in known]
    if unknown:
        hints = ", ".join(f"{name} ({did_you_mean(name, known)[:80]})" for name in unknown)
        yield warning("ray_variables", f"Ray knows no {hints}", "correct or unset it")
    address = environment.get("RAY_ADDRESS")
    if address is None and cluster_file.is_file():
        address = cluster_file.read_text().strip()
    if given and address:
        names = ", ".join(given)
        fix = "set them in the environment of `ray start`, or unset them here"
        yield warning("ray_variables", f"the cluster at {address} ignores what is set in this shell: {names}", fix)
    elif address:
        fix = "deploy there with `serve deploy`, on a cluster started with RAY_SERVE_ENABLE_HA_PROXY=1"
        yield warning("ray_variables", f"rec-platform serve starts a Ray of its own, beside {address}", fix)
    elif not unknown:
        yield ok("ray_variables", f"set for Serve: {', '.join(given)}" if given else "none is set for Serve")
