"""What is needed to start the service: a Serve YAML file with the command line's changes on top."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rec_platform.errors import InputError
from rec_platform.registry import platform_home
from rec_platform.serving.serve_yaml import read_serve_yaml
from rec_platform.serving.settings import ServiceSettings, parse
from rec_platform.serving.traffic.live_settings import LiveSettings

IMPORT_PATH = "rec_platform.serving.app:build"
DEPLOYMENT = "recommender"

SERVE_HOST = "0.0.0.0"
"""Where ``serve deploy`` listens if a file does not say."""


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """One service on one machine.

    Attributes:
        model: ``NAME``, ``NAME@ALIAS`` or ``NAME@VERSION``.
        host: where to listen; 127.0.0.1 unless said otherwise.
        port: where to listen; 0 takes a free one.
        settings: of the replicas.
        name: of the Serve application.
        deployment: options of the deployment, such as ``num_replicas``.
        traffic: what else there is in ``user_config``: an experiment, a canary, shadows (`LiveSettings`).
    """

    model: str
    host: str = "127.0.0.1"
    port: int = 8000
    settings: ServiceSettings = field(default_factory=ServiceSettings)
    name: str = "rec_platform"
    deployment: dict[str, Any] = field(default_factory=dict)
    traffic: dict[str, Any] = field(default_factory=dict)

    @property
    def user_config(self) -> dict[str, Any]:
        """What replicas are told while they run."""
        return {**self.traffic, "model": self.model}

    @staticmethod
    def load(path: Path) -> ServeConfig:
        """Read a Serve YAML file with one application, ours.

        Raises:
            InputError: the file is not one, with the dotted key.
        """
        values = read_serve_yaml(path)
        applications = values["applications"]
        if len(applications) != 1 or applications[0].get("import_path") != IMPORT_PATH:
            raise InputError(f"{path}.applications", f"must hold one application with import_path {IMPORT_PATH}")
        application = applications[0]
        options: dict[str, Any] = {}
        for number, deployment in enumerate(application.get("deployments", [])):
            if deployment["name"] != DEPLOYMENT:
                where = f"{path}.applications[0].deployments[{number}].name"
                raise InputError(where, f"'{deployment['name']}' is unknown", f"the only deployment is '{DEPLOYMENT}'")
            options = {key: value for key, value in deployment.items() if key != "name"}
        user_config = options.pop("user_config", {})
        live = parse(LiveSettings, user_config, f"{path}: user_config")
        live.references()
        http = values.get("http_options", {})
        settings = parse(ServiceSettings, application.get("args", {}), f"{path}: args")
        check_door(settings, http.get("host", SERVE_HOST))
        return ServeConfig(
            model=live.model,
            host=http.get("host", "127.0.0.1"),
            port=http.get("port", 8000),
            settings=settings,
            name=application.get("name", "rec_platform"),
            deployment=options,
            traffic={key: value for key, value in user_config.items() if key != "model"},
        )

    def changed(
        self, *, model: str | None = None, host: str | None = None, port: int | None = None, home: Path | None = None
    ) -> ServeConfig:
        """The same with what is not None put in."""
        settings = self.settings if home is None else self.settings.model_copy(update={"home": home})
        return replace(
            self,
            model=self.model if model is None else model,
            host=self.host if host is None else host,
            port=self.port if port is None else port,
            settings=settings,
        )

    def located(self) -> ServeConfig:
        """The same with absolute paths: replicas run in another folder."""
        paths = {
            "home": platform_home(self.settings.home),
            "key_file": self.settings.key_path.absolute(),
            "token_file": self.settings.token_file and self.settings.token_file.absolute(),
        }
        return replace(self, settings=self.settings.model_copy(update=paths))

    def resolved(self) -> ServeConfig:
        """`located`, and it is settled whether callers need a key.

        Raises:
            InputError: they need one and there is none, or they need none and the service is open to other machines.
        """
        located = self.located()
        settings = located.settings
        if settings.authentication is None:
            needed = not on_loopback(self.host) or settings.has_credentials()
            settings = settings.model_copy(update={"authentication": "required" if needed else "off"})
        check_door(settings, self.host)
        if settings.authentication == "required":
            settings.check_credentials()
        return replace(located, settings=settings)


def check_door(settings: ServiceSettings, host: str | None) -> None:
    """Raise `InputError` where everybody may ask a service that other machines reach."""
    if settings.authentication == "off" and not on_loopback(host):
        problem = f"is off, and {host} is open to other machines"
        raise InputError("authentication", problem, "listen on 127.0.0.1, or leave it out and create keys")


def on_loopback(host: str | None) -> bool:
    """Whether only this machine reaches an address; a name other than localhost might be anything."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
