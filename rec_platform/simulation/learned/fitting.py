"""From a log to simulated users: the parts of a `LearnedSimulator`, and how well they fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rec_platform.data.item_features import unit_rows
from rec_platform.data.user_log import UserLog
from rec_platform.errors import InputError
from rec_platform.simulation.learned.checks import check_log
from rec_platform.simulation.learned.config import LearnedSimulatorConfig
from rec_platform.simulation.learned.simulator import LearnedSimulator
from rec_platform.simulation.leave.hazard import RECENT, HazardReport, fit_hazard
from rec_platform.simulation.leave.returning import fit_return
from rec_platform.simulation.leave.rules import AutoLeave
from rec_platform.simulation.leave.session_steps import SessionSteps
from rec_platform.simulation.response.examples import needs_negatives
from rec_platform.simulation.response.fit import fit_responses
from rec_platform.simulation.response.report import ResponseReport, report_on
from rec_platform.simulation.response.slate_choice import ChoiceReport, fit_slate_choice


@dataclass(frozen=True, slots=True)
class FitReport:
    """How well the parts of a learned simulator fit the log.

    Attributes:
        response: of the response models.
        choice: of the choice over the slate; None where the log has no exposures.
        leave: of the fitted hazard; None where a stated rule is used.
        returning: weights of the return model; None for KuaiSim's constants, or where users do not come back.
    """

    response: ResponseReport
    choice: ChoiceReport | None = None
    leave: HazardReport | None = None
    returning: dict[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.response.to_dict(),
            "choice": self.choice and self.choice.to_dict(),
            "leave": self.leave and self.leave.to_dict(),
            "returning": self.returning,
        }


def fit(
    log: UserLog,
    config: LearnedSimulatorConfig | None,
    *,
    members: int | None,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[LearnedSimulator, FitReport]:
    """See `LearnedSimulator.fit`."""
    config = config or LearnedSimulatorConfig()
    channels = log.channels.names if log.channels else ()
    check_log(log, config, channels)
    histories, features = log.histories, log.user_features
    rng = np.random.default_rng([seed, 1])
    content = unit_rows(log.catalog.features)
    fitted = fit_responses(
        content=content,
        histories=histories,
        user_features=features,
        history_length=config.history_length,
        exposures=log.exposures,
        channels=log.channels,
        members=config.members - config.held_back if members is None else members,
        config=config.response,
        seed=seed,
        progress=progress,
    )
    choice, choice_report = None, None
    if log.exposures is not None:
        share = config.response.holdout_share
        choice, choice_report = fit_slate_choice(
            fitted.members, log.exposures, histories, features, holdout_share=share, rng=rng
        )
    notes = list(_notes(log))
    leave, leave_report = None, None
    steps = None
    if isinstance(config.leave, AutoLeave) or config.sessions.per_user > 1:
        recent = min(RECENT, config.history_length)
        steps = SessionSteps.of(histories, log.exposures, content, recent=recent)
    if isinstance(config.leave, AutoLeave):
        try:
            if steps is None:
                raise InputError("simulator.leave", "the log has no sessions")
            leave, leave_report = fit_hazard(steps, max_slates=config.leave.max_slates)
        except InputError as error:
            notes.append(f"when users leave is assumed, not fitted: {error.problem}")
    returning = fit_return(steps, longest=config.sessions.longest) if config.sessions.per_user > 1 else None
    report = report_on(
        fitted,
        histories,
        features,
        channels=channels,
        random_ratings=log.random_ratings,
        notes=tuple(notes),
        rng=rng,
    )
    simulator = LearnedSimulator(
        log=log,
        members=fitted.members,
        config=config,
        slate_choice=choice,
        fitted_leave=leave,
        returning=returning,
        channels=channels,
    )
    fitted_return = None if returning is None or returning.constant is None else returning.model_dump()
    return simulator, FitReport(report, choice_report, leave_report, fitted_return)


def _notes(log: UserLog) -> tuple[str, ...]:
    """What a reader of the fit's figures should know of the log."""
    if log.exposures is None and needs_negatives(log.histories):
        return (
            "the log has no negative responses: items that a user never met stand in for them, so probabilities are "
            "relative to that rate and not those of a click on an item shown; log what is shown to do better",
        )
    return ()
