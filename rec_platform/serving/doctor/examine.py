"""All that is looked at, in the order in which it is told. Starts nothing and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

from rec_platform.registry import Bundle
from rec_platform.serving.config import ServeConfig
from rec_platform.serving.doctor import configuration, machine, model, ports, store
from rec_platform.serving.doctor.check import Check, guarded, ok


def examine(
    path: Path | None, *, model_name: str | None = None, port: int | None = None, home: Path | None = None
) -> list[Check]:
    """Examine this machine, and the service that a Serve YAML file describes.

    Args:
        path: the file; None for a service of one replica on loopback as `rec-platform serve` starts it without one.
        model_name: instead of the file's, likewise ``port`` and ``home``.
    """
    checks = [
        *guarded("python", machine.python_version),
        *guarded("packages", machine.packages),
        *guarded("haproxy", machine.haproxy),
        *guarded("open_files", machine.open_files),
        *guarded("shared_memory", machine.shared_memory),
        *guarded("ray_variables", configuration.ray_variables),
    ]
    found: list[ServeConfig] = []

    def read() -> Check:
        config = ServeConfig(model="recommender@champion") if path is None else ServeConfig.load(path)
        found.append(config.changed(model=model_name, port=port, home=home).located())
        return ok("serve_yaml", "no file; one replica on loopback" if path is None else f"{path}: every key is known")

    checks += guarded("serve_yaml", read)
    for config in found:
        checks += _service(config)
    return checks


def _service(config: ServeConfig) -> list[Check]:
    """Whatever needs to know how the service is to run."""
    assert config.settings.home is not None  # located
    home, url = config.settings.home, config.settings.store_url
    bundles: list[Bundle] = []

    def load() -> Check:
        check, bundle = model.loads(home, config.model)
        bundles.append(bundle)
        return check

    checks = [
        *guarded("cpus", lambda: machine.cpus(config.deployment)),
        *guarded("disk", lambda: machine.disk(home)),
        *guarded("port", lambda: ports.http_port(config.host, config.port)),
        *guarded("replica_ports", lambda: ports.replica_ports(most_replicas(config))),
        *guarded("haproxy_ports", ports.fixed_ports),
        *guarded("host", lambda: configuration.exposure(config)),
        *guarded("token", lambda: configuration.token(config.settings)),
        *guarded("store", lambda: store.opens(url)),
        *guarded("model", load),
    ]
    if not bundles:
        return [*checks, *guarded("clock", lambda: store.clock(url))]
    catalog, manifest = bundles[0].catalog, bundles[0].manifest
    checks += guarded("catalogue", lambda: store.log_fits(url, catalog, manifest.name))
    return [*checks, *guarded("clock", lambda: store.clock(url, manifest.created_at))]


def most_replicas(config: ServeConfig) -> int:
    """How many there may be."""
    scaling = config.deployment.get("autoscaling_config") or {}
    replicas = config.deployment.get("num_replicas", 1)
    return int(
        scaling.get("max_replicas", 100 if replicas == "auto" else 1) if scaling or replicas == "auto" else replicas
    )
