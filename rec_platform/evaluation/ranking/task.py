"""A log cut in two and what is asked of policies about it: the same for a command, a training run and a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rec_platform.data.catalog import Catalog
from rec_platform.data.dataset import Dataset
from rec_platform.data.exposures import Exposures
from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.histories import Histories
from rec_platform.data.segments import segment_slices
from rec_platform.data.splits import HeldOut, leave_last_one_out, temporal
from rec_platform.errors import InputError
from rec_platform.evaluation.ranking.evaluate import RankingResult, evaluate, item_facts
from rec_platform.evaluation.ranking.lists import rank
from rec_platform.evaluation.ranking.rankings import ItemFacts
from rec_platform.policies.fitting import FitLog
from rec_platform.policies.policy import Policy
from rec_platform.types import Bool, Float32

Split = Literal["leave-last-one-out", "temporal"]
Positives = Literal["every-rating", "likes"]

TIE_RULE = (
    "events of one moment are ordered as their items stand in the catalogue; of equal scores the earlier item wins"
)

ANY_STARS = -1e9
"""A rating threshold that every rating reaches."""


def read_log(dataset: Dataset, positives: Positives) -> tuple[FitLog, FeedbackRule]:
    """All of a log, and the rule that says what is positive in it.

    Args:
        positives: whether every rating is positive, or those from the dataset's threshold on.

    Raises:
        InputError: no event enters a history.
    """
    rule, catalog = dataset.feedback_rule, dataset.catalog()
    if positives == "every-rating":
        rule = replace(rule, rating_threshold=ANY_STARS)
    histories = Histories.build(dataset, catalog, rule)
    if not len(histories):
        problem = "no event of the log enters a history"
        raise InputError(str(dataset.folder), problem, "map its events with `ingest --map`")
    encoder = dataset.user_encoder()
    return (
        FitLog(
            histories,
            catalog,
            dataset.user_features(histories.user_ids, encoder),
            encoder.names,
            Exposures.build(dataset, catalog, histories),
        ),
        rule,
    )


@dataclass(frozen=True)
class RankingTask:
    """Attributes:
    dataset: its name.
    held_out: the cut.
    log: the earlier part, to fit recommenders to.
    facts: what metrics know of items.
    slices: bool [n] by name: evaluated users that are told apart.
    """

    dataset: str
    held_out: HeldOut
    log: FitLog
    facts: ItemFacts
    slices: dict[str, Bool]

    @staticmethod
    def of(
        dataset: Dataset, *, split: Split, positives: Positives = "every-rating", by_segment: bool = False
    ) -> RankingTask:
        """Cut a log.

        Args:
            by_segment: also tell users apart by the RFM segment of their earlier part.

        Raises:
            InputError: there is nothing to hold back.
        """
        whole, _ = read_log(dataset, positives)
        return RankingTask.cut(dataset.name, whole, split=split, by_segment=by_segment)

    @staticmethod
    def cut(dataset: str, whole: FitLog, *, split: Split, by_segment: bool = False) -> RankingTask:
        """The same of a log that was read already, or of the training part of another cut."""
        held_out = (leave_last_one_out if split == "leave-last-one-out" else temporal)(whole.histories)
        slices = {} if held_out.tied is None else {"tied": held_out.tied, "untied": ~held_out.tied}
        if by_segment:
            slices |= segment_slices(held_out)
        row = {name: number for number, name in enumerate(whole.histories.user_ids)}
        features = whole.user_features[[row[name] for name in held_out.train.user_ids]]
        exposures = whole.exposures and whole.exposures.within(whole.histories, held_out.train)
        log = replace(whole, histories=held_out.train, user_features=features, exposures=exposures or None)
        return RankingTask(dataset, held_out, log, item_facts(whole.catalog, held_out), slices)

    @property
    def catalog(self) -> Catalog:
        return self.log.catalog

    def evaluate(
        self,
        policy: Policy,
        *,
        k: int = 10,
        exclude_seen: bool = True,
        history_length: int | None = None,
        context_names: Sequence[str] = (),
        context_size: int = 0,
        feedback: Float32 | None = None,
    ) -> RankingResult:
        """How a policy that knows nothing later than `log` does.

        Args:
            history_length: newest events that it is shown; None for all of them.
            context_names: columns of `data.request_context` that it asks for (`FittedSettings.context_names`).
            context_size, feedback: of its observations where it was not fitted to `log` (see `rank`).
        """
        lists = rank(
            policy,
            self.held_out,
            self.log.user_features,
            num_items=len(self.catalog),
            history_length=history_length or int(self.held_out.train.counts.max()),
            context_names=context_names,
            context_size=context_size,
            feedback=feedback,
            k=k,
            exclude_seen=exclude_seen,
        )
        return evaluate(lists, self.facts, self.slices)

    @property
    def remarks(self) -> list[str]:
        """What a reader of the figures has to know."""
        lines = [f"Ties: {TIE_RULE}."]
        tied = self.held_out.tied
        if tied is not None and tied.any():
            lines.append(
                f"{tied.mean():.0%} of the users took what is held back at the moment of the event before it: there "
                "only the tie rule says what was last. `--json` gives tied and untied users apart."
            )
        return lines
