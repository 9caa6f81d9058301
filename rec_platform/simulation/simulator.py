"""What every simulator answers: batched users that a recommender is trained and evaluated on.

A `Simulator` is read-only and shared by all workers; `SimulatedUsers` is one batch of B live users.

    users = simulator.users(4096, seed=0)
    observation = users.observation
    feedback = users.step(positions)        # one slate a user; every user moves one step
    next_observation = users.observation    # the true next observation, also of users who just left
    users.restart(feedback.finished)        # users who left are replaced by new ones
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rec_platform.types import Bool, Feedback, Float32, Int32, Observation


@dataclass(frozen=True, slots=True)
class SimulatorSpec:
    """Sizes and names of what a simulator shows and answers (letters as in `rec_platform.types`).

    Attributes:
        num_items: N.
        num_candidates: M.
        slate_size: k.
        history_length: L, may be 0.
        user_feature_names: F names, may be empty.
        context_names: C names, may be empty.
        response_channels: E names; channel 0 is the consumption of the chosen item.
        full_catalogue: M = N and candidate j is always catalogue index j, or -1 where not available.
        max_steps: no session is longer than this many slates; None where there is no such limit.
        single_choice: a user consumes at most one item of a slate.
    """

    num_items: int
    num_candidates: int
    slate_size: int
    history_length: int
    user_feature_names: tuple[str, ...]
    context_names: tuple[str, ...]
    response_channels: tuple[str, ...]
    full_catalogue: bool
    max_steps: int | None = None
    single_choice: bool = True


class SimulatedUsers(Protocol):
    """B live users."""

    spec: SimulatorSpec

    @property
    def observation(self) -> Observation:
        """What the recommender may know now. The arrays are never changed afterwards."""
        ...

    def step(self, positions: Int32) -> Feedback:
        """Show each user the slate of ``positions`` int32 [B, k] in the current candidates, and move one step on.

        Raises:
            InputError: wrong shape, a position out of range or repeated in a slate, or an unavailable candidate.
        """
        ...

    def restart(self, finished: Bool) -> None:
        """Replace the users where ``finished`` bool [B] with new ones at the start of a session."""
        ...

    def get_state(self) -> dict[str, Any]:
        """All that decides what these users will do, for a checkpoint; to be taken between any two calls.

        Nested dicts of NumPy arrays and JSON values (None, bool, int of any size, float, str), so that it can be
        written without pickle. Copies: later steps do not change it. Taking it changes nothing.
        """
        ...

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on, to the last bit, as the users do whose ``get_state`` gave ``state``.

        They must be of the same simulator and count; their seed does not matter. Observations handed out before are
        not changed. What stands in the arrays of ``state`` is taken as it is.

        Raises:
            InputError: a state of another count, of other sizes or of other users; these users are as they were.
        """
        ...


class Simulator(Protocol):
    """A population of users; picklable, and unchanged by use."""

    spec: SimulatorSpec
    item_features: Float32
    """Float32 [N, D]: what is known of the items."""

    def users(self, count: int, *, seed: int, staggered: bool = False) -> SimulatedUsers:
        """``count`` new users whose every draw comes from ``seed``.

        Args:
            staggered: start the first sessions part-way through their patience, so that they do not all end together
                (for training; never for evaluation).
        """
        ...

    def immediate_value(self, observation: Observation) -> Float32:
        """What showing each candidate is expected to earn now, float32 [B, M]; any number where not available.

        From what is visible in ``observation`` and the simulator's own knowledge of its users: ranking by it is the
        myopic policy that every long-term one is held against. Comparable within a row only, unless the simulator says
        more.
        """
        ...

    def variants(self) -> Mapping[str, Simulator]:
        """The same users under other rules, for the honesty checks; empty where there are none.

        Known names: ``null`` has nothing long-term to learn (boredom switched off); ``second_rule`` lets users leave by
        another rule that is as plausible.
        """
        ...
