"""A misspelt option in a Serve YAML file is an error, with the right spelling."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from rec_platform.errors import InputError
from rec_platform.serving.app import Recommender, build
from rec_platform.serving.config import DEPLOYMENT, ServeConfig
from rec_platform.serving.serve_yaml import read_serve_yaml

CONFIGS = Path(__file__).parents[2] / "serve_configs"
LOCAL = CONFIGS / "local.yaml"


def changed(tmp_path: Path, *path: str | int, key: str, value: object) -> Path:
    values = yaml.safe_load(LOCAL.read_text())
    place = values
    for step in path:
        place = place[step]
    place[key] = value
    target = tmp_path / "serve.yaml"
    target.write_text(yaml.safe_dump(values))
    return target


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_our_files_are_good(path: Path) -> None:
    values = read_serve_yaml(path)
    assert ServeDeploySchema.model_validate(values).model_dump(exclude_unset=True, mode="json") == values
    config = ServeConfig.load(path)
    assert config.model == "recommender@champion"
    deployed = Recommender.options(**config.deployment)  # as `rec-platform serve` does
    assert config.user_config == values["applications"][0]["deployments"][0]["user_config"]
    application = values["applications"][0]
    assert deployed.max_ongoing_requests == application["deployments"][0]["max_ongoing_requests"] > 5
    build(application["args"])  # as `serve deploy` does
    assert config.settings.authentication == ("off" if config.host == "127.0.0.1" else "required")


def test_production_follows_the_load() -> None:
    deployment = ServeConfig.load(CONFIGS / "production.yaml").deployment
    assert deployment["num_replicas"] == "auto"
    scaling = deployment["autoscaling_config"]
    assert 2 <= scaling["min_replicas"] < scaling["max_replicas"]
    assert scaling["target_ongoing_requests"] < deployment["max_ongoing_requests"]


def test_local() -> None:
    config = ServeConfig.load(LOCAL)
    assert (config.host, config.port, config.model) == ("127.0.0.1", 8000, "recommender@champion")
    assert config.deployment == {"num_replicas": 1, "max_ongoing_requests": 256}


@pytest.mark.parametrize(
    ("path", "key", "hint"),
    [
        ((), "http_option", "http_options"),
        (("http_options",), "prot", "port"),
        (("applications", 0), "import_pat", "import_path"),
        (("applications", 0, "deployments", 0), "num_replica", "num_replicas"),
        (("applications", 0, "args"), "decision_lgo", "decision_log"),
        (("applications", 0, "deployments", 0, "user_config"), "modle", "model"),
    ],
)
def test_unknown_keys(tmp_path: Path, path: tuple, key: str, hint: str) -> None:
    with pytest.raises(InputError, match=f"{key}.*did you mean '{hint}'"):
        ServeConfig.load(changed(tmp_path, *path, key=key, value=1))


def test_the_import_path_builds_the_deployment_that_the_files_name() -> None:
    assert Recommender.name == DEPLOYMENT
    build({"decision_log": "async"})
    with pytest.raises(InputError, match="decision_log"):
        build({"decision_lgo": "async"})


def test_unknown_keys_deep_inside(tmp_path: Path) -> None:
    deployment = ("applications", 0, "deployments", 0)
    scaling = {"min_replicas": 1, "targt_ongoing_requests": 4}
    with pytest.raises(InputError, match=r"targt_ongoing_requests.*did you mean 'target_ongoing_requests'"):
        ServeConfig.load(changed(tmp_path, *deployment, key="autoscaling_config", value=scaling))
    with pytest.raises(InputError, match=r"num_cpu.*did you mean 'num_cpus'"):
        ServeConfig.load(changed(tmp_path, *deployment, key="ray_actor_options", value={"num_cpu": 1}))


def test_values(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"http_options\.port"):
        ServeConfig.load(changed(tmp_path, "http_options", key="port", value="many"))
    with pytest.raises(InputError, match="decision_log"):
        ServeConfig.load(changed(tmp_path, "applications", 0, "args", key="decision_log", value="never"))
    with pytest.raises(InputError, match="import_path"):
        ServeConfig.load(changed(tmp_path, "applications", 0, key="import_path", value="some.other:app"))
    for text in ("", "[]", "a: [", "\x00"):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(InputError):
            ServeConfig.load(tmp_path / "bad.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        ServeConfig.load(tmp_path / "missing.yaml")
