"""What a learned simulator refuses of its log, before anything is fitted."""

from __future__ import annotations

from rec_platform.data.event_channels import CONSUME
from rec_platform.data.user_log import UserLog
from rec_platform.errors import InputError, did_you_mean
from rec_platform.simulation.learned.config import LearnedSimulatorConfig
from rec_platform.simulation.leave.repetition import RepetitionConfig


def check_log(log: UserLog, config: LearnedSimulatorConfig, channels: tuple[str, ...]) -> None:
    """Refuse settings that this log does not allow.

    Raises:
        InputError: a catalogue too small, a reward of an unknown channel, no categories, or users without history.
    """
    _check_catalogue_size(len(log.catalog), config)
    unknown = sorted(set(config.reward) - {CONSUME, *channels})
    if unknown:
        known = did_you_mean(unknown[0], (CONSUME, *channels))
        raise InputError("simulator.reward", f"no channel {', '.join(unknown)}", known)
    if isinstance(config.leave, RepetitionConfig) and not any(map(is_category, log.catalog.feature_names)):
        raise InputError("simulator.leave", "the items have no categories to be bored by", "use another kind")
    counts = log.histories.counts
    most = int(counts.max(initial=0))
    if most < config.min_history or not len(counts):
        raise InputError(
            "simulator.min_history",
            f"no user has {config.min_history} events (the most is {most})",
            f"set it to at most {most}, or give a longer log",
        )


def is_category(feature_name: str) -> bool:
    """Whether an item feature says that the item is in a category."""
    return feature_name.startswith("category=")


def _check_catalogue_size(num_items: int, config: LearnedSimulatorConfig) -> None:
    """There must be enough items outside the visible history for the candidates, or at least for a slate."""
    needed, length = config.num_candidates or config.slate_size, config.history_length
    if needed + length > num_items:
        problem = f"{length} items of history and {needed} to show are more than the catalogue's {num_items}"
        fix = f"set history_length to at most {num_items - needed}"
        if num_items <= needed:
            fix = "set slate_size and num_candidates lower, or give a larger catalogue"
        raise InputError("simulator.history_length", problem, fix)
