"""Users put back from a checkpoint go on to the last bit: every simulator, every setting, at any moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learned_variants import MIX, SETTINGS, learned
from slates import arrays, random_slates

from rec_platform.errors import InputError
from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.simulation.classic.interest_exploration import InterestExploration, InterestExplorationConfig
from rec_platform.simulation.classic.long_term_satisfaction import LongTermSatisfaction, LongTermSatisfactionConfig
from rec_platform.simulation.learned import LearnedSimulator
from rec_platform.simulation.marketplace import Marketplace, MarketplaceConfig
from rec_platform.simulation.response.slate_choice import SlateChoice
from rec_platform.simulation.simulator import SimulatedUsers, Simulator
from rec_platform.training.engine.checkpoint import load_checkpoint, save_checkpoint
from rec_platform.types import Bool

LANES, BEFORE, AFTER = 7, 12, 20

MARKET = MarketplaceConfig(num_users=60, num_items=40, slate_size=3, max_steps=15, history_length=6, repeats=True)

UNFITTED: dict[str, Simulator] = {
    "interest_evolution": InterestEvolution(InterestEvolutionConfig(budget=30.0)),
    "interest_exploration": InterestExploration(InterestExplorationConfig(max_steps=9)),
    "long_term_satisfaction": LongTermSatisfaction(LongTermSatisfactionConfig(session_length=8, slate_size=2)),
    "marketplace": Marketplace(MARKET),
    "marketplace_without_repeats": Marketplace(MARKET.model_copy(update={"repeats": False})),
}
NAMES = [*sorted(UNFITTED), *sorted(SETTINGS)]

MOMENTS = ("new", "new, observed", "stepped", "stepped, observed", "restarted", "restarted, observed")
"""When a state is taken; not observed = nobody has asked for the observation since."""


def simulator_of(name: str) -> Simulator:
    return UNFITTED[name] if name in UNFITTED else learned(name)


def stepped(users: SimulatedUsers, rng: np.random.Generator) -> tuple[list[np.ndarray], Bool]:
    """A step of random slates: what is seen of it, and who is finished."""
    feedback = users.step(random_slates(users.observation, users.spec.slate_size, rng))
    return arrays(feedback), feedback.finished


def until(users: SimulatedUsers, moment: str, *, steps: int = BEFORE, lanes: int = LANES) -> Bool:
    """Play about ``steps`` steps up to ``moment``; returns who is finished and not yet replaced, bool [B]."""
    rng, finished = np.random.default_rng(3), np.zeros(lanes, dtype=bool)
    if moment.startswith("new"):
        steps = 0
    while steps > 0 or (moment.startswith("restarted") and not finished.any()):
        users.restart(finished)
        _, finished = stepped(users, rng)
        steps -= 1
    if moment.startswith("restarted"):
        users.restart(finished)
        finished = np.zeros(lanes, dtype=bool)
    if moment.endswith("observed"):
        _ = users.observation
    return finished


def after(users: SimulatedUsers, finished: Bool) -> list[np.ndarray]:
    """Copies of all that is seen in the steps that follow; a tenth of the users are replaced though they stay."""
    rng, seen = np.random.default_rng(4), []
    for step in range(AFTER):
        users.restart(finished)
        parts, finished = stepped(users, rng)
        if step % 2:  # else nobody asks for the observation between step and restart
            parts += arrays(users.observation)
        seen += [array.copy() for array in parts]
        finished = finished | (rng.random(len(finished)) < 0.1)
    return seen + arrays(users.observation)


def assert_same_bits(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert (one.dtype, one.shape, one.flags.c_contiguous) == (other.dtype, other.shape, other.flags.c_contiguous)
        assert one.tobytes() == other.tobytes()


def leaves(state: Any) -> list[np.ndarray]:
    """The arrays of a state; everything in it must be writable without pickle."""
    if isinstance(state, dict):
        assert all(type(key) is str for key in state)
        return [leaf for value in state.values() for leaf in leaves(value)]
    if isinstance(state, np.ndarray):
        assert state.dtype.kind in "biuf"
        return [state]
    assert state is None or type(state) in (bool, int, float, str)
    return []


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", NAMES)
def test_resumed_users_go_on_to_the_last_bit(name: str, moment: str, tmp_path: Path) -> None:
    simulator = simulator_of(name)
    users = simulator.users(LANES, seed=5, staggered=True)
    finished = until(users, moment)
    save_checkpoint(tmp_path / "state", users.get_state())

    resumed = simulator.users(LANES, seed=6)
    until(resumed, "stepped, observed", steps=2)
    seen_before = arrays(resumed.observation)
    kept = [array.copy() for array in seen_before]
    resumed.set_state(load_checkpoint(tmp_path / "state"))
    assert_same_bits(after(users, finished), after(resumed, finished))
    assert_same_bits(seen_before, kept)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", NAMES)
def test_resumed_users_show_the_same_at_once(name: str, moment: str) -> None:
    simulator = simulator_of(name)
    users = simulator.users(LANES, seed=5)
    until(users, moment)
    resumed = simulator.users(LANES, seed=6)
    own = arrays(resumed.observation)
    resumed.set_state(users.get_state())
    shown = arrays(users.observation)
    assert_same_bits(shown, arrays(resumed.observation))
    assert any(one.tobytes() != other.tobytes() for one, other in zip(own, shown, strict=True))


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("name", ["interest_evolution", "each", "mixed_candidates"])
def test_fewer_users_than_response_models(name: str, lanes: int) -> None:
    simulator = simulator_of(name)
    users = simulator.users(lanes, seed=5)
    finished = until(users, "stepped", lanes=lanes)
    resumed = simulator.users(lanes, seed=6)
    resumed.set_state(users.get_state())
    assert_same_bits(after(users, finished), after(resumed, finished))


@pytest.mark.parametrize("name", NAMES)
def test_taking_the_state_changes_nothing(name: str) -> None:
    simulator = simulator_of(name)
    courses = []
    for taken in (False, True):
        users, rng, seen = simulator.users(LANES, seed=5), np.random.default_rng(0), []
        for step in range(30):
            if taken:
                users.get_state()
            slates = random_slates(users.observation, users.spec.slate_size, rng)
            if taken:
                users.get_state()
            feedback = users.step(slates)
            if taken:
                users.get_state()
            if step % 2:
                seen += arrays(users.observation)
            if taken:
                users.get_state()
            users.restart(feedback.finished)
            seen += arrays(feedback)
        courses.append(seen)
    assert_same_bits(*courses)


@pytest.mark.parametrize("moment", ["stepped", "restarted, observed"])
@pytest.mark.parametrize("name", NAMES)
def test_the_state_is_a_copy(name: str, moment: str) -> None:
    """Neither whose state it was nor who goes on from it changes it, and changing it changes neither."""
    simulator = simulator_of(name)
    users = simulator.users(LANES, seed=5)
    finished = until(users, moment)
    state = users.get_state()
    then = [leaf.copy() for leaf in leaves(state)]
    resumed, again = simulator.users(LANES, seed=6), simulator.users(LANES, seed=7)
    resumed.set_state(state)
    again.set_state(state)
    expected = after(users, finished)
    assert_same_bits(expected, after(resumed, finished))
    assert_same_bits(leaves(state), then)
    for leaf in leaves(state):
        leaf[...] = 1
    assert_same_bits(expected, after(again, finished))


def parts(of: Any, path: str, found: dict[str, Any]) -> None:
    """All values that ``of`` is made of, by path, through its attributes."""
    if isinstance(of, np.ndarray):
        found[path] = (str(of.dtype), of.shape, of.flags.c_contiguous, of.flags.writeable, of.tobytes())
    elif isinstance(of, np.random.Generator):
        parts(of.bit_generator.state, path, found)
    elif isinstance(of, dict):
        for key, value in of.items():
            parts(value, f"{path}/{key}", found)
    elif isinstance(of, list | tuple):
        for number, value in enumerate(of):
            parts(value, f"{path}/{number}", found)
    elif type(of).__module__.startswith("rec_platform.simulation") and hasattr(of, "__dict__"):
        if not hasattr(of, "immediate_value"):  # a simulator is unchanged by use
            parts(vars(of), path, found)
    else:
        found[path] = repr(of)


NOT_STATE = ("/_observation", "/_candidates_shared")
"""Of learned users: what was handed out, which decides only when arrays are copied."""


@pytest.mark.parametrize("moment", ["new", "stepped, observed"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_changes_is_forgotten(name: str, moment: str) -> None:
    """Every attribute of resumed users, down to the streams' generator, is that of the users whose state it was."""
    simulator = simulator_of(name)
    users, resumed = simulator.users(LANES, seed=5, staggered=True), simulator.users(LANES, seed=6)
    until(users, moment)
    until(resumed, "stepped", steps=3)
    ours: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    before: dict[str, Any] = {}
    parts(resumed, "", before)
    resumed.set_state(users.get_state())
    parts(users, "", ours)
    parts(resumed, "", theirs)
    for found in (before, ours, theirs):
        for path in [path for path in found if path.startswith(NOT_STATE)]:
            del found[path]
    assert "/_streams/rng/state/state" in ours
    assert any(before[path] != ours[path] for path in ours)
    assert ours == theirs


def test_views_of_the_response_states_stay_views() -> None:
    users, resumed = learned("plain").users(LANES, seed=5), learned("plain").users(LANES, seed=6)
    resumed.set_state(users.get_state())
    tracker = resumed._tracker
    assert np.shares_memory(tracker.query, tracker._state)
    assert np.shares_memory(tracker.gain, tracker._state)
    assert resumed._rng is resumed._streams.rng


def test_candidates_that_are_due_are_still_due() -> None:
    users = learned("mixed_candidates").users(LANES, seed=5)
    until(users, "stepped")
    assert users.get_state()["offers_due"] is True
    _ = users.observation
    assert users.get_state()["offers_due"] is False


def refused(users: SimulatedUsers, state: Any, match: str) -> None:
    """``state`` is refused, and the users are as they were."""
    before = leaves(users.get_state())
    with pytest.raises(InputError, match=match) as raised:
        users.set_state(state)
    assert raised.value.field == "checkpoint"
    assert raised.value.fix
    assert_same_bits(before, leaves(users.get_state()))


@pytest.mark.parametrize("name", NAMES)
def test_another_count_is_an_input_error(name: str) -> None:
    simulator = simulator_of(name)
    state = simulator.users(LANES, seed=5).get_state()
    refused(simulator.users(LANES + 1, seed=5), state, "users with count 7; these have 8")


@pytest.mark.parametrize("name", NAMES)
def test_users_of_another_kind_are_an_input_error(name: str) -> None:
    other = "interest_exploration" if name != "interest_exploration" else "plain"
    state = simulator_of(other).users(LANES, seed=5).get_state()
    refused(simulator_of(name).users(LANES, seed=5), state, "is of users with users .*; these have .*Users")


@pytest.mark.parametrize(
    ("own", "given", "match"),
    [
        ("plain", "short_history", "history_length 3; these have 12"),
        ("plain", "ten_candidates", "num_candidates 10; these have 60"),
        ("plain", "sessions", "context_names session_slates, .*days_away"),
        ("ten_candidates", "mixed_candidates", "num_candidates 20; these have 10"),
        ("mixed_candidates", "pessimism", "generator: sets: base is int32 .32., not int32 .20."),
        ("plain", "temper", "max_steps 100; these have 30"),
    ],
)
def test_other_sizes_are_an_input_error(own: str, given: str, match: str) -> None:
    assert MIX["random"] == 0.4
    refused(learned(own).users(LANES, seed=5), learned(given).users(LANES, seed=5).get_state(), match)


@pytest.mark.parametrize(
    ("own", "given", "match"),
    [
        (InterestEvolutionConfig(), InterestEvolutionConfig(num_topics=10), "num_items 10; these have 20"),
        (InterestEvolutionConfig(), InterestEvolutionConfig(num_candidates=9), "num_candidates 9; these have 10"),
        (InterestEvolutionConfig(), InterestEvolutionConfig(slate_size=2), "slate_size 2; these have 3"),
    ],
)
def test_other_constants_are_an_input_error(
    own: InterestEvolutionConfig, given: InterestEvolutionConfig, match: str
) -> None:
    refused(InterestEvolution(own).users(3, seed=0), InterestEvolution(given).users(3, seed=0).get_state(), match)


def test_another_number_of_response_models_is_an_input_error() -> None:
    base = learned("plain")
    two = LearnedSimulator(
        log=base.log,
        members=base.members[:2],
        config=base.config,
        slate_choice=SlateChoice(),
        fitted_leave=base.fitted_leave,
        channels=base.channels,
    )
    state = two.users(LANES, seed=5).get_state()
    refused(base.users(LANES, seed=5), state, "response_models 2; these have 3")


@pytest.mark.parametrize("name", ["interest_evolution", "mixed_candidates"])
def test_a_state_that_is_none_is_an_input_error(name: str) -> None:
    users = simulator_of(name).users(LANES, seed=5)
    whole = users.get_state()
    refused(users, None, "the state of the users is a NoneType, not a dict")
    refused(users, {}, "does not say whose state it holds")
    refused(users, {**whole, "of": {**whole["of"], "count": np.ones(2)}}, "with count")
    refused(users, {key: value for key, value in whole.items() if key != "budget"}, "lacks budget$|lacks budget ")
    refused(users, {**whole, "moods": np.zeros(3)}, "holds an unknown moods")
    refused(users, {**whole, "budget": whole["budget"].astype(np.float64)}, "budget is float64 .7., not float32 .7.")
    refused(users, {**whole, "budget": whole["budget"][:-1]}, "budget is float32 .6., not float32 .7.")
    refused(users, {**whole, "budget": 1.0}, "budget is a float, not a ndarray")
    streams = {**whole["streams"], "steps": np.random.default_rng(0).bit_generator.state}
    refused(users, {**whole, "streams": streams}, "streams: steps")
