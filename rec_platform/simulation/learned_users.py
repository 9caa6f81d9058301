"""The live users of a learned simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rec_platform.errors import InputError
from rec_platform.simulation.candidates import full_catalogue, random_candidates
from rec_platform.simulation.choice import multinomial_logit
from rec_platform.simulation.patience import recently_consumed
from rec_platform.simulation.positions import check_positions
from rec_platform.simulation.response_model import ResponseState
from rec_platform.types import Bool, Feedback, Float32, Int32, Observation

if TYPE_CHECKING:
    from rec_platform.simulation.learned import LearnedSimulator


class LearnedUsers:
    """B live users of a `LearnedSimulator`; a `SimulatedUsers`.

    What depends only on features and history (response state, recently consumed content, which items are available) is
    kept and renewed only for the users whose history changed. Arrays are changed in place until an observation is
    handed out, and copied before the first change after that.
    """

    def __init__(self, simulator: LearnedSimulator, count: int, *, seed: int, staggered: bool) -> None:
        self.spec = simulator.spec
        self._simulator = simulator
        self._patience = simulator.config.patience
        self._rng = np.random.Generator(np.random.SFC64(seed))
        spec, width = self.spec, simulator.model.item_vectors.shape[1]
        self._user_features: Float32 = np.empty((count, len(spec.user_feature_names)), dtype=np.float32)
        self._history: Int32 = np.empty((count, spec.history_length), dtype=np.int32)
        self._history_feedback: Float32 = np.empty((count, spec.history_length), dtype=np.float32)
        self._candidates: Int32 = np.empty((count, spec.num_candidates), dtype=np.int32)
        self._gain: Float32 = np.empty(count, dtype=np.float32)
        self._query: Float32 = np.empty((count, width), dtype=np.float32)
        self._recent: Float32 = np.empty((count, simulator.content.shape[1]), dtype=np.float32)
        self._budget: Float32 = np.empty(count, dtype=np.float32)
        self._slates: Int32 = np.empty(count, dtype=np.int32)
        self._positives: Float32 = np.empty(count, dtype=np.float32)
        self._row = np.arange(count)[:, None]
        self._observation: Observation | None = None
        self._enter(np.arange(count))
        if staggered:
            self._stagger()

    @property
    def observation(self) -> Observation:
        """What the recommender may know now."""
        if self._observation is None:
            share = self._positives / np.maximum(self._slates, 1)
            context = np.stack([self._slates / np.float32(self._patience.max_slates), share], axis=1)
            self._observation = Observation(
                user_features=self._user_features,
                history=self._history,
                history_feedback=self._history_feedback,
                context=context.astype(np.float32),
                candidates=self._candidates,
            )
        return self._observation

    def step(self, positions: Int32) -> Feedback:
        """Show a slate to each user; see `SimulatedUsers.step`."""
        count, slate_size = len(self._budget), self.spec.slate_size
        positions = check_positions(positions, batch_size=count, spec=self.spec)
        items = self._candidates[self._row, positions]
        if items.min() < 0:
            row, slot = np.argwhere(items < 0)[0]
            problem = f"position {positions[row, slot]} in row {row} holds no available item"
            raise InputError("positions", problem, "choose positions where candidates >= 0")
        state = ResponseState(self._gain, self._query)
        logits = self._simulator.model.item_logits(state, items)
        chosen = multinomial_logit(logits, np.float32(np.log(slate_size)), self._rng.random(count, dtype=np.float32))
        users = np.flatnonzero(chosen >= 0)

        self._disown()
        self._budget -= self._patience.drain(chosen, self._similarity(items, chosen))
        self._slates += 1
        self._positives[users] += 1.0
        self._consume(users, items[users, chosen[users]])
        if not self.spec.full_catalogue:
            self._candidates = self._new_candidates(self._history)

        responses = np.zeros((count, slate_size, 1), dtype=np.float32)
        responses[users, chosen[users], 0] = 1.0
        return Feedback(
            chosen=chosen,
            responses=responses,
            reward=(chosen >= 0).astype(np.float32),
            terminated=(self._budget <= 0) | (self._slates >= self._patience.max_slates),
            truncated=np.zeros(count, dtype=np.bool_),
        )

    def restart(self, finished: Bool) -> None:
        """Replace the users of ``finished`` bool [B]; see `SimulatedUsers.restart`."""
        rows = np.flatnonzero(finished)
        if len(rows):
            self._disown()
            self._enter(rows)

    def _similarity(self, items: Int32, chosen: Int32) -> Float32:
        """s of the patience rule, float32 [B]."""
        content, none = self._simulator.content, np.zeros(len(items), dtype=np.float32)
        if self._patience.boredom_weight == 0:
            return none
        if self._patience.bored_by == "shown":
            return np.einsum("bd,bd->b", content[items].mean(axis=1), self._recent)
        consumed = np.take_along_axis(items, np.maximum(chosen, 0)[:, None], axis=1)[:, 0]
        return np.where(chosen >= 0, np.einsum("bd,bd->b", content[consumed], self._recent), none)

    def _disown(self) -> None:
        """Before a change: leave the arrays to the observation that was handed out, and go on with copies."""
        if self._observation is not None:
            self._observation = None
            self._user_features = self._user_features.copy()
            self._history = self._history.copy()
            self._history_feedback = self._history_feedback.copy()
            self._candidates = self._candidates.copy() if self.spec.full_catalogue else self._candidates

    def _consume(self, users: NDArray[np.int64], items: Int32) -> None:
        """Append ``items`` to the histories of ``users``, the oldest entry falling out."""
        if not len(users):
            return
        dropped = self._history[users, 0]
        history = np.concatenate([self._history[users, 1:], items[:, None]], axis=1)
        feedback = self._history_feedback[users]
        feedback[:, :-1] = feedback[:, 1:]
        feedback[:, -1] = 1.0
        self._history[users] = history
        self._history_feedback[users] = feedback
        if self.spec.full_catalogue:
            freed = dropped >= 0
            self._candidates[users[freed], dropped[freed]] = dropped[freed]
            self._candidates[users[:, None], np.where(history >= 0, history, items[:, None])] = -1
        self._renew(users)

    def _enter(self, rows: NDArray[np.int64]) -> None:
        """New users, each at a random point of his log, in ``rows`` int [n]; the arrays must be ours."""
        simulator, rng = self._simulator, self._rng
        who = simulator.eligible_users[rng.integers(0, len(simulator.eligible_users), len(rows))]
        counts = np.diff(simulator.histories.offsets)[who]
        ends = rng.integers(simulator.config.min_history, counts, endpoint=True)
        history, feedback = simulator.histories.window(who, ends, self.spec.history_length)
        self._user_features[rows] = simulator.user_features[who]
        self._history[rows] = history
        self._history_feedback[rows] = feedback
        if not self.spec.full_catalogue:
            self._candidates = self._candidates.copy()
        self._candidates[rows] = self._new_candidates(history)
        self._budget[rows] = self._patience.budget
        self._slates[rows] = 0
        self._positives[rows] = 0.0
        self._renew(rows)

    def _new_candidates(self, history: Int32) -> Int32:
        """Int32 [n, M] for the users with these histories."""
        spec = self.spec
        if spec.full_catalogue:
            return full_catalogue(history, spec.num_items)
        return random_candidates(history, spec.num_items, spec.num_candidates, self._rng)

    def _renew(self, rows: NDArray[np.int64]) -> None:
        """What follows from the features and histories of the users in ``rows``."""
        simulator = self._simulator
        history, feedback = self._history[rows], self._history_feedback[rows]
        state = simulator.model.state(self._user_features[rows], history, feedback)
        self._gain[rows], self._query[rows] = state.gain, state.query
        self._recent[rows] = recently_consumed(simulator.content, history, feedback, self._patience.recent)

    def _stagger(self) -> None:
        """Take a uniform part of each user's patience, as if every second slate had been answered without boredom."""
        patience = self._patience
        left = 1.0 - self._rng.random(len(self._budget), dtype=np.float32)
        a_slate = max(patience.base + 0.5 * patience.no_choice, patience.budget / patience.max_slates)
        slates = (1.0 - left) * patience.budget / a_slate
        self._budget *= left
        self._slates[:] = np.minimum(slates, patience.max_slates - 1)
        self._positives[:] = 0.5 * self._slates
