"""A simulator learned from logs: real users at a point of their own history, answering by fitted response models.

A simulated user is a user of the log at a random point of his history: his features and his last L events before it.
He answers, for as long as he stays, as one member of an ensemble of response models.

    observation   user_features [B, F]; history, history_feedback [B, L]; candidates [B, M]: the whole catalogue
                  (position j = item j) or M items from several sources, drawn anew each step; never an item that stands
                  in the visible history; context: slates so far / most slates of a session, share of them that was
                  answered (0 before the first); where users come back also sessions done / sessions of a user, and the
                  days away before this one / the longest absence
    choice one    one item of the slate at most is consumed, or none: a multinomial logit (`response.slate_choice`)
    choice each   every item is answered on its own with probability sigmoid(x_j) - penalty · its mean cosine (of
                  response vectors) with the items of the slate, at least 0; ``chosen`` is the first
    channels      "consume"; then, for an item consumed, each further event with its own fitted probability
    history       consumed items are appended with +1; a slate of which nothing was consumed leaves no trace
    reward        sum of the channels' events times ``reward``, less ``pessimism`` times the members' disagreement
    end           by the leave rule (`leave`); with several sessions a user, after the last
    defaults      k 5, L 50, M all, the leave rule fitted where the log has sessions and patience where not, 3 members
                  of which one is held back

A log holds what its users chose to meet; of other items the model extrapolates, and rates them too well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from rec_platform.data.event_channels import CONSUME
from rec_platform.data.item_features import unit_rows
from rec_platform.data.user_log import UserLog
from rec_platform.errors import InputError
from rec_platform.simulation.candidates.generator import CandidateSources
from rec_platform.simulation.learned.checks import check_log, is_category
from rec_platform.simulation.learned.config import LearnedSimulatorConfig
from rec_platform.simulation.learned.users import LearnedUsers
from rec_platform.simulation.leave.hazard import FittedLeave
from rec_platform.simulation.leave.likeness import recently_consumed
from rec_platform.simulation.leave.patience import PatienceConfig
from rec_platform.simulation.leave.returning import ReturnModel
from rec_platform.simulation.leave.rules import AutoLeave, FixedLeave
from rec_platform.simulation.response.ensemble import ResponseEnsemble
from rec_platform.simulation.response.model import ResponseModel, ResponseState
from rec_platform.simulation.response.slate_choice import SlateChoice
from rec_platform.simulation.response.tracker import tabulate
from rec_platform.simulation.simulator import SimulatorSpec
from rec_platform.types import Float32, Int32, Observation

if TYPE_CHECKING:
    from rec_platform.simulation.learned.fitting import FitReport

IMMEDIATE_CHUNK = 512
"""Users whose whole catalogue is scored at once."""

MOST_ENTRIES = 200_000
"""Points of the log at which users may enter, up to which their response states are computed once for all."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Response states at the points where users enter.

    Attributes:
        tables: of each member, see `response.tracker.tabulate`.
        first: int64 [U]; the point after e events of user u is row first[u] + e.
    """

    tables: tuple[Float32, ...]
    first: NDArray[np.int64]


class LearnedSimulator:
    """The users of a log as a `Simulator`.

    Attributes:
        config: see `LearnedSimulatorConfig`.
        log: of U users, where simulated users come from.
        ensemble, members: response models that answer for them.
        slate_choice: how they choose among a slate.
        leave: the rule by which they leave.
        returning: how long they stay away.
        content: float32 [N, D] the items' features scaled to length 1.
        categories: float32 [N, C] the items' categories, 0 or 1.
        spec: sizes and names.
        item_features: float32 [N, D] as the catalogue has them.
    """

    def __init__(
        self,
        *,
        log: UserLog,
        members: tuple[ResponseModel, ...] | ResponseEnsemble,
        config: LearnedSimulatorConfig | None = None,
        slate_choice: SlateChoice | None = None,
        fitted_leave: FittedLeave | None = None,
        returning: ReturnModel | None = None,
        channels: tuple[str, ...] = (),
    ) -> None:
        """Put the parts together; `fit` also makes them.

        Args:
            fitted_leave: the rule of ``leave: {kind: auto}``; patience where None.
            channels: names of the members' channels after the first.

        Raises:
            InputError: parts that do not belong together, a catalogue too small, or no user with enough history.
        """
        config = config or LearnedSimulatorConfig()
        check_log(log, config, channels)
        self.config, self.log, self.channels = config, log, channels
        self.ensemble = members if isinstance(members, ResponseEnsemble) else ResponseEnsemble.of(members)
        self.members = self.ensemble.members
        self.slate_choice, self.returning = slate_choice or SlateChoice(), returning or ReturnModel()
        self.fitted_leave = fitted_leave
        self.leave: FixedLeave = self._leave_rule()
        catalog = log.catalog
        self.item_features: Float32 = catalog.features
        self.content = unit_rows(catalog.features)
        columns = [is_category(name) for name in catalog.feature_names]
        self.categories: Float32 = np.ascontiguousarray(catalog.features[:, columns])
        size = len(catalog)
        context: tuple[str, ...] = ("session_slates", "session_response_rate")
        if config.sessions.per_user > 1:
            context += ("sessions_done", "days_away")
        self.spec = SimulatorSpec(
            num_items=size,
            num_candidates=config.num_candidates or size,
            slate_size=config.slate_size,
            history_length=config.history_length,
            user_feature_names=log.user_feature_names or tuple(f"user_{j}" for j in range(log.user_features.shape[1])),
            context_names=context,
            response_channels=(CONSUME, *channels),
            full_catalogue=config.num_candidates is None,
            max_steps=self.leave.max_slates * config.sessions.per_user,
            single_choice=config.choice == "one",
        )
        self._check()
        self.eligible_users: NDArray[np.int64] = np.flatnonzero(log.histories.counts >= config.min_history)

    @staticmethod
    def fit(
        log: UserLog,
        config: LearnedSimulatorConfig | None = None,
        *,
        members: int | None = None,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[LearnedSimulator, FitReport]:
        """Fit response, choice, leave and return models to a log and put a simulator of its users around them.

        Args:
            log: its user features finite and of the order of 1.
            members: response models to fit; those not held back where None. An evaluation simulator is fitted on other
                users than the training simulator (`UserLog.select`).
            progress: called with (batches done, batches in all) while the response models are fitted.

        Raises:
            InputError: the log or the catalogue does not allow it; the message says what does.
        """
        from rec_platform.simulation.learned.fitting import fit

        return fit(log, config, members=members, seed=seed, progress=progress)

    def users(self, count: int, *, seed: int, staggered: bool = False) -> LearnedUsers:
        """``count`` new users; see `Simulator.users`.

        With ``staggered`` the remaining patience is uniform, and the context that of a user who answered every second
        slate without being bored.
        """
        return LearnedUsers(self, count, seed=seed, staggered=staggered)

    def immediate_value(self, observation: Observation) -> Float32:
        """The members' mean expected reward of each candidate shown alone, float32 [B, M].

        With the default reward that is the probability that it is answered. Where no channel is rewarded (only coming
        back counts), too.
        """
        out = np.zeros(observation.candidates.shape, dtype=np.float32)
        rewards = [self.config.reward.get(name, 0.0) for name in self.spec.response_channels]
        if not any(rewards):
            rewards[0] = 1.0
        for start in range(0, len(out), IMMEDIATE_CHUNK):
            rows = slice(start, start + IMMEDIATE_CHUNK)
            for model in self.members:
                state = model.state(
                    observation.user_features[rows], observation.history[rows], observation.history_feedback[rows]
                )
                value = np.full(out[rows].shape, rewards[0], dtype=np.float32)
                for channel in (number for number in range(1, len(rewards)) if rewards[number]):
                    value += np.float32(rewards[channel]) * expit(
                        self._logits(model, state, observation, rows, channel)
                    )
                out[rows] += value * expit(self._logits(model, state, observation, rows, 0))
        out *= np.float32(1.0 / len(self.members))
        return out

    def _logits(
        self, model: ResponseModel, state: ResponseState, observation: Observation, rows: slice, channel: int
    ) -> Float32:
        """The model's log-odds for the candidates of some users, float32 [n, M]."""
        if self.spec.full_catalogue:
            return model.catalogue_logits(state, channel)
        return model.item_logits(state, np.maximum(observation.candidates[rows], 0), channel)

    def variants(self) -> Mapping[str, LearnedSimulator]:
        """``null``: boredom switched off. ``second_rule``: another leave rule; see `PatienceConfig.second_rule`."""
        second = (
            self.leave.second_rule()
            if isinstance(self.leave, PatienceConfig)
            else PatienceConfig(max_slates=self.leave.max_slates)
        )
        rules: dict[str, FixedLeave] = {"null": self.leave.without_boredom(), "second_rule": second}
        return {name: self.with_config(self.config.model_copy(update={"leave": rule})) for name, rule in rules.items()}

    def similarity(
        self, history: Int32, history_feedback: Float32, recent: int | None = None, *, items: Int32 | None = None
    ) -> Float32:
        """Mean cosine similarity to the items lately consumed: float32 [B, N] of every item, or [B, M] of ``items``.

        Args:
            history, history_feedback: [B, L].
            recent: how many of the newest entries count; as in the leave rule where None.
            items: int32 [B, M] catalogue indices; any number where -1.
        """
        recent = self.leave.recent if recent is None else recent
        lately = recently_consumed(self.content, history, history_feedback, recent)
        if items is None:
            return lately @ self.content.T
        return np.einsum("bmd,bd->bm", self.content.take(items, axis=0, mode="wrap"), lately)

    def with_config(self, config: LearnedSimulatorConfig) -> LearnedSimulator:
        """The same users and models under other rules (another leave rule, slate size or candidate number)."""
        return LearnedSimulator(
            log=self.log,
            members=self.ensemble,
            config=config,
            slate_choice=self.slate_choice,
            fitted_leave=self.fitted_leave,
            returning=self.returning,
            channels=self.channels,
        )

    @cached_property
    def candidate_sources(self) -> CandidateSources:
        """What candidates are drawn from; for simulators that do not offer the whole catalogue."""
        return CandidateSources.build(
            self.config.candidates,
            self.spec.num_candidates,
            self.log.catalog.popularity,
            [model.item_vectors for model in self.members],
        )

    @cached_property
    def entries(self) -> Entries | None:
        """The response states at all points where a user may enter; None where there are more than `MOST_ENTRIES`."""
        histories, least = self.log.histories, self.config.min_history
        points = np.maximum(histories.counts - least + 1, 0)
        if points.sum() > MOST_ENTRIES:
            return None
        users = np.repeat(np.arange(len(points)), points)
        begins = np.concatenate(([0], np.cumsum(points)))[:-1]
        ends = np.arange(len(users)) - begins[users] + least

        def windows(rows: slice) -> tuple[Float32, Int32, Float32]:
            return self.log.user_features[users[rows]], *histories.window(
                users[rows], ends[rows], self.spec.history_length
            )

        return Entries(tabulate(self.ensemble, windows, len(users)), begins - least)

    def __getstate__(self) -> dict[str, Any]:
        """Without what can be computed again."""
        return {name: value for name, value in self.__dict__.items() if name not in ("entries", "candidate_sources")}

    @property
    def always_available(self) -> int:
        """So many of the first candidates can always be shown: M, the random ones of several sources, or none."""
        if self.config.num_candidates is None:
            return 0
        return self.config.candidates.counts(self.config.num_candidates)["random"]

    def save(self, folder: Path) -> None:
        """Write everything into a folder, made where it is missing; see `storage`."""
        from rec_platform.simulation.learned.storage import save

        save(self, folder)

    @staticmethod
    def load(folder: Path) -> LearnedSimulator:
        """Read what `save` wrote.

        Raises:
            InputError: a file is missing or not what it should be.
        """
        from rec_platform.simulation.learned.storage import load

        return load(folder)

    def _leave_rule(self) -> FixedLeave:
        """The rule that ``config.leave`` means here."""
        if not isinstance(self.config.leave, AutoLeave):
            return self.config.leave
        most = self.config.leave.max_slates
        if self.fitted_leave is None:
            return PatienceConfig(max_slates=most)
        return self.fitted_leave.model_copy(update={"max_slates": most})

    def _check(self) -> None:
        config, log = self.config, self.log
        for model in self.members:
            if model.num_items != len(log.catalog):
                problem = f"know {model.num_items} items, the catalogue has {len(log.catalog)}"
                raise InputError("members", problem, "fit them to this catalogue")
            if model.history_length != config.history_length:
                fitted = model.history_length
                raise InputError(
                    "simulator.history_length", f"{config.history_length}", f"the model was fitted with {fitted}"
                )
            if log.user_features.shape != (len(log), model.num_user_features):
                problem = f"shape {log.user_features.shape} does not fit the histories and the model"
                raise InputError("user_features", problem, f"give {len(log)} rows of {model.num_user_features}")
            if model.num_channels != 1 + len(self.channels):
                problem = f"{self.channels} do not fit a model of {model.num_channels}"
                raise InputError("channels", problem, f"name the {model.num_channels - 1} after the first")
        names, width = len(self.spec.user_feature_names), log.user_features.shape[1]
        if names != width:
            raise InputError("user_feature_names", f"{names} for {width} features", "give one a feature")
