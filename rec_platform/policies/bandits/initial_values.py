"""Values of what was never shown: zero, optimistic, or what the log's counts suggest."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, Field

from rec_platform.errors import InputError
from rec_platform.policies.bandits.learner import BanditSpace
from rec_platform.types import Float64


class InitialValues(BaseModel):
    """A part of the settings of bandits that act by mean values.

    Attributes:
        initial_value: V₀ of every item; above all rewards it is optimistic: each item is tried.
        initial_from_counts: add the item's quantity (`BanditSpace.quantities`).
        initial_noise: standard deviation of a normal draw, once for each value.
        prior_count: n₀, how many rewards V₀ counts as; at 0 the first reward replaces it.
    """

    initial_value: float = 0.0
    initial_from_counts: bool = False
    initial_noise: float = Field(default=0.0, ge=0)
    prior_count: float = Field(default=0.0, ge=0)

    def initial_values(self, space: BanditSpace, rows: int, rng: np.random.Generator) -> Float64:
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
            repeats = rows // len(quantities) if len(quantities) > 1 else 1
            values = values + np.tile(quantities, (repeats, 1))
        if self.initial_noise:
            values = values + self.initial_noise * rng.standard_normal((rows, space.num_items))
        return values
