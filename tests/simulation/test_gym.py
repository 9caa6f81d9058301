"""The Gymnasium adapters."""

from __future__ import annotations

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rec_platform.errors import InputError
from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.simulation.gym import (
    ENVIRONMENTS,
    SlateEnv,
    SlateVectorEnv,
    resolve_positions,
)
from rec_platform.simulation.gym_registration import (
    INTEREST_EVOLUTION,
    INTEREST_EXPLORATION,
    LONG_TERM_SATISFACTION,
    register_environments,
)
from rec_platform.simulation.learned import LearnedSimulator


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_check_env(simulator: LearnedSimulator) -> None:
    check_env(SlateEnv(simulator), skip_render_check=True)
    for name in ENVIRONMENTS:
        check_env(gymnasium.make(name).unwrapped, skip_render_check=True)


def test_empty_parts_are_left_out(simulator: LearnedSimulator) -> None:
    assert set(SlateEnv(InterestEvolution()).observation_space) == {"user_features", "context", "candidates"}
    assert {"history", "history_feedback"} < set(SlateEnv(simulator).observation_space)


def test_vector_env_resets_in_the_same_step(simulator: LearnedSimulator) -> None:
    env = SlateVectorEnv(simulator, 20)
    observation, _ = env.reset(seed=1)
    assert env.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.SAME_STEP
    assert env.observation_space.contains(observation)
    env.action_space.seed(0)
    ended = 0
    for _ in range(40):
        actions = env.action_space.sample()
        observation, reward, terminated, truncated, info = env.step(actions)
        assert env.observation_space.contains(observation)
        assert reward.shape == terminated.shape == truncated.shape == (20,)
        assert (np.diff(np.sort(info["positions"], axis=1), axis=1) > 0).all()
        if terminated.any():
            ended += terminated.sum()
            np.testing.assert_array_equal(info["_final_obs"], terminated)
            row = np.flatnonzero(terminated)[0]
            assert env.single_observation_space.contains(info["final_obs"][row])
            assert info["final_obs"][row]["context"][0] > 0
            assert observation["context"][row, 0] == 0
            assert all(final is None for final in info["final_obs"][~terminated])
    assert ended > 20


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_registered_vector_env(name: str) -> None:
    register_environments()
    env = gymnasium.make_vec(name, num_envs=3, slate_size=2)
    assert isinstance(env, SlateVectorEnv)
    first, _ = env.reset(seed=4)
    again, _ = env.reset(seed=4)
    np.testing.assert_array_equal(first["candidates"], again["candidates"])
    assert env.action_space.shape == (3, 2)
    env.action_space.seed(0)
    for _ in range(5):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        assert reward.shape == terminated.shape == truncated.shape == (3,)


def test_a_cut_session_is_truncated() -> None:
    env = gymnasium.make_vec(INTEREST_EXPLORATION, num_envs=2, max_steps=2)
    env.reset(seed=0)
    env.step(np.array([[0, 1], [0, 1]]))
    observation, _, terminated, truncated, info = env.step(np.array([[0, 1], [0, 1]]))
    assert truncated.all()
    assert not terminated.any()
    assert not observation["context"].any()
    assert info["final_obs"][1]["context"][0] == 1.0


def test_presets_and_bad_constants() -> None:
    def sensitivity(**constants: object) -> float:
        return gymnasium.make(LONG_TERM_SATISFACTION, **constants).unwrapped.simulator.config.sensitivity  # type: ignore[attr-defined]

    assert sensitivity() == 0.01
    assert sensitivity(preset="strong") == 1.0
    assert sensitivity(preset="strong", sensitivity=0.5) == 0.5
    with pytest.raises(InputError, match="did you mean 'strong'"):
        gymnasium.make(LONG_TERM_SATISFACTION, preset="stong")
    with pytest.raises(InputError, match="did you mean 'slate_size'"):
        gymnasium.make(INTEREST_EVOLUTION, slate_siz=2)


@pytest.mark.parametrize(
    "code",
    [
        "import gymnasium, rec_platform\nassert 'rec_platform.simulation.gym' not in sys.modules",
        "import rec_platform\nassert 'gymnasium' not in sys.modules\nimport gymnasium, rec_platform.simulation.gym",
        "import gymnasium\nname = 'rec_platform.simulation.gym:' + name",
    ],
    ids=["gymnasium first", "package first", "by module"],
)
def test_gymnasium_knows_the_names_and_the_package_stays_light(code: str) -> None:
    code = f"import sys\nname = '{INTEREST_EVOLUTION}'\n{code}\nprint(gymnasium.make_vec(name, num_envs=4).num_envs)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert result.stdout.strip() == "4"


def test_blocked_positions_give_way_to_the_first_free_one() -> None:
    available = np.array([[True, False, True, True], [True, True, True, True]])
    actions = np.array([[2, 2, 1], [3, 0, 3]])
    np.testing.assert_array_equal(resolve_positions(actions, available), [[2, 0, 3], [3, 0, 1]])
    np.testing.assert_array_equal(actions, [[2, 2, 1], [3, 0, 3]])


def test_misuse_is_refused() -> None:
    env = SlateEnv(InterestEvolution(InterestEvolutionConfig()))
    with pytest.raises(InputError, match="call reset first"):
        env.step(np.array([0, 1, 2]))
    env.reset(seed=0)
    with pytest.raises(InputError, match="out of range"):
        env.step(np.array([0, 1, 10]))
    with pytest.raises(InputError, match="shape"):
        env.step(np.array([0, 1]))
