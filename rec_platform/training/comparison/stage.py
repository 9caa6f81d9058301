"""Where all recommenders meet: the log cut once, its earlier part as a dataset, and one world of simulated users.

Nothing that is fitted, trained, or used to choose between policies has seen what is held back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rec_platform.data.dataset import Dataset
from rec_platform.data.earlier_part import write_earlier_part
from rec_platform.data.histories import Histories
from rec_platform.data.splits import HeldOut
from rec_platform.data.writer import code_version
from rec_platform.errors import InputError
from rec_platform.evaluation.ranking.evaluate import RankingResult, item_facts
from rec_platform.evaluation.ranking.task import Positives, RankingTask, Split, read_log
from rec_platform.evaluation.rollout import Rollout, rollout
from rec_platform.policies.policy import Policy
from rec_platform.training.comparison.entries import AnyExperiment
from rec_platform.training.comparison.kept import key_of
from rec_platform.training.fitted_experiment import FittedExperiment
from rec_platform.training.fitted_policy import with_request_context
from rec_platform.training.world import World, build_world
from rec_platform.types import Float32

CUT_VERSION = 1
"""Of the rule by which the earlier part is cut out."""


@dataclass(frozen=True)
class ComparisonSettings:
    """What is asked.

    Attributes:
        split, k, positives: of the ranking.
        seeds: fits or trainings of each recommender, with the seeds from its own on.
        users: fresh simulated users.
        ranking, simulation: which sides.
        by_segment: also tell users apart by the RFM segment of their earlier part.
        fresh: use nothing that an earlier comparison has kept.
    """

    split: Split = "leave-last-one-out"
    k: int = 10
    positives: Positives = "every-rating"
    seeds: int = 1
    users: int = 2_000
    ranking: bool = True
    simulation: bool = True
    fresh: bool = False
    by_segment: bool = False


@dataclass(frozen=True)
class Stage:
    """Attributes:
    home: the platform's state folder.
    folder: of this log and split: the earlier part, runs and results.
    dataset: the whole log.
    earlier: its earlier part.
    task: what is held back; its log, catalogue and user features are those of the earlier part.
    feedback: float32 [rows] of the events of the task's log, by the dataset's own rule: what simulated users show.
    reference: names the simulator and the split of users; None without simulated users.
    """

    home: Path
    folder: Path
    settings: ComparisonSettings
    dataset: Dataset
    earlier: Dataset
    task: RankingTask
    feedback: Float32
    reference: AnyExperiment | None
    on_phase: Callable[[str], None] = field(default=lambda _: None)

    @cached_property
    def world(self) -> World:
        """Simulators fitted to the earlier part; the same whatever the seed of a recommender."""
        assert self.reference is not None
        return self.world_of(self.reference)

    def world_of(self, experiment: AnyExperiment) -> World:
        """The same users, with what the algorithm of ``experiment`` needs of the log beside them."""
        assert self.reference is not None
        if experiment is not self.reference and not experiment.algorithm.offline:
            return self.world
        self.on_phase("preparing simulated users")
        data = experiment.data.model_copy(update={**self._shares(), "dataset": self.earlier.folder})
        common = {"seed": self.reference.seed, "simulator": self.reference.simulator, "data": data}
        return build_world(experiment.model_copy(update=common), self.home / "simulators")

    def rank(self, policy: Policy, fitted: FittedExperiment | None) -> RankingResult:
        """How a policy ranks what is held back.

        Args:
            fitted: what made it; None shows it what simulated users show: their feedback, a history of their length, a
                context.
        """
        if fitted is not None:
            return self.task.evaluate(policy, k=self.settings.k, context_names=fitted.algorithm.context_names)
        spec = self.world.evaluation.spec
        return self.task.evaluate(
            policy,
            k=self.settings.k,
            history_length=spec.history_length,
            context_size=len(spec.context_names),
            feedback=self.feedback,
        )

    def play(self, policy: Policy, fitted: FittedExperiment | None) -> Rollout:
        """Sessions of fresh users, who are the same for every policy; ``fitted`` as in `rank`."""
        assert self.reference is not None
        world = self.world if fitted is None else with_request_context(fitted, self.world)
        return rollout(policy, world.evaluation, users=self.settings.users, seed=self.reference.evaluation.seed)

    def ranking_key(self) -> dict[str, Any]:
        """What decides a ranking, beside the recommender."""
        settings = self.settings
        asked: dict[str, Any] = {"split": settings.split, "k": settings.k, "positives": settings.positives}
        if settings.by_segment:
            asked["slices"] = "segments"
        return {"side": "ranking", "dataset": self.dataset.hash, **asked, "code": code_version()}

    def simulation_key(self) -> dict[str, Any]:
        """What decides sessions, beside the recommender."""
        assert self.reference is not None
        asked = {"users": self.settings.users, "users_seed": self.reference.evaluation.seed}
        return {"side": "simulation", **self.world_key(), **asked}

    def world_key(self) -> dict[str, Any]:
        """What decides the simulated users."""
        assert self.reference is not None
        assert self.reference.simulator is not None
        simulator = self.reference.simulator.model_dump(mode="json")
        users = {"simulator": simulator, **self._shares(), "seed_of_users": self.reference.seed}
        return {"earlier": self.earlier.hash, **users, "code": code_version()}

    def _shares(self) -> dict[str, float]:
        assert self.reference is not None
        data = self.reference.data
        return {"evaluation_share": data.evaluation_share, "judging_share": data.judging_share}

    @property
    def remarks(self) -> list[str]:
        """What a reader of the figures has to know of cut and users."""
        share = len(self.earlier.interactions) / len(self.dataset.interactions)
        held = {"leave-last-one-out": "each user's last event", "temporal": "all from one moment on"}
        lines = [
            f"Held back: {held[self.settings.split]}; {len(self.task.held_out):,} users are asked for. All is fitted "
            f"and trained on the {share:.1%} of the events before: simulated users, warm starts and popularity too."
        ]
        if self.reference is not None and self.settings.simulation:
            lines.append(
                f"Simulated return: one session of each of {self.settings.users:,} fresh users, the same for every "
                f"policy. A simulator fitted on {self.reference.data.evaluation_share:.0%} of the users answers for "
                "them; no policy learns from it."
            )
            leave = getattr(getattr(self.reference.simulator, "leave", None), "kind", "auto")
            if leave != "auto":
                lines.append(
                    f"When users leave is stated (leave: {leave}), not measured in the log; returns hold under that "
                    "rule, and `evaluate simulator` tells what another rule would change."
                )
        return [*lines, *self.task.remarks]


def build_stage(
    folder: Path,
    settings: ComparisonSettings,
    reference: AnyExperiment | None,
    home: Path,
    on_phase: Callable[[str], None] = lambda _: None,
) -> Stage:
    """Cut the log and write its earlier part, unless that is there already.

    Args:
        folder: the dataset's.

    Raises:
        InputError: no such dataset, or there is nothing to hold back.
    """
    dataset = Dataset.open(folder)
    whole, _ = read_log(dataset, settings.positives)
    cut = RankingTask.cut(dataset.name, whole, split=settings.split, by_segment=settings.by_segment)
    own = home / "comparisons" / key_of({"dataset": dataset.hash, "split": settings.split, "version": CUT_VERSION})
    try:
        earlier = Dataset.open(own / "earlier")
    except InputError:
        on_phase("writing the earlier part of the log")
        earlier = write_earlier_part(dataset, whole.histories, cut.held_out, own / "earlier")
    catalog, train = earlier.catalog(), cut.held_out.train
    log = replace(
        cut.log,
        catalog=catalog,
        user_features=earlier.user_features(train.user_ids),
        user_feature_names=earlier.user_encoder().names,
    )
    task = RankingTask(dataset.name, cut.held_out, log, item_facts(catalog, cut.held_out), cut.slices)
    return Stage(
        home=home,
        folder=own,
        settings=settings,
        dataset=dataset,
        earlier=earlier,
        task=task,
        feedback=_feedback(earlier, cut.held_out),
        reference=reference,
        on_phase=on_phase,
    )


def _feedback(earlier: Dataset, held_out: HeldOut) -> Float32:
    """Of the events of the earlier part, by the dataset's own rule; they must be those of the cut, one by one."""
    histories, train = Histories.build(earlier, earlier.catalog()), held_out.train
    if histories.user_ids != train.user_ids or not all(
        np.array_equal(getattr(histories, name), getattr(train, name)) for name in ("offsets", "items", "timestamps")
    ):
        raise RuntimeError(f"{earlier.folder} does not hold the events before the cut")
    return histories.feedback
