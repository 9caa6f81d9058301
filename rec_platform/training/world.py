"""What an experiment is about: its catalogue, the users it trains with and the users it is judged on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rec_platform.data.catalog import Catalog
from rec_platform.data.dataset import Dataset
from rec_platform.data.event_channels import CONSUME
from rec_platform.data.exposures import Exposures
from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.histories import Histories
from rec_platform.data.logged_decisions import CONTEXT_NAMES, LoggedDecisions
from rec_platform.data.splits import split_users
from rec_platform.data.user_log import UserLog
from rec_platform.data.users import UserEncoder
from rec_platform.errors import InputError
from rec_platform.registry.manifest import DatasetReference
from rec_platform.simulation.classic.interest_evolution import InterestEvolution
from rec_platform.simulation.classic.kinds import Classic
from rec_platform.simulation.learned import LearnedSimulator, LearnedSimulatorConfig
from rec_platform.simulation.marketplace import Marketplace, MarketplaceConfig
from rec_platform.simulation.response.report import SelectionBias
from rec_platform.simulation.simulator import Simulator, SimulatorSpec
from rec_platform.simulation.simulators import build
from rec_platform.training.experiment import Experiment
from rec_platform.training.fitted_experiment import FittedExperiment
from rec_platform.types import Float32

LONGEST_SESSION = 30
"""Slates of a session where the simulator states no limit; the scale of the context."""

SIMULATOR_SEEDS = {"train": 0, "evaluation": 1, "judging": 2}
"""What tells their random streams apart."""

MIN_USERS = 20
"""Fewer users with enough events cannot be split into a training and an evaluation population."""


@dataclass(frozen=True)
class World:
    """Attributes:
    catalog: the items.
    train: simulator that policies learn in.
    evaluation: simulator they are judged in: for learned users, fitted on *other* users of the log.
    judging: simulator that chooses while training, fitted on training users that nothing else is fitted on; None where
        the training simulator does.
    histories, user_features: of the training users; None in a classic environment.
    encoder: of user features; None in a classic environment.
    rule: which events count.
    dataset: where the log came from.
    fit: what is known of the simulators' fits.
    exposures: what the training users were shown; None where the log does not know.
    logged: what offline algorithms learn from: the decisions shown to the training users; None for the others.
    """

    catalog: Catalog
    train: Simulator
    evaluation: Simulator
    judging: Simulator | None = None
    histories: Histories | None = None
    user_features: Float32 | None = None
    encoder: UserEncoder | None = None
    rule: FeedbackRule = field(default_factory=FeedbackRule)
    dataset: DatasetReference | None = None
    fit: dict[str, Any] | None = None
    exposures: Exposures | None = None
    logged: LoggedDecisions | None = None

    @property
    def judges(self) -> Simulator:
        """The simulator that chooses between networks and tunes weights, before and while training."""
        return self.judging or self.train

    def variant(self, name: str) -> World:
        """The world with every simulator replaced by its variant ``name`` (`Simulator.variants`)."""
        judging = self.judging.variants()[name] if self.judging else None
        train, evaluation = self.train.variants()[name], self.evaluation.variants()[name]
        return replace(self, train=train, evaluation=evaluation, judging=judging)


def build_world(experiment: Experiment | FittedExperiment, cache: Path) -> World:
    """Build or fit the simulators.

    Args:
        cache: folder for fitted simulators; one is fitted once for the same log, settings and seed.

    Raises:
        InputError: the dataset is missing or too small.
    """
    assert experiment.simulator is not None
    if isinstance(experiment.simulator, LearnedSimulatorConfig):
        return _learned(experiment, experiment.simulator, cache)
    if isinstance(experiment.simulator, MarketplaceConfig) and experiment.data.dataset is not None:
        return _marketplace_of_log(experiment, experiment.simulator, experiment.data.dataset)
    simulator = build(experiment.simulator)
    catalog = simulator.catalog if isinstance(simulator, Marketplace) else _classic_catalog(simulator)
    return World(catalog, simulator, simulator)


def _classic_catalog(simulator: Classic) -> Catalog:
    """Items of a classic environment, named by what they are: topics, or documents of a made-up catalogue."""
    features = simulator.item_features
    if isinstance(simulator, InterestEvolution):
        names = feature_names = tuple(f"topic-{i:02d}" for i in range(len(features)))
    else:
        names, feature_names = tuple(f"document-{i:04d}" for i in range(len(features))), simulator.item_feature_names
    share = np.full(len(features), 1.0 / len(features), dtype=np.float32)
    return Catalog(names, names, features, feature_names, share)


def _learned(experiment: Experiment | FittedExperiment, config: LearnedSimulatorConfig, cache: Path) -> World:
    assert experiment.data.dataset is not None
    dataset = Dataset.open(experiment.data.dataset)
    catalog, encoder, rule = dataset.catalog(), dataset.user_encoder(), dataset.feedback_rule
    if config.slate_size > len(catalog):
        raise InputError("simulator.slate_size", f"{config.slate_size} is above the {len(catalog)} items of the log")
    log = UserLog.read(
        dataset, catalog=catalog, encoder=encoder, min_events=config.min_history + 1, channels=config.channels
    )
    if len(log) < MIN_USERS:
        raise InputError(
            "data.dataset",
            f"{len(log)} users have more than {config.min_history} positive or negative events, {MIN_USERS} are needed",
            "ingest a longer log, or lower simulator.min_history",
        )
    share, judging = experiment.data.evaluation_share, experiment.data.judging_share
    parts = {"train": (1.0 - share) * (1.0 - judging), "evaluation": share, "judging": (1.0 - share) * judging}
    parts = {name: part for name, part in parts.items() if part}
    rows = dict(zip(parts, split_users(len(log), list(parts.values()), experiment.seed), strict=True))
    key = json.dumps([dataset.hash, config.model_dump(mode="json"), parts, experiment.seed], sort_keys=True)
    folder = cache / hashlib.sha256(key.encode()).hexdigest()[:16]
    simulators, fit = {}, {}
    for name in parts:
        members = config.members - config.held_back if name == "train" else config.held_back
        seed = experiment.seed * len(SIMULATOR_SEEDS) + SIMULATOR_SEEDS[name]
        simulator, fit[name] = _fitted(folder / name, log.select(rows[name]), config, members=members, seed=seed)
        # Pessimism is for training; judged is what users really answer.
        if name != "train" and config.pessimism:
            simulator = simulator.with_config(config.model_copy(update={"pessimism": 0.0}))
        simulators[name] = simulator
    train_rows = rows["train"]
    logged = None
    if experiment.algorithm.offline:
        logged = _logged(log.select(train_rows), dataset, simulators["train"].spec, config.reward)
    bias = SelectionBias.of(dataset)
    if bias is not None:
        fit["selection_bias"] = asdict(bias)
    return World(
        catalog=catalog,
        train=simulators["train"],
        evaluation=simulators["evaluation"],
        judging=simulators.get("judging"),
        histories=log.histories.select(train_rows),
        user_features=log.user_features[train_rows],
        encoder=encoder,
        rule=rule,
        dataset=DatasetReference(name=dataset.name, hash=dataset.hash),
        fit=fit,
        exposures=log.select(train_rows).exposures,
        logged=logged,
    )


def _marketplace_of_log(experiment: Experiment | FittedExperiment, config: MarketplaceConfig, folder: Path) -> World:
    """The users who made a generated log. An offline algorithm learns from all of it and is judged by all of them."""
    dataset = Dataset.open(folder)
    simulator = Marketplace.of_dataset(
        dataset, history_length=config.history_length, slate_size=config.slate_size, repeats=config.repeats
    )
    for name, value in config:
        true = getattr(simulator.config, name)
        if value not in (true, MarketplaceConfig.model_fields[name].default):
            raise InputError(f"simulator.{name}", f"{value}, but the dataset was made with {true}", "leave it out")
    logged = None
    if experiment.algorithm.offline:
        reward = {CONSUME: 1.0, "purchase": simulator.config.purchase_reward}
        logged = _logged(UserLog.read(dataset), dataset, simulator.spec, reward)
    return World(
        catalog=simulator.catalog,
        train=simulator,
        evaluation=simulator,
        encoder=dataset.user_encoder(),
        rule=dataset.feedback_rule,
        dataset=DatasetReference(name=dataset.name, hash=dataset.hash),
        logged=logged,
    )


def _logged(log: UserLog, dataset: Dataset, spec: SimulatorSpec, reward: Mapping[str, float]) -> LoggedDecisions:
    """The decisions of ``log`` in the layout of simulated users of ``spec``."""
    if spec.context_names != CONTEXT_NAMES:
        problem = f"its users show {', '.join(spec.context_names)}, the log's decisions {', '.join(CONTEXT_NAMES)}"
        raise InputError("simulator.sessions", problem, "simulate one session a user")
    logged = LoggedDecisions.build(
        log,
        history_length=spec.history_length,
        max_session_slates=spec.max_steps or LONGEST_SESSION,
        reward=reward,
        dataset=dataset,
    )
    if logged.slate_size != spec.slate_size:
        problem = f"{spec.slate_size}, but the log shows slates of {logged.slate_size}"
        raise InputError("simulator.slate_size", problem, f"set it to {logged.slate_size}")
    return logged


def _fitted(
    folder: Path, log: UserLog, config: LearnedSimulatorConfig, *, members: int, seed: int
) -> tuple[LearnedSimulator, dict[str, Any]]:
    """The simulator saved in ``folder``, or a fresh fit that is then saved there."""
    report = folder / "fit.json"
    if report.exists():
        return LearnedSimulator.load(folder), json.loads(report.read_text())
    simulator, fitted = LearnedSimulator.fit(log, config, members=members, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    simulator.save(folder)
    content = fitted.to_dict()
    beside = folder / "fit.json.new"
    beside.write_text(json.dumps(content))
    beside.rename(report)  # last: a folder without it is not taken for whole
    return simulator, content
