"""`rec-platform evaluate ranking`, on a generated log and, where it is there, on MovieLens-100K."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rec_platform.cli.evaluate_ranking import default_policies
from rec_platform.cli.main import run
from rec_platform.data.ingest import ingest
from rec_platform.policies import fitted
from rec_platform.policies.fitted import FITTED

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
MOVIELENS = Path(__file__).parents[3] / "shared" / "data" / "ml-100k"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("ranking")
    rows = [f"u{u},{(u * 7 + step * step) % 23},{100 * step + u}" for u in range(40) for step in range(6)]
    (folder / "log.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    ingest(folder / "log.csv", "csv", folder / "dataset")
    return str(folder / "dataset")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert run(["evaluate", "ranking", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("split", ["leave-last-one-out", "temporal"])
def test_policies_side_by_side(capsys, dataset, split):
    policies = ["--policy", "popularity", "--policy", "markov:window=2,last=3", "--policy", "popularity:days=0.001"]
    answer = told(capsys, "--dataset", dataset, "--split", split, "--k", "5", *policies)
    assert list(answer["policies"]) == ["popularity", "markov:window=2,last=3", "popularity:days=0.001"]
    assert answer["best"] not in answer["behind"]
    assert len(answer["behind"]) == 2
    for result in answer["policies"].values():
        assert 0 <= result["intervals"]["ndcg@5"][0] <= result["ndcg@5"] <= result["intervals"]["ndcg@5"][1] <= 1
        assert result["users"] == answer["users"]
    assert (answer["moment"] is None) == (split == "leave-last-one-out")


@pytest.mark.parametrize("split", ["leave-last-one-out", "temporal"])
def test_slices_by_segment(capsys, dataset, split):
    arguments = ["--dataset", dataset, "--split", split, "--policy", "popularity"]
    plain, sliced = (told(capsys, *arguments, "--slices", slices) for slices in ("none", "segments"))
    before, after = (answer["policies"]["popularity"]["slices"] for answer in (plain, sliced))
    assert {name: after[name] for name in before} == before
    segments = {name: figures for name, figures in after.items() if name.startswith("segment=")}
    assert len(segments) > 2
    assert set(after) == {*before, *segments}
    assert sum(figures["users"] for figures in segments.values()) == sliced["users"]
    mean = sum(figures["users"] * figures["ndcg@10"] for figures in segments.values()) / sliced["users"]
    assert mean == pytest.approx(sliced["policies"]["popularity"]["ndcg@10"])
    assert run(["evaluate", "ranking", *arguments, "--slices", "segments"]) == 0
    assert next(iter(segments)).removeprefix("segment=") in capsys.readouterr().out


def test_settings_as_a_mapping_and_of_an_experiment(capsys, dataset):
    policies = ["markov:window=2,last=3", "markov:{window: 2, last: 3}", str(EXPERIMENTS / "movielens_markov.yaml")]
    arguments = [part for policy in policies for part in ("--policy", policy)]
    answer = told(capsys, "--dataset", dataset, *arguments, "--policy", "markov")["policies"]
    assert set(answer) == {*policies[:2], "movielens_markov", "markov"}
    assert answer[policies[0]]["ndcg@10"] == answer[policies[1]]["ndcg@10"] != answer["markov"]["ndcg@10"]
    assert answer["movielens_markov"]["ndcg@10"] == answer["markov"]["ndcg@10"]


def test_without_a_choice_all_that_the_log_allows(capsys, dataset, monkeypatch):
    """This log has no features of items: what needs them is left out, and said."""
    kinds = {kind for kind, settings in FITTED.items() if not settings.online}
    assert set(default_policies(with_item_features=True)) == kinds
    assert capsys.readouterr().err == ""
    quick = {kind: FITTED[kind] for kind in ("popularity", "content", "diverse", "ucb1")}
    monkeypatch.setattr(fitted, "FITTED", quick)
    assert list(told(capsys, "--dataset", dataset)["policies"]) == ["popularity"]
    assert run(["evaluate", "ranking", "--dataset", dataset]) == 0
    assert "left out, since the log has no features of items: content, diverse" in capsys.readouterr().err
    assert run(["evaluate", "ranking", "--dataset", dataset, "--policy", "content"]) == 2


def test_a_bandit_is_asked_in_the_moment_of_the_held_out_event(capsys, dataset):
    bandit = "epsilon_greedy:{context: [weekday], initial_from_counts: true}"
    answer = told(capsys, "--dataset", dataset, "--policy", bandit, "--policy", "popularity")["policies"]
    assert answer[bandit]["ndcg@10"] == pytest.approx(answer["popularity"]["ndcg@10"])  # all is of one day


def test_the_table_states_the_tie_rule(capsys, dataset):
    assert run(["evaluate", "ranking", "--dataset", dataset, "--policy", "popularity"]) == 0
    assert "as their items stand in the catalogue" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policy", "markow"], "markov"),
        (["--policy", "als:factor=3"], "factors"),
        (["--policy", "als:factors=0"], "als.factors"),
        (["--policy", "als:factors"], "not key=value"),
        (["--policy", "popularity", "--split", "random"], "leave-last-one-out"),
        (["--policy", "popularity", "--k", "0"], "--k"),
        (["--policy", "popularity", "--slices", "ages"], "segments"),
        (["--policy", "markov:{window: }}"], "not a value"),
        (["--policy", "nowhere.yaml"], "nowhere.yaml"),
        (["--policy", str(EXPERIMENTS / "interest_evolution_ppo.yaml")], "evaluate simulation"),
    ],
)
def test_bad_input(capsys, dataset, arguments, words):
    assert run(["evaluate", "ranking", "--dataset", dataset, *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.skipif(not MOVIELENS.exists(), reason="MovieLens-100K is not here")
def test_popularity_of_movielens_is_that_of_independent_tools(capsys, tmp_path):
    ingest(MOVIELENS, "movielens-100k", tmp_path / "ml")
    arguments = ["--dataset", str(tmp_path / "ml"), "--policy", "popularity"]
    last = told(capsys, *arguments)
    assert last["users"] == 943
    assert round(last["policies"]["popularity"]["ndcg@10"], 4) == 0.0253
    assert round(last["policies"]["popularity"]["hit_rate@10"], 4) == 0.0498
    slices = last["policies"]["popularity"]["slices"]
    assert slices["tied"]["users"] + slices["untied"]["users"] == 943
    temporal = told(capsys, *arguments, "--split", "temporal")
    assert temporal["users"] == 107
    assert round(temporal["policies"]["popularity"]["ndcg@10"], 4) == 0.1486
