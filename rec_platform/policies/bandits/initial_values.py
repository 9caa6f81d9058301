"""Values of what was never shown: zero, optimistic, or what the log's counts suggest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field, model_validator

from rec_platform.errors import InputError
from rec_platform.policies.bandits.statistics import check_cells
from rec_platform.policies.fitting import FitLog
from rec_platform.policies.online import LearnerSpace, OnlineSettings, quantities
from rec_platform.types import Float64


class InitialValues(OnlineSettings):
    """A part of the settings of learners that act by mean values.

    Attributes:
        initial_value: V₀ of every item; above all rewards it is optimistic: each item is tried.
        initial_from_counts: add the item's quantity (`LearnerSpace.quantities`): of a log, how often it was taken in
            the context.
        initial_range: (low, high): quantities are first put on the scale of rewards, in each context 0 becomes low and
            the largest high. A context of which nothing is known takes those of all contexts together.
        initial_noise: standard deviation of a normal draw, once for each value.
        prior_count: n₀, how many rewards V₀ counts as; at 0 the first reward replaces it.
    """

    initial_value: float = 0.0
    initial_from_counts: bool = False
    initial_range: tuple[float, float] | None = None
    initial_noise: float = Field(default=0.0, ge=0)
    prior_count: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _range_of_counts(self) -> InitialValues:
        if self.initial_range is not None and not self.initial_from_counts:
            raise ValueError("initial_range is for initial_from_counts: set that too")
        return self

    def space(self, log: FitLog, slate_size: int) -> LearnerSpace:
        space = super().space(log, slate_size)
        if not self.initial_from_counts:
            return space
        key = self.key(space)
        check_cells((key.size, space.num_items))
        return replace(space, quantities=quantities(log, key, self.context_names))

    def initial_values(self, space: LearnerSpace, rows: int, rng: np.random.Generator) -> Float64:
        """V₀ float64 broadcasting to [rows, N].

        Raises:
            InputError: counts are asked for and not there, or of other sizes.
        """
        values = np.full((1, 1), self.initial_value)
        if self.initial_from_counts:
            if space.quantities is None:
                raise InputError("algorithm.initial_from_counts", "no counts of items are known", "fit it to a log")
            quantities = np.atleast_2d(np.asarray(space.quantities, dtype=np.float64))
            if quantities.shape[1] != space.num_items or rows % len(quantities):
                problem = f"counts {quantities.shape} for {rows} contexts × {space.num_items} items"
                raise InputError("quantities", problem, "give one row, or one a context")
            quantities = self._on_scale(quantities)
            repeats = rows // len(quantities) if len(quantities) > 1 else 1
            values = values + np.tile(quantities, (repeats, 1))
        if self.initial_noise:
            values = values + self.initial_noise * rng.standard_normal((rows, space.num_items))
        return values

    def _on_scale(self, quantities: Float64) -> Float64:
        if self.initial_range is None:
            return quantities
        low, high = self.initial_range
        known = np.where(quantities.any(axis=1, keepdims=True), quantities, quantities.sum(axis=0))
        return low + (high - low) * known / np.maximum(known.max(axis=1, keepdims=True), 1e-300)
