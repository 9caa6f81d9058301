"""A simulator learned from logs: real users at a point of their own history, answering by a fitted response model.

A simulated user is a user of the log at a random point of his history: his features and his last L events before it.

    choice      one item of the slate at most is consumed: mass exp(x_j) each, x_j the model's log-odds of a positive
                response, and k for none; so a slate of k equal items is answered at the rate the log has for one
    reward      1 if an item was consumed (response channel "click"), else 0
    history     the consumed item is appended with +1; a slate of which nothing was chosen leaves no trace
    patience    see `patience`: slates without a choice and slates like the last items consumed use it up
    candidates  the whole catalogue (position j = item j) or a random part, drawn anew each step; never an item that
                stands in the visible history
    context     slates so far / most slates of a session; share of them that was answered (0 before the first)

A log holds what its users chose to meet; of other items the model extrapolates, and rates them too well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from safetensors.numpy import load_file, save_file

from rec_platform.data.catalog import Catalog
from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.simulation.learned_users import LearnedUsers
from rec_platform.simulation.patience import PatienceConfig, recently_consumed
from rec_platform.simulation.response_fit import FitReport, ResponseFitConfig, fit_response_model
from rec_platform.simulation.response_model import ResponseModel
from rec_platform.simulation.simulator import SimulatorSpec
from rec_platform.types import Float32, Int32


class LearnedSimulatorConfig(BaseModel):
    """What a learned simulator shows, how its users lose patience, and how its response model is fitted."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    slate_size: int = Field(default=5, ge=1)
    """k."""
    history_length: int = Field(default=50, ge=1)
    """L, the visible history."""
    num_candidates: int | None = Field(default=None, ge=1, validate_default=True)
    """M items drawn anew each step; None = the whole catalogue."""
    min_history: int = Field(default=5, ge=0)
    """Events a user must have before the point at which he enters."""
    patience: PatienceConfig = Field(default_factory=PatienceConfig)
    """When users leave."""
    response: ResponseFitConfig = Field(default_factory=ResponseFitConfig)
    """How the response model is fitted."""

    @field_validator("num_candidates")
    @classmethod
    def _hold_a_slate(cls, num_candidates: int | None, info: ValidationInfo) -> int | None:
        slate_size = info.data.get("slate_size", 0)
        if num_candidates is not None and slate_size > num_candidates:
            raise ValueError(
                f"slate_size {slate_size} is more than the {num_candidates} candidates: set slate_size to at most "
                f"{num_candidates} or num_candidates to at least {slate_size}"
            )
        return num_candidates


class LearnedSimulator:
    """The users of a log as a `Simulator`.

    Attributes:
        config: see `LearnedSimulatorConfig`.
        catalog: N items.
        model: answers for the users.
        histories: of U users, where simulated users come from.
        user_features: float32 [U, F].
        content: float32 [N, D] the items' features scaled to length 1.
        spec: sizes and names.
        item_features: float32 [N, D] as the catalogue has them.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        model: ResponseModel,
        histories: Histories,
        user_features: Float32,
        config: LearnedSimulatorConfig | None = None,
        user_feature_names: tuple[str, ...] | None = None,
    ) -> None:
        """Put the parts together; `fit` also makes the model.

        Raises:
            InputError: parts that do not belong together, a catalogue too small, or no user with enough history.
        """
        config = config or LearnedSimulatorConfig()
        self.config, self.catalog, self.model, self.histories = config, catalog, model, histories
        self.user_features = np.ascontiguousarray(user_features, dtype=np.float32)
        names = user_feature_names or tuple(f"user_{j}" for j in range(self.user_features.shape[1]))
        self.item_features: Float32 = catalog.features
        self.content = unit_rows(catalog.features)
        size = len(catalog)
        self.spec = SimulatorSpec(
            num_items=size,
            num_candidates=config.num_candidates or size,
            slate_size=config.slate_size,
            history_length=config.history_length,
            user_feature_names=names,
            context_names=("session_slates", "session_response_rate"),
            response_channels=("click",),
            full_catalogue=config.num_candidates is None,
            max_steps=config.patience.max_slates,
        )
        self._check()
        counts = np.diff(histories.offsets)
        self.eligible_users: NDArray[np.int64] = np.flatnonzero(counts >= config.min_history)
        if not len(self.eligible_users):
            most = int(counts.max()) if len(counts) else 0
            raise InputError(
                "simulator.min_history",
                f"no user has {config.min_history} events (the most is {most})",
                f"set it to at most {most}, or give a longer log",
            )

    @staticmethod
    def fit(
        catalog: Catalog,
        histories: Histories,
        user_features: Float32,
        config: LearnedSimulatorConfig | None = None,
        *,
        seed: int = 0,
        user_rows: NDArray | None = None,
        user_feature_names: tuple[str, ...] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[LearnedSimulator, FitReport]:
        """Fit the response model to a log and put a simulator of its users around it.

        Args:
            user_features: float32 [U, F], finite, of the order of 1.
            user_rows: int or bool [U], which users to fit on and to simulate; all where None. An evaluation simulator
                is fitted on other users than the training simulator.
            progress: called with (batches done, batches in all) while fitting.

        Raises:
            InputError: the log or the catalogue does not allow it; the message says what does.
        """
        config = config or LearnedSimulatorConfig()
        if user_features.shape[0] != len(histories.offsets) - 1:
            problem = f"{user_features.shape[0]} rows for {len(histories.offsets) - 1} users"
            raise InputError("user_features", problem, "give one row a user of the histories")
        if user_rows is not None:
            histories = histories.select(user_rows)
            user_features = user_features[user_rows]
        _check_catalogue_size(len(catalog), config)
        model, report = fit_response_model(
            content=unit_rows(catalog.features),
            histories=histories,
            user_features=user_features,
            history_length=config.history_length,
            config=config.response,
            seed=seed,
            progress=progress,
        )
        simulator = LearnedSimulator(
            catalog=catalog,
            model=model,
            histories=histories,
            user_features=user_features,
            config=config,
            user_feature_names=user_feature_names,
        )
        return simulator, report

    def users(self, count: int, *, seed: int, staggered: bool = False) -> LearnedUsers:
        """``count`` new users; see `Simulator.users`.

        With ``staggered`` the remaining patience is uniform, and the context that of a user who answered every second
        slate without being bored.
        """
        if count < 1:
            raise InputError("count", f"{count} users", "ask for at least one")
        return LearnedUsers(self, count, seed=seed, staggered=staggered)

    def similarity(self, history: Int32, history_feedback: Float32) -> Float32:
        """Float32 [B, N]: every item's mean cosine similarity to the items lately consumed, as in the patience rule."""
        recent = self.config.patience.recent
        return recently_consumed(self.content, history, history_feedback, recent) @ self.content.T

    def with_config(self, config: LearnedSimulatorConfig) -> LearnedSimulator:
        """The same users and model under other rules (another patience, slate size or candidate number)."""
        return LearnedSimulator(
            catalog=self.catalog,
            model=self.model,
            histories=self.histories,
            user_features=self.user_features,
            config=config,
            user_feature_names=self.spec.user_feature_names,
        )

    def save(self, folder: Path) -> None:
        """Write everything into a folder, made where it is missing; no pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        self.catalog.save(folder)
        self.model.save(folder)
        arrays = {
            "offsets": self.histories.offsets,
            "items": self.histories.items,
            "feedback": self.histories.feedback,
            "timestamps": self.histories.timestamps,
            "user_features": self.user_features,
        }
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "users.safetensors")
        content = {
            "format_version": 1,
            "config": self.config.model_dump(mode="json"),
            "user_feature_names": list(self.spec.user_feature_names),
            "user_ids": list(self.histories.user_ids),
        }
        (folder / "simulator.json").write_text(json.dumps(content) + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> LearnedSimulator:
        """Read what `save` wrote.

        Raises:
            InputError: a file is missing or not what it should be.
        """
        try:
            content = json.loads((folder / "simulator.json").read_text(encoding="utf-8"))
            if content["format_version"] != 1:
                raise InputError(str(folder), f"format {content['format_version']}", "this version reads format 1")
            arrays = load_file(folder / "users.safetensors")
            user_features = arrays.pop("user_features")
            histories = Histories(user_ids=tuple(content["user_ids"]), **arrays)
            config = LearnedSimulatorConfig(**content["config"])
            names = tuple(content["user_feature_names"])
        except InputError:
            raise
        except Exception as error:
            raise InputError(str(folder), f"no readable simulator: {error}") from error
        return LearnedSimulator(
            catalog=Catalog.load(folder),
            model=ResponseModel.load(folder),
            histories=histories,
            user_features=user_features,
            config=config,
            user_feature_names=names,
        )

    def _check(self) -> None:
        config, features = self.config, self.user_features
        _check_catalogue_size(len(self.catalog), config)
        if self.model.num_items != len(self.catalog):
            raise InputError("model", f"knows {self.model.num_items} items, the catalogue has {len(self.catalog)}")
        if self.model.history_length != config.history_length:
            fitted = self.model.history_length
            raise InputError(
                "simulator.history_length", f"{config.history_length}", f"the model was fitted with {fitted}"
            )
        if features.shape != (len(self.histories.offsets) - 1, self.model.num_user_features):
            raise InputError("user_features", f"shape {features.shape} does not fit the histories and the model")
        if len(self.spec.user_feature_names) != features.shape[1]:
            raise InputError(
                "user_feature_names", f"{len(self.spec.user_feature_names)} for {features.shape[1]} features"
            )


def unit_rows(features: Float32) -> Float32:
    """Rows scaled to length 1, rows of zeros left as they are."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return np.ascontiguousarray(features / np.maximum(norms, 1e-8), dtype=np.float32)


def _check_catalogue_size(num_items: int, config: LearnedSimulatorConfig) -> None:
    """There must be enough items outside the visible history for the candidates, or at least for a slate."""
    needed, length = config.num_candidates or config.slate_size, config.history_length
    if needed + length > num_items:
        problem = f"{length} items of history and {needed} to show are more than the catalogue's {num_items}"
        fix = f"set history_length to at most {num_items - needed}"
        if num_items <= needed:
            fix = "set slate_size and num_candidates lower, or give a larger catalogue"
        raise InputError("simulator.history_length", problem, fix)
