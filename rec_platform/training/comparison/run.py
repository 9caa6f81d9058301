"""The comparison itself: every recommender with every seed, on the sides that were asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rec_platform.errors import InputError
from rec_platform.evaluation.comparison.results import BASELINE, Comparison, Contender, Outcome
from rec_platform.training.baselines import baselines
from rec_platform.training.comparison.entries import AnyExperiment, Entries
from rec_platform.training.comparison.kept import Measured, Shelf
from rec_platform.training.comparison.stage import ComparisonSettings, Stage, build_stage
from rec_platform.training.comparison.training_run import (
    Bar,
    Made,
    Side,
    TrainingRun,
    experiment_key,
    named,
    silent,
)
from rec_platform.training.experiment import Experiment
from rec_platform.training.fitted_experiment import FittedExperiment
from rec_platform.training.fitted_policy import learned, played_policy, ranked_policy, simulated_policy

UNFITTED = ("random", "popularity")
OF_A_WARM_START = ("myopic", "diverse")


def compare(
    entries: Entries,
    dataset: Path,
    settings: ComparisonSettings,
    home: Path,
    *,
    on_phase: Callable[[str], None] = lambda _: None,
    bar: Bar = silent,
) -> Comparison:
    """Fit or train every entry on the earlier part of the log, and judge it.

    Args:
        home: the platform's state folder; results are kept in it, nothing is registered.
        on_phase: told in words what begins.

    Raises:
        InputError: neither side is left, or the log is too short for one.
    """
    simulated = settings.simulation and entries.reference is not None
    if not (settings.ranking or simulated):
        problem = "there is nothing to compare" if not settings.simulation else "no experiment names a simulator"
        raise InputError("--no-ranking", problem, "leave it out, or give --simulator EXPERIMENT.yaml")
    stage = build_stage(dataset, settings, entries.reference, home, on_phase)
    bench = Bench(stage, Shelf(stage.folder / "results", fresh=settings.fresh), bar, simulated=simulated)
    contenders: dict[str, Contender] = {}
    for name, experiment in entries.experiments.items():
        contenders |= bench.contenders(name, experiment, taken=set(entries.experiments))
    if simulated:
        contenders |= bench.unfitted(taken=set(contenders))
    return Comparison(
        dataset=stage.dataset.name,
        split=settings.split,
        k=settings.k,
        positives=settings.positives,
        seeds=settings.seeds,
        contenders=contenders,
        moment=stage.task.held_out.moment,
        remarks=tuple(stage.remarks + _of_trained(entries, settings.seeds)),
    )


def _of_trained(entries: Entries, seeds: int) -> list[str]:
    """What has to be known where some are trained with simulated users."""
    trained = [one for one in entries.experiments.values() if isinstance(one, Experiment)]
    if not trained:
        return []
    length = getattr(trained[0].simulator, "history_length", None)
    lines = [
        f"When they rank, policies that were trained in the simulator are shown a user's newest {length} events, with "
        "likes and dislikes as simulated users have them, at the start of a session; those fitted to the log see all "
        "events."
    ]
    if seeds == 1:
        lines.append("One seed: what another training would change is in no interval (`--seeds 3`).")
    return lines


class Bench:
    """Measures one recommender after another.

    Args:
        simulated: whether simulated users judge.
    """

    def __init__(self, stage: Stage, shelf: Shelf, bar: Bar, *, simulated: bool) -> None:
        self.stage, self.shelf, self.bar, self.simulated = stage, shelf, bar, simulated
        self._warm_baselines = simulated  # of the first experiment that has a warm start

    def contenders(self, name: str, experiment: AnyExperiment, *, taken: set[str]) -> dict[str, Contender]:
        """One experiment over its seeds, and what its warm start is without reinforcement learning."""
        kind = experiment.algorithm.kind
        seeds = range(experiment.seed, experiment.seed + self.stage.settings.seeds)
        seeded = [experiment.model_copy(update={"seed": seed}) for seed in seeds]
        if isinstance(experiment, FittedExperiment):
            outcomes = [self._fitted(one) for one in seeded if isinstance(one, FittedExperiment)]
            return {name: Contender(name, kind, "fitted", tuple(outcomes))}
        runs = [TrainingRun(self.stage, one, self.bar) for one in seeded if isinstance(one, Experiment)]
        outcomes = [self._measure(name, run.experiment.seed, run.key(), run.made) for run in runs]
        found = {name: Contender(name, kind, "reinforcement learning", tuple(outcomes))}
        if experiment.policy.warm_start == "log" and self._warm_baselines:
            self._warm_baselines = False
            for other in (name for name in OF_A_WARM_START if name not in taken):
                found[other] = Contender(other, BASELINE, BASELINE, tuple(self._warm(other, run) for run in runs))
        return found

    def unfitted(self, *, taken: set[str]) -> dict[str, Contender]:
        """Random and popular slates."""
        found = {}
        for name in (name for name in UNFITTED if name not in taken):

            def made(_: Side, name: str = name) -> Made:
                return Made(named(baselines(self.stage.world, None, None), name))

            key = {"baseline": name, **self.stage.world_key()}
            found[name] = Contender(name, BASELINE, BASELINE, (self._measure(name, 0, key, made),))
        return found

    def _fitted(self, experiment: FittedExperiment) -> Outcome:
        stage = self.stage

        def made(side: Side) -> Made:
            if side == "simulation":
                stage.world  # noqa: B018  # else the fit's time would hold that of the simulators
            curve: tuple[tuple[float, float], ...] = ()
            began = time.process_time()
            if side == "ranking":
                policy = ranked_policy(experiment, stage.task.log)
            elif experiment.algorithm.online:
                found = learned(experiment, stage.world)
                policy = played_policy(experiment, found)
                curve = tuple((float(point.env_steps), point.episode_return) for point in found.curve)
            else:
                policy = simulated_policy(experiment, stage.world)
            return Made(policy, time.process_time() - began, curve)

        return self._measure(experiment.name, experiment.seed, experiment_key(experiment), made, fitted=experiment)

    def _warm(self, name: str, run: TrainingRun) -> Outcome:
        def made(_: Side) -> Made:
            trained = run.trained
            assert trained.relevance is not None
            return Made(named(baselines(self.stage.world, trained.relevance.scorer, trained.tuning), name))

        return self._measure(name, run.experiment.seed, {"baseline": name, **run.key()}, made)

    def _measure(
        self,
        name: str,
        seed: int,
        key: Mapping[str, Any],
        made: Callable[[Side], Made],
        *,
        fitted: FittedExperiment | None = None,
    ) -> Outcome:
        """Both sides of one recommender, as far as they were asked.

        Args:
            key: what decides the recommender.
            made: the policy that a side judges.
            fitted: the experiment that is fitted to the log; None for what is made for simulated users.
        """
        stage, sides = self.stage, []

        def ranked() -> Measured:
            stage.on_phase(f"{name}, seed {seed}: ranking what is held back")
            one = made("ranking")
            ranking = stage.rank(one.policy, fitted)
            return Measured(one.cpu_seconds, ranking=ranking, curve=one.curve)

        def played() -> Measured:
            stage.on_phase(f"{name}, seed {seed}: playing with simulated users")
            one = made("simulation")
            return Measured(one.cpu_seconds, rollout=stage.play(one.policy, fitted), curve=one.curve)

        if stage.settings.ranking:
            sides.append(self.shelf.take({**key, **stage.ranking_key()}, ranked))
        if self.simulated:
            sides.append(self.shelf.take({**key, **stage.simulation_key()}, played))
        return Outcome(
            seed=seed,
            cpu_seconds=max(side.cpu_seconds for side in sides),
            ranking=sides[0].ranking,
            rollout=sides[-1].rollout,
            curve=sides[-1].curve,
        )
