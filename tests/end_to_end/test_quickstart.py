"""The whole loop as a new user runs it, in small: one command, real Ray, real HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rec_platform.cli.main import run
from rec_platform.cli.quickstart import EXPERIMENTS, experiment_file
from rec_platform.registry import ModelRegistry
from rec_platform.serving.decision_log import decisions_table, recompute_propensities
from rec_platform.serving.store import EventStore
from rec_platform.training.experiment import read_experiment

SMALL = (
    "--users", "80", "--items", "100", "--set", "stop.env_steps=3000", "--set", "evaluation.users=20",
    "--set", "resources.env_runners=0", "--set", "algorithm.minibatch=256",
)  # fmt: skip
POLICIES = {
    "random", "popularity", "myopic", "diverse", "ppo", "ppo_exploring", "slateq", "slateq_exploring"
}  # fmt: skip


def quickstart(home: Path, *arguments: str) -> int:
    return run(["quickstart", "--home", str(home), *arguments])


def test_both_are_judged_by_the_same_users() -> None:
    """One table holds both and the baselines of the first: their worlds must be one."""
    ppo, slateq = (read_experiment(experiment_file(name)) for name in EXPERIMENTS)
    assert ppo.data == slateq.data
    assert ppo.simulator == slateq.simulator
    assert ppo.evaluation == slateq.evaluation
    assert ppo.seed == slateq.seed


def test_logs_become_a_live_recommender(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert quickstart(tmp_path, *SMALL, "--json") == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    answer = json.loads(shown.strip().splitlines()[-1])
    assert set(answer) == {"seconds", "dataset", "model", "policies", "report", "service"}
    assert (answer["dataset"]["users"], answer["dataset"]["items"], answer["dataset"]["rows_rejected"]) == (80, 100, 0)
    assert set(answer["policies"]) == POLICIES
    for name, figures in answer["policies"].items():
        assert figures["return"]["lower"] <= figures["return"]["mean"] <= figures["return"]["upper"], name
        assert name in shown
    assert answer["service"]["accepted"] == answer["service"]["duplicates"] == 1
    assert answer["service"]["changed"]

    report = Path(answer["report"])
    assert report == tmp_path / "report.html"
    text = report.read_text()
    assert all(f"<td>{name}</td>" in text for name in POLICIES)
    assert text.count("<svg") >= 2

    name = answer["model"].removesuffix("@champion")
    assert name in {"quickstart_ppo", "quickstart_slateq"}
    champion = ModelRegistry(tmp_path).get(name)
    assert (champion.version, champion.alias) == (1, "champion")
    store = EventStore(f"sqlite:///{tmp_path / 'serving.db'}")
    log = decisions_table(store)
    assert (log.num_rows, set(log["model_name"].to_pylist())) == (3, {name})
    assert recompute_propensities(champion.load(), log) < 1e-6
    with store.connect() as connection:
        clicks = connection.exec_driver_sql("SELECT item_id FROM events WHERE event_id LIKE 'quickstart-%'").fetchall()
    assert clicks == [(answer["service"]["clicked"],)]
    store.close()

    # Once more in the same folder, for a person; one algorithm, to save time.
    monkeypatch.setattr("rec_platform.cli.quickstart.EXPERIMENTS", ("quickstart_ppo",))
    assert quickstart(tmp_path, *SMALL) == 0
    assert "Go on with" in capsys.readouterr().out
    assert len(ModelRegistry(tmp_path).versions("quickstart_ppo")) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "nowhere", "--format", "csv"), "nowhere"),
        (("--data", "empty.csv", "--format", "csv"), "empty.csv"),
        (("--data", "header.csv", "--format", "csv"), "header.csv"),
        (("--data", "one.csv", "--format", "csv"), "the log has 1 user"),
        (("--data", "two.csv", "--format", "csv"), "20 are needed"),
        (("--data", "two.csv", "--format", "cvs"), "did you mean 'csv'"),
        (("--data", "two.csv"), "--format: is missing"),
        (("--format", "csv"), "--data: is missing"),
        (("--users", "1"), "num_users"),
        (("--data", "two.csv", "--format", "csv", "--users", "9"), "only the generator"),
        (("--set", "stop.env_step=1"), "did you mean 'env_steps'"),
        (("--serve", "--json"), "--serve"),
        (("--port", "70000"), "65535"),
    ],
)
def test_bad_input(
    ray_cluster: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("user_id,item_id,timestamp\n")
    (tmp_path / "one.csv").write_text("user_id,item_id,timestamp\n" + "".join(f"u,i{n},{n}\n" for n in range(9)))
    rows = (f"u{n % 2},i{n % 7},{n}\n" for n in range(99))
    (tmp_path / "two.csv").write_text("user_id,item_id,timestamp\n" + "".join(rows))
    experiments = Path(__file__).parents[2] / "experiments"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(experiments)
    assert quickstart(tmp_path / "home", *arguments) == 2
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert "Traceback" not in error
    left = {path.relative_to(tmp_path / "home").as_posix() for path in (tmp_path / "home").rglob("*") if path.is_file()}
    assert not [name for name in left if name.startswith(("models/", "simulators/", "report", "serving"))]
    assert not left or "datasets/quickstart/dataset.json" in left  # a dataset is whole or not there
