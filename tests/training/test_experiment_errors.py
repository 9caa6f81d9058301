"""Whatever is wrong with an experiment is said with its key and the way out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

import rec_platform
from rec_platform.config import override, parse
from rec_platform.errors import InputError
from rec_platform.training.experiment import Experiment, build_experiment, read_experiment
from rec_platform.training.fitted_experiment import build_any_experiment, read_any_experiment
from rec_platform.training.settings import PPOSettings, SlateQSettings

SHIPPED = sorted((Path(rec_platform.__file__).parent.parent / "experiments").glob("*.yaml"))
GOOD: dict[str, Any] = {
    "name": "small",
    "simulator": {"kind": "interest_evolution"},
    "algorithm": {"kind": "ppo", "minibatch": 64},
}
LEARNED: dict[str, Any] = {
    "name": "small",
    "data": {"dataset": "somewhere"},
    "simulator": {"kind": "learned"},
    "policy": {"head": "trade_off", "warm_start": "log"},
    "algorithm": {"kind": "slateq"},
}


def changed(base: dict[str, Any], *assignments: str) -> dict[str, Any]:
    return override(copy.deepcopy(base), list(assignments))


def test_good() -> None:
    assert isinstance(build_experiment(GOOD).algorithm, PPOSettings)
    assert isinstance(build_experiment(LEARNED).algorithm, SlateQSettings)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped(path: Path) -> None:
    if path.stem.endswith("-search"):
        pytest.skip("a search is no experiment")
    experiment = read_any_experiment(path)
    assert experiment.name == path.stem
    assert build_any_experiment(experiment.to_dict()) == experiment


def test_there_are_experiments() -> None:
    assert {"interest_evolution_ppo", "interest_evolution_slateq"} <= {path.stem for path in SHIPPED}


@pytest.mark.parametrize(
    ("assignment", "field", "hint"),
    [
        ("polcy.hidden=[8]", "polcy", "did you mean 'policy'"),
        ("policy.encodr=none", "policy.encodr", "did you mean 'encoder'"),
        ("algorithm.learning_rat=1", "algorithm.learning_rat", "did you mean 'learning_rate'"),
        ("algorithm.n_step=3", "algorithm.n_step", "known: "),
        ("simulator.slate_sise=3", "simulator.slate_sise", "did you mean 'slate_size'"),
        ("resources.env_runner=2", "resources.env_runner", "did you mean 'env_runners'"),
        ("stop.env_stps=2", "stop.env_stps", "did you mean 'env_steps'"),
        ("evaluation.user=2", "evaluation.user", "did you mean 'users'"),
        ("data.datset=x", "data.datset", "did you mean 'dataset'"),
    ],
)
def test_unknown_keys(assignment: str, field: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint) as caught:
        build_experiment(changed(GOOD, assignment))
    assert caught.value.field == field


def test_unknown_key_two_levels_down() -> None:
    with pytest.raises(InputError, match="did you mean 'recent'") as caught:
        build_experiment(changed(LEARNED, "simulator.leave.recnt=3"))
    assert caught.value.field == "simulator.leave.recnt"


@pytest.mark.parametrize("section", ["name", "simulator", "algorithm"])
def test_missing_sections(section: str) -> None:
    with pytest.raises(InputError, match="is missing") as caught:
        build_experiment({key: value for key, value in GOOD.items() if key != section})
    assert caught.value.field == section


@pytest.mark.parametrize(
    ("assignment", "field"),
    [
        ("simulator=5", "simulator.kind"),
        ("simulator.kind=interest_evolutoin", "simulator.kind"),
        ("algorithm.kind=[ppo]", "algorithm.kind"),
        ("algorithm.kind=null", "algorithm.kind"),
        ("algorithm=null", "algorithm.kind"),
        ("policy=null", "policy"),
        ("policy=[1]", "policy"),
        ("resources=null", "resources"),
        ("stop=7", "stop"),
        ("stop.env_steps=0", "stop.env_steps"),
        ("stop.env_steps=many", "stop.env_steps"),
        ("name=Has Spaces", "name"),
        ("name=../up", "name"),
        ("seed=-1", "seed"),
        ("algorithm.learning_rate=0", "algorithm.learning_rate"),
        ("algorithm.gamma=.nan", "algorithm.gamma"),
        ("algorithm.gamma=1.5", "algorithm.gamma"),
        ("policy.encoder=transformer", "policy.encoder"),
        ("evaluation.users=1", "evaluation.users"),
        ("simulator.slate_size=11", "simulator.num_candidates"),
        ("simulator.num_candidates=2", "simulator.num_candidates"),
        ("data.judging_share=0.3", "data.judging_share"),
        ("data.judging_share=1", "data.judging_share"),
        ("policy.head=trade_off", "policy.head"),
        ("policy.warm_start=log", "policy.warm_start"),
        ("policy.tune_diversity=true", "policy.tune_diversity"),
        ("algorithm.minibatch=1000000", "algorithm.minibatch"),
    ],
)
def test_bad_values(assignment: str, field: str) -> None:
    with pytest.raises(InputError) as caught:
        build_experiment(changed(GOOD, assignment))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("assignment", "field"),
    [
        ("policy.warm_start=none", "policy.warm_start"),
        ("data.dataset=null", "data.dataset"),
        ("data.evaluation_share=1", "data.evaluation_share"),
        ("simulator.num_candidates=3", "simulator.num_candidates"),
        ("algorithm.learning_starts=200000", "algorithm.learning_starts"),
        ("algorithm.replay_capacity=100", "algorithm.minibatch"),
        ("stop.patience=2", "stop.patience"),
        ("simulator.choice=each", "simulator.choice"),
        ("algorithm={kind: td3}", "policy.head"),
        ("algorithm={kind: appo}", "resources.env_runners"),
        ("stop.target_return=10", "stop.target_return"),
        ("policy.exploration=1.5", "policy.exploration"),
    ],
)
def test_bad_values_on_a_log(assignment: str, field: str) -> None:
    with pytest.raises(InputError) as caught:
        build_experiment(changed(LEARNED, assignment))
    assert caught.value.field == field


def test_diversity_is_tuned_where_a_weight_stands_for_a_cost() -> None:
    tuned = changed(LEARNED, "policy.tune_diversity=true")
    assert build_experiment(tuned).algorithm.likeness_unit
    with pytest.raises(InputError, match=r"an actor \(such as ppo\) or slateq") as caught:
        build_experiment(changed(tuned, "algorithm={kind: dqn}"))
    assert caught.value.field == "policy.tune_diversity"


def test_too_many_slots_says_both_numbers() -> None:
    with pytest.raises(InputError, match=r"slate_size 11 is more than the 10 candidates"):
        build_experiment(changed(GOOD, "simulator.slate_size=11"))


def test_minibatch_says_the_rows_of_an_iteration() -> None:
    assignments = ("algorithm.minibatch=129", "algorithm.fragment=4", "resources.users_per_runner=32")
    with pytest.raises(InputError, match="129 is above the 128 rows"):
        build_experiment(changed(GOOD, *assignments))
    assert build_experiment(changed(GOOD, *assignments, "resources.env_runners=2")).algorithm.minibatch == 129


@pytest.mark.parametrize(
    "assignment", ["stop.env_steps", "=5", "", "name.first=5", "stop.env_steps=[1", "seed=2024-13-45", "x={[1]: 2}"]
)
def test_set_syntax(assignment: str) -> None:
    with pytest.raises(InputError) as caught:
        override(GOOD, [assignment])
    assert caught.value.field == "--set"


def test_set_leaves_the_mapping_alone_and_may_make_sections() -> None:
    before = copy.deepcopy(GOOD)
    result = override(GOOD, ["algorithm.minibatch=32", "stop.env_steps=9", "name=a=b", "policy.hidden=[8, 8]"])
    assert before == GOOD
    assert (result["algorithm"]["minibatch"], result["stop"]["env_steps"], result["name"]) == (32, 9, "a=b")
    assert result["policy"] == {"hidden": [8, 8]}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: [1", "is not YAML"),
        (b"a: 2024-13-45", "is not YAML"),
        (b"\xff\xfe\x00\x01", "is not UTF-8"),
        (b"- a\n- b\n", "has no keys"),
        (b"", "has no keys"),
        (b"just words", "has no keys"),
        (b"a: b: c", "is not YAML"),
        (b"!!python/object/apply:os.getcwd []", "is not YAML"),
    ],
)
def test_not_yaml(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "e.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        read_experiment(path)
    assert caught.value.field == str(path)


def test_no_such_file(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_experiment(path)


def test_keys_that_are_no_words() -> None:
    with pytest.raises(InputError):
        parse(Experiment, {1: 2}, "")
    with pytest.raises(InputError):
        build_experiment({**GOOD, "stop": {3: 4}})


def test_a_file_with_overrides(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    assert read_experiment(path, ["stop.env_steps=77"]).stop.env_steps == 77
