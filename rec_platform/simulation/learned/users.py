"""The live users of a learned simulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from rec_platform.errors import InputError
from rec_platform.simulation.candidates.generator import CandidateGenerator
from rec_platform.simulation.candidates.sets import full_catalogue
from rec_platform.simulation.choice import multinomial_logit
from rec_platform.simulation.leave.likeness import category_counts, recent_entries, recently_consumed
from rec_platform.simulation.leave.rule import SlateOutcome
from rec_platform.simulation.positions import check_positions
from rec_platform.simulation.response.tracker import ResponseTracker
from rec_platform.simulation.streams import LaneStreams
from rec_platform.simulation.users_state import OF, check_alike, copies, identity, put_back
from rec_platform.types import Bool, Feedback, Float32, Int32, Observation

if TYPE_CHECKING:
    from rec_platform.simulation.learned.simulator import LearnedSimulator


class LearnedUsers:
    """B live users of a `LearnedSimulator`; a `SimulatedUsers`.

    What depends only on features and history (response state, recently consumed content, which items are available) is
    kept and brought up to date for the users whose history grew. Arrays are changed in place until an observation is
    handed out, and copied before the first change after that.
    """

    PHASES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "choice": ("_answer",),
        "transition": ("_drain", "_consume"),
        "documents": ("_draw_candidates", "_offer"),
    }
    _STATE = (
        "_user_features",
        "_history",
        "_history_feedback",
        "_candidates",
        "_recent",
        "_recent_counts",
        "_budget",
        "_slates",
        "_answered",
        "_sessions",
        "_days",
    )

    def __init__(self, simulator: LearnedSimulator, count: int, *, seed: int, staggered: bool) -> None:
        self.spec = simulator.spec
        self._simulator = simulator
        self._config = simulator.config
        self._leave = simulator.leave
        self._streams = LaneStreams(seed, count)
        self._rng = self._streams.rng
        spec = self.spec
        self._tracker = ResponseTracker(simulator.ensemble, count, first=seed % len(simulator.members))
        self._user_features: Float32 = np.empty((count, len(spec.user_feature_names)), dtype=np.float32)
        self._history: Int32 = np.empty((count, spec.history_length), dtype=np.int32)
        self._history_feedback: Float32 = np.empty((count, spec.history_length), dtype=np.float32)
        self._candidates: Int32 = np.zeros((count, spec.num_candidates), dtype=np.int32)
        self._recent: Float32 = np.zeros((count, simulator.content.shape[1]), dtype=np.float32)
        self._recent_counts: Float32 = np.zeros(count, dtype=np.float32)
        self._budget: Float32 = np.empty(count, dtype=np.float32)
        self._slates: Int32 = np.empty(count, dtype=np.int32)
        self._answered: Float32 = np.empty(count, dtype=np.float32)
        self._sessions: Int32 = np.empty(count, dtype=np.int32)
        self._days: Int32 = np.empty(count, dtype=np.int32)
        self._row = np.arange(count)[:, None]
        self._effects = simulator.slate_choice.effects(spec.slate_size)
        self._null = np.float32(simulator.slate_choice.null(spec.slate_size))
        weights = [simulator.config.reward.get(name, 0.0) for name in spec.response_channels]
        self._reward_weights = np.array(weights, dtype=np.float32)
        self._generator: CandidateGenerator | None = None
        if not spec.full_catalogue:
            self._generator = CandidateGenerator(simulator.candidate_sources, spec.history_length, count)
            self._draw_candidates()
        self._observation: Observation | None = None
        self._candidates_shared = False
        self._offers_due = self._generator is not None
        self._enter(np.arange(count))
        if staggered:
            self._stagger()

    @property
    def observation(self) -> Observation:
        """What the recommender may know now."""
        if self._observation is None:
            self._offer_everyone()
            self._observation = Observation(
                user_features=self._user_features,
                history=self._history,
                history_feedback=self._history_feedback,
                context=self._context(),
                candidates=self._candidates,
            )
        return self._observation

    def step(self, positions: Int32) -> Feedback:
        """Show a slate to each user; see `SimulatedUsers.step`."""
        count = len(self._budget)
        positions = check_positions(positions, batch_size=count, spec=self.spec)
        self._offer_everyone()
        items = self._candidates.ravel().take(positions + self._row * self.spec.num_candidates)
        if items.min() < 0:
            row, slot = np.argwhere(items < 0)[0]
            problem = f"position {positions[row, slot]} in row {row} holds no available item"
            raise InputError("positions", problem, "choose positions where candidates >= 0")
        chosen, responses = self._answer(items)
        reward = responses.sum(axis=1) @ self._reward_weights
        if self._config.pessimism:
            reward -= np.float32(self._config.pessimism) * self._disagreement(items)

        self._disown()
        self._drain(items, chosen, responses[:, :, 0])
        self._consume(items, chosen, responses[:, :, 0])
        left = (self._budget <= 0) | (self._slates >= self._leave.max_slates)
        terminated = self._come_back(left, reward)
        if self._generator is not None:
            self._draw_candidates()
            self._offers_due = True
        return Feedback(
            chosen=chosen,
            responses=responses,
            reward=reward,
            terminated=terminated,
            truncated=np.zeros(count, dtype=np.bool_),
        )

    def restart(self, finished: Bool) -> None:
        """Replace the users of ``finished`` bool [B]; see `SimulatedUsers.restart`."""
        rows = np.flatnonzero(finished)
        if len(rows):
            self._disown()
            self._enter(rows)

    def get_state(self) -> dict[str, Any]:
        """See `SimulatedUsers.get_state`; candidates that are due are not yet made, only their draws are there."""
        return {
            OF: identity(self, len(self._budget)),
            "streams": self._streams.get_state(),
            "tracker": self._tracker.get_state(),
            "generator": None if self._generator is None else self._generator.get_state(),
            "offers_due": self._offers_due,
            **copies(self, self._STATE),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """See `SimulatedUsers.set_state`."""
        check_alike(self.get_state(), state)
        self._streams.set_state(state["streams"])
        self._tracker.set_state(state["tracker"])
        if self._generator is not None:
            self._generator.set_state(state["generator"])
        self._offers_due = state["offers_due"]
        put_back(self, self._STATE, state)
        self._observation, self._candidates_shared = None, False  # all arrays are new

    def _context(self) -> Float32:
        share = self._answered / np.maximum(self._slates, 1)
        columns = [self._slates / np.float32(self._leave.max_slates), share]
        sessions = self._config.sessions
        if sessions.per_user > 1:
            columns += [self._sessions / np.float32(sessions.per_user), self._days / np.float32(sessions.longest)]
        return np.stack(columns, axis=1).astype(np.float32)

    def _answer(self, items: Int32) -> tuple[Int32, Float32]:
        """What is chosen, int32 [B], and every slot's responses float32 [B, k, E]."""
        count, rng, choice = len(items), self._rng, self._simulator.slate_choice
        logits = self._tracker.logits(items)
        responses = np.zeros((count, self.spec.slate_size, len(self.spec.response_channels)), dtype=np.float32)
        chosen: Int32
        users: NDArray[np.int64]
        slots: NDArray[Any]
        if self._config.choice == "one":
            masses = logits * np.float32(choice.scale) + self._effects
            chosen = multinomial_logit(masses, self._null, rng.random(count, dtype=np.float32))
            users = np.flatnonzero(chosen >= 0)
            slots = chosen[users]
            responses[users, slots, 0] = 1.0
        else:
            probability = expit(logits)
            if self._config.correlation_penalty:
                probability -= np.float32(self._config.correlation_penalty) * self._correlation(items)
            answered = rng.random(items.shape, dtype=np.float32) < probability
            responses[:, :, 0] = answered
            users, slots = np.nonzero(answered)
            chosen = _first_slots(answered)
        for channel in range(1, responses.shape[2]):
            width = items.shape[1] if self._config.choice == "each" else 1
            draws = np.broadcast_to(rng.random((count, width), dtype=np.float32), items.shape)[users, slots]
            logits = self._tracker.logits(items[users, slots, None], channel, users)[:, 0]
            responses[users, slots, channel] = draws < expit(logits)
        return chosen, responses

    def _correlation(self, items: Int32) -> Float32:
        """Mean cosine of each item's response vector with those of the slate (itself included), float32 [B, k]."""
        vectors = self._simulator.members[0].item_vectors.take(items, axis=0)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), np.float32(1e-8))
        return np.einsum("bkd,bd->bk", vectors, vectors.mean(axis=1))

    def _disagreement(self, items: Int32) -> Float32:
        """Standard deviation over the members of the expected number of answers to the slate, float32 [B]."""
        given = (self._user_features, self._history, self._history_feedback, items)
        if self._config.choice == "each":
            expected = [expit(model.slate_logits(*given)).sum(axis=1) for model in self._simulator.members]
        else:
            scale = np.float32(self._simulator.slate_choice.scale)
            masses = (model.slate_logits(*given) * scale + self._effects for model in self._simulator.members)
            expected = [expit(logsumexp(mass, axis=1) - self._null) for mass in masses]
        return np.std(expected, axis=0).astype(np.float32)

    def _drain(self, items: Int32, chosen: Int32, answered: Float32) -> None:
        """Use up patience; count the slate."""
        self._slates += 1
        self._answered += chosen >= 0
        outcome = SlateOutcome(
            chosen=chosen,
            answered=answered.sum(axis=1),
            slate_size=self.spec.slate_size,
            likeness=self._likeness(items, chosen, answered),
            slates=self._slates,
            answered_slates=self._answered,
            uniforms=self._rng.random(len(items), dtype=np.float32),
        )
        self._budget -= self._leave.drain(outcome)

    def _likeness(self, items: Int32, chosen: Int32, answered: Float32) -> Float32:
        """The slate's likeness to what was consumed lately as the leave rule measures it, float32 [B]."""
        by, simulator = self._leave.bored_by, self._simulator
        if by == "nothing":
            return np.zeros(len(items), dtype=np.float32)
        if by == "category":
            counts = category_counts(simulator.categories, self._history, self._history_feedback, self._leave.recent)
            of_items = simulator.categories.take(items, axis=0) * counts[:, None, :]
            return (of_items.max(axis=2) * answered).max(axis=1)
        if by == "shown":
            return np.einsum("bd,bd->b", simulator.content.take(items, axis=0).mean(axis=1), self._recent)
        if self._config.choice == "one":
            consumed = items.ravel().take(np.maximum(chosen, 0) + self._row[:, 0] * self.spec.slate_size)
            likeness = np.einsum("bd,bd->b", simulator.content.take(consumed, axis=0), self._recent)
            return np.where(chosen >= 0, likeness, np.float32(0.0))
        each = np.einsum("bkd,bd->bk", simulator.content.take(items, axis=0), self._recent)
        return (each * answered).sum(axis=1) / np.maximum(answered.sum(axis=1), np.float32(1.0))

    def _come_back(self, left: Bool, reward: Float32) -> Bool:
        """Who is gone for good, bool [B]; others who left start their next session, ``reward`` bearing the absence."""
        sessions = self._config.sessions
        if sessions.per_user == 1:
            return left
        uniforms = self._rng.random(len(left), dtype=np.float32)
        share = (self._answered / np.maximum(self._slates, 1)).astype(np.float32)
        days = self._simulator.returning.days(share, self._slates, uniforms, sessions.longest)
        reward -= left * np.float32(sessions.absence_penalty / sessions.longest) * days
        self._sessions += left
        gone = left & (self._sessions >= sessions.per_user)
        back = left & ~gone
        self._days = np.where(back, days, self._days)
        self._budget[back] = self._leave.budget
        self._slates[back] = 0
        self._answered[back] = 0.0
        return gone

    def _disown(self) -> None:
        """Before a change: leave the arrays to the observation that was handed out, and go on with copies."""
        if self._observation is not None:
            self._observation = None
            self._user_features = self._user_features.copy()
            self._history = self._history.copy()
            self._history_feedback = self._history_feedback.copy()
            self._candidates_shared = True

    def _own_candidates(self) -> None:
        """The same for the candidates, which most steps replace and do not change."""
        if self._candidates_shared:
            self._candidates = self._candidates.copy()
            self._candidates_shared = False

    def _consume(self, items: Int32, chosen: Int32, answered: Float32) -> None:
        """Append what was consumed to the histories, the oldest entries falling out."""
        if self._config.choice == "one":
            users = np.flatnonzero(chosen >= 0)
            self._append(users, items[users, chosen[users]], renew=True)
            return
        for slot in range(items.shape[1]):
            some = np.flatnonzero(answered[:, slot])
            self._append(some, items[some, slot], renew=False)
        self._tracker.renew(np.flatnonzero(chosen >= 0))

    def _append(self, users: NDArray[np.int64], items: Int32, *, renew: bool) -> None:
        """One item more in the history of each of ``users``."""
        before, feedback = self._history[users], self._history_feedback[users]
        self._tracker.append(users, items, before, feedback, renew=renew)
        if self._leave.bored_by in ("consumed", "shown"):
            self._remember(users, items, before, feedback)
        dropped = before[:, 0]
        history = np.concatenate([before[:, 1:], items[:, None]], axis=1)
        feedback[:, :-1] = feedback[:, 1:]
        feedback[:, -1] = 1.0
        self._history[users] = history
        self._history_feedback[users] = feedback
        if self.spec.full_catalogue:
            self._own_candidates()
            freed = dropped >= 0
            self._candidates[users[freed], dropped[freed]] = dropped[freed]
            self._candidates[users[:, None], np.where(history >= 0, history, items[:, None])] = -1

    def _enter(self, rows: NDArray[np.int64]) -> None:
        """New users, each at a random point of his log, in ``rows`` int [n]; the arrays must be ours."""
        simulator, log, draws = self._simulator, self._simulator.log, self._streams.entries(rows, 2)
        eligible, least = simulator.eligible_users, self._config.min_history
        who = eligible[(draws[:, 0] * len(eligible)).astype(np.int64)]
        ends = least + (draws[:, 1] * (log.histories.counts[who] + 1 - least)).astype(np.int64)
        history, feedback = log.histories.window(who, ends, self.spec.history_length)
        self._user_features[rows] = log.user_features[who]
        self._history[rows] = history
        self._history_feedback[rows] = feedback
        entries = simulator.entries
        if entries is None:
            self._tracker.enter(rows, log.user_features[who], history, feedback)
        else:
            self._tracker.enter_known(rows, log.user_features[who], entries.tables, entries.first[who] + ends)
        if self._leave.bored_by in ("consumed", "shown"):
            recent = self._leave.recent
            self._recent[rows] = recently_consumed(simulator.content, history, feedback, recent)
            self._recent_counts[rows] = recent_entries(history, feedback, recent).sum(axis=1)
        self._budget[rows] = self._leave.budget
        self._slates[rows] = 0
        self._answered[rows] = 0.0
        self._sessions[rows] = 0
        self._days[rows] = 0
        if self._offers_due:
            return
        self._own_candidates()
        if self.spec.full_catalogue:
            self._candidates[rows] = full_catalogue(history, self.spec.num_items)
        else:
            self._candidates[rows] = self._offer(rows)

    def _offer_everyone(self) -> None:
        """The candidates of a step, once all who left are replaced and before anybody looks at them."""
        if self._offers_due:
            self._candidates = self._offer(slice(None))
            self._candidates_shared = self._offers_due = False

    def _draw_candidates(self) -> None:
        """The random numbers behind the next candidates."""
        assert self._generator is not None
        self._generator.draw(self._rng)

    def _offer(self, rows: NDArray[np.int64] | slice) -> Int32:
        """Candidates int32 [n, M] of the users in ``rows``."""
        assert self._generator is not None
        return self._generator.take(
            rows,
            self._history[rows],
            self._history_feedback[rows],
            self._tracker.query[rows, 0],
            self._tracker.member[rows],
        )

    def _remember(self, users: NDArray[np.int64], items: Int32, history: Int32, feedback: Float32) -> None:
        """The recently consumed content after ``items``; ``history`` and ``feedback`` are those before."""
        content, recent = self._simulator.content, min(self._leave.recent, history.shape[1])
        leaving, counts = history[:, -recent], self._recent_counts[users]
        forgotten = (feedback[:, -recent] > 0) & (leaving >= 0)
        total = self._recent[users] * np.maximum(counts, np.float32(1.0))[:, None] + content.take(items, axis=0)
        total -= content.take(leaving, axis=0, mode="wrap") * forgotten[:, None]
        counts += np.float32(1.0) - forgotten
        self._recent_counts[users] = counts
        self._recent[users] = total / counts[:, None]

    def _stagger(self) -> None:
        """Take a uniform part of each user's patience, as if every second slate had been answered without boredom."""
        left = 1.0 - self._rng.random(len(self._budget), dtype=np.float32)
        self._budget *= left
        slates = (1.0 - left) * np.float32(self._leave.typical_slates)
        self._slates[:] = np.minimum(slates, self._leave.max_slates - 1)
        self._answered[:] = 0.5 * self._slates


def _first_slots(answered: Bool) -> Int32:
    """The first answered slot of each row of ``answered`` bool [B, k], -1 where there is none."""
    return np.where(answered.any(axis=1), answered.argmax(axis=1), -1).astype(np.int32)
