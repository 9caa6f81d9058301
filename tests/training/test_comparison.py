"""Recommenders of every kind side by side: nothing held back leaks, what was measured is kept, seeds are seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small_comparison import DRAWN, FITTED, SIMULATOR, TRAINED, write_experiment, write_log

from rec_platform.data.dataset import Dataset
from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.evaluation.comparison.results import Comparison
from rec_platform.evaluation.ranking.task import RankingTask
from rec_platform.policies.classical.markov import MarkovSettings
from rec_platform.policies.policy import Policy, Scores
from rec_platform.policies.samplers import Greedy
from rec_platform.training.comparison import run as module
from rec_platform.training.comparison import training_run
from rec_platform.training.comparison.entries import first_difference, read_entries
from rec_platform.training.comparison.run import compare
from rec_platform.training.comparison.stage import ComparisonSettings, build_stage
from rec_platform.training.fitted_experiment import FittedExperiment, build_any_experiment
from rec_platform.types import Observation

CLASSIC = {"simulator": {"kind": "interest_evolution"}, "algorithm": {"kind": "ppo"}}
WIDER = {"simulator": {**SIMULATOR, "slate_size": 3}}
SETTINGS = ComparisonSettings(k=5, users=40)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("compared"))


def compared(dataset: Path, home: Path, files: list[Path], **changes: Any) -> Comparison:
    return compare(read_entries(files, dataset), dataset, replace(SETTINGS, **changes), home)


def figures(done: Comparison) -> dict[str, list[dict[str, float]]]:
    """Everything but times."""
    return {name: [outcome.figures() for outcome in one.outcomes] for name, one in done.contenders.items()}


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("fitted or trained again")


@pytest.fixture(scope="module")
def whole(
    ray_cluster: None, dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Comparison, Path, list[Path]]:
    """A fitted and a trained recommender, its home and the files."""
    home = tmp_path_factory.mktemp("home")
    files = [write_experiment(home / "files", "chain", FITTED), write_experiment(home / "files", "learner", TRAINED)]
    return compared(dataset, home, files), home, files


def test_both_sides_of_everybody(whole: tuple[Comparison, Path, list[Path]]) -> None:
    done, home, _ = whole
    assert set(done.contenders) == {"chain", "learner", "myopic", "diverse", "random", "popularity"}
    for contender in done.contenders.values():
        assert contender.ranking is not None
        assert contender.rollout is not None
        assert contender.ranking.users == 60
        assert len(contender.rollout.returns) == 40
        assert contender.ranking.slices["tied"]["users"] == 30
    assert done.contenders["learner"].outcomes[0].curve[-1][0] >= 256
    assert [done.contenders[name].family for name in ("chain", "learner", "random")] == [
        "fitted", "reinforcement learning", "baseline"
    ]  # fmt: skip
    assert not (home / "models").exists()


def test_a_fitted_one_ranks_as_the_ranking_command_has_it(
    whole: tuple[Comparison, Path, list[Path]], dataset: Path
) -> None:
    task = RankingTask.of(Dataset.open(dataset), split="leave-last-one-out")
    expected = task.evaluate(Policy("markov", MarkovSettings(last=3).fit(task.log, 1), Greedy()), k=5)
    told = whole[0].contenders["chain"].ranking
    assert told is not None
    assert told.to_dict() == expected.to_dict()


def test_what_was_measured_is_kept(
    whole: tuple[Comparison, Path, list[Path]], dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, home, files = whole
    monkeypatch.setattr(module, "ranked_policy", refuse)
    monkeypatch.setattr(module, "simulated_policy", refuse)
    monkeypatch.setattr(training_run, "train", refuse)
    again = compared(dataset, home, files)
    assert str(again.to_dict()) == str(done.to_dict())  # as text, in which NaN equals itself
    with pytest.raises(AssertionError, match="again"):
        compared(dataset, home, files, fresh=True)
    with pytest.raises(AssertionError, match="again"):
        compared(dataset, home, files[:1], k=4)


def test_another_question_does_not_train_again(
    whole: tuple[Comparison, Path, list[Path]], dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its training is gone on with from the last checkpoint, which is the end."""
    done, home, files = whole
    resumed = []
    train = training_run.train

    def watched(*arguments: Any, **options: Any) -> Any:
        resumed.append(options["resume"])
        return train(*arguments, **options)

    monkeypatch.setattr(training_run, "train", watched)
    longer = compared(dataset, home, files[1:], k=20, simulation=False)
    assert resumed == [True]
    ours, before = longer.contenders["learner"].ranking, done.contenders["learner"].ranking
    assert ours is not None
    assert before is not None
    assert (ours.per_user["mrr@20"] >= before.per_user["mrr@5"]).all()
    found = before.per_user["mrr@5"] > 0
    np.testing.assert_array_equal(ours.per_user["mrr@20"][found], before.per_user["mrr@5"][found])
    assert set(longer.contenders) == {"learner"}


def test_an_interrupted_comparison_goes_on(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[Comparison, Path, list[Path]]
) -> None:
    files = [write_experiment(tmp_path, "one", FITTED), write_experiment(tmp_path, "two", DRAWN)]
    fitted: list[str] = []
    ranked = module.ranked_policy

    def until(last: str) -> Any:
        def fit(experiment: Any, log: Any) -> Any:
            if experiment.name == last:
                raise KeyboardInterrupt
            fitted.append(experiment.name)
            return ranked(experiment, log)

        return fit

    monkeypatch.setattr(module, "ranked_policy", until("two"))
    with pytest.raises(KeyboardInterrupt):
        compared(dataset, tmp_path, files, simulation=False)
    monkeypatch.setattr(module, "ranked_policy", until(""))
    done = compared(dataset, tmp_path, files, simulation=False)
    assert fitted == ["one", "two"]
    assert set(done.contenders) == {"one", "two"}
    assert done.best == {"ranking": next(iter(done.ranked)), "simulation": None}


def test_seeds(dataset: Path, tmp_path: Path) -> None:
    files = [write_experiment(tmp_path, "drawn", DRAWN), write_experiment(tmp_path, "chain", FITTED)]
    done = compared(dataset, tmp_path, files, seeds=3, simulation=False)
    drawn, chain = done.contenders["drawn"], done.contenders["chain"]
    assert [outcome.seed for outcome in drawn.outcomes] == [1, 2, 3]
    each = np.array([outcome.figures()["ndcg@5"] for outcome in drawn.outcomes])
    assert len(set(each)) > 1
    assert drawn.ranking is not None
    assert drawn.ranking.metrics["ndcg@5"].mean == pytest.approx(each.mean())
    assert drawn.over_seeds["ndcg@5"] == pytest.approx(each.std(ddof=1) / np.sqrt(3))
    assert chain.over_seeds["ndcg@5"] == 0
    alone = compared(dataset, tmp_path / "other", files, simulation=False)
    assert np.isnan(alone.contenders["drawn"].over_seeds["ndcg@5"])
    assert alone.contenders["drawn"].outcomes[0].figures() == drawn.outcomes[0].figures()


@pytest.mark.parametrize("split", ["leave-last-one-out", "temporal"])
def test_the_earlier_part_holds_nothing_that_is_held_back(dataset: Path, tmp_path: Path, split: Any) -> None:
    stage = build_stage(dataset, replace(SETTINGS, split=split), None, tmp_path)
    held, catalog = stage.task.held_out, stage.dataset.catalog()
    assert stage.earlier.catalog().item_ids == catalog.item_ids
    mine = Histories.build(stage.earlier, catalog)
    pairs = set(zip(mine.user_of_event.tolist(), mine.items.tolist(), strict=True))
    owner = np.repeat(held.users, np.diff(held.offsets))
    assert not pairs & set(zip(owner.tolist(), held.items.tolist(), strict=True))
    cut = len(stage.dataset.interactions) - len(stage.earlier.interactions)
    assert cut == (60 if split == "leave-last-one-out" else 600 - held.train.offsets[-1])
    if split == "temporal":
        assert held.moment is not None
        assert mine.timestamps.max() < held.moment
    likes = np.bincount(mine.items[mine.feedback > 0], minlength=len(catalog))
    np.testing.assert_allclose(stage.task.catalog.popularity, likes / likes.sum(), rtol=1e-6)
    before = stage.earlier.folder.stat().st_mtime_ns
    assert build_stage(dataset, replace(SETTINGS, split=split), None, tmp_path).earlier.hash == stage.earlier.hash
    assert stage.earlier.folder.stat().st_mtime_ns == before


def test_what_users_thought_of_the_held_back_changes_nothing(
    ray_cluster: None, tmp_path: Path, whole: tuple[Comparison, Path, list[Path]]
) -> None:
    """Neither simulated users, nor training, nor any choice between policies has seen it."""
    results = []
    for held in (1, 5):
        log = write_log(tmp_path / str(held), held=held)
        results.append(figures(compared(log, tmp_path / "home", whole[2])))
    assert results[0] == results[1]
    assert len(list((tmp_path / "home" / "comparisons").iterdir())) == 2


class Witness:
    """Scores by catalogue index and keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[Observation] = []

    def score(self, observation: Observation) -> Scores:
        self.shown.append(observation)
        return Scores(observation.candidates.astype(np.float32))


def test_a_trained_policy_ranks_from_what_simulated_users_show(dataset: Path, tmp_path: Path) -> None:
    """Every rating is a positive for the ranking, yet it is shown likes and dislikes, of as many events as it knows."""
    reference = read_entries([write_experiment(tmp_path, "drawn", DRAWN, simulator=SIMULATOR)], dataset).reference
    stage = build_stage(dataset, SETTINGS, reference, tmp_path)
    assert (stage.task.log.histories.feedback == 1).all()
    ratings = {(row["user_id"], row["item_id"]): row["value"] for row in stage.dataset.interactions.to_pylist()}
    witness, train = Witness(), stage.task.held_out.train
    stage.rank(Policy("witness", witness, Greedy()), None)
    shown = Observation.concatenate(witness.shown)
    spec = stage.world.evaluation.spec
    assert shown.history.shape == (60, spec.history_length) == (60, 6)
    assert shown.context.shape == (60, len(spec.context_names))
    assert not shown.context.any()
    assert shown.user_features.shape == (60, len(spec.user_feature_names))
    for row, name in enumerate(train.user_ids):
        taken = train.items[train.offsets[row] : train.offsets[row + 1]]
        assert shown.history[row].tolist() == taken[-6:].tolist()
        likes = [1 if ratings[name, stage.task.catalog.item_ids[item]] >= 4 else -1 for item in taken[-6:]]
        assert shown.history_feedback[row].tolist() == likes
        assert set(shown.candidates[row]) == set(range(20)) - set(taken.tolist()) | {-1}
    witness.shown.clear()
    fitted = build_any_experiment(yaml.safe_load(write_experiment(tmp_path, "markov", FITTED).read_text()))
    assert isinstance(fitted, FittedExperiment)
    stage.rank(Policy("witness", witness, Greedy()), fitted)
    assert witness.shown[0].history.shape[1] == 9
    assert (Observation.concatenate(witness.shown).history_feedback == 1).all()


def test_the_same_users_whatever_the_seed(dataset: Path, tmp_path: Path) -> None:
    """One set of simulators is fitted; only what is compared is fitted again."""
    reference = write_experiment(tmp_path, "drawn", DRAWN, simulator=SIMULATOR)
    done = compared(dataset, tmp_path, [reference], seeds=2, ranking=False)
    assert len(list((tmp_path / "simulators").iterdir())) == 1
    assert [len(one.outcomes) for one in done.contenders.values()] == [2, 1, 1]
    assert done.ranked == {}
    first, second = (outcome.rollout for outcome in done.contenders["drawn"].outcomes)
    assert first is not None
    assert second is not None
    assert not np.array_equal(first.returns, second.returns)


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([("chain", FITTED, {})], "also the name in"),
        ([("classic", CLASSIC, {})], "users of its own"),
        ([("a", TRAINED, {}), ("b", TRAINED, WIDER)], r"b.yaml: simulator.slate_size: 3, but 2 in .*a.yaml"),
        ([("a", TRAINED, {}), ("b", TRAINED, {"data": {"judging_share": 0.2}})], r"data.judging_share: 0.2, but 0.0"),
        ([("a", TRAINED, {"policy": {"warm_start": "run", "start_from": "earlier"}})], "policy.start_from"),
        ([("a", {"algorithm": {"kind": "markof"}}, {})], r"a.yaml: algorithm.kind.*did you mean 'markov'"),
    ],
)
def test_what_cannot_be_compared(dataset: Path, tmp_path: Path, others: list[Any], words: str) -> None:
    files = [write_experiment(tmp_path, "chain", FITTED)]
    files += [write_experiment(tmp_path / "more", name, content, **changes) for name, content, changes in others]
    with pytest.raises(InputError, match=words):
        read_entries(files, dataset)


def test_the_first_difference() -> None:
    one = {"a": {"b": 1, "c": [1, 2]}, "d": None}
    assert first_difference(one, {"a": {"b": 1, "c": [1, 2]}, "d": None}) is None
    assert first_difference(one, {"a": {"b": 1, "c": [1, 3]}, "d": 2}) == ("a.c", [1, 2], [1, 3])
    assert first_difference(one, {"a": {"b": 1, "c": [1, 2], "e": 0}, "d": None}) == ("a.e", None, 0)
