"""Several response models of the same log, their arrays one above the other so that a gather serves users of all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rec_platform.errors import InputError
from rec_platform.simulation.response.model import ResponseModel
from rec_platform.types import Float32


@dataclass(frozen=True)
class ResponseEnsemble:
    """R members; row r N + i of a stacked array is item i of member r.

    Attributes:
        members: the models; their arrays are parts of those below.
        item_vectors: float32 [R N, d].
        item_bias: float32 [E, R N].
        item_mean: float32 [R N].
        age_mix: float32 [R, 2, 2].
    """

    members: tuple[ResponseModel, ...]
    item_vectors: Float32
    item_bias: Float32
    item_mean: Float32
    age_mix: Float32

    @staticmethod
    def of(members: tuple[ResponseModel, ...]) -> ResponseEnsemble:
        """Stack models of the same sizes.

        Raises:
            InputError: no model, or models of different sizes.
        """
        if not members:
            raise InputError("members", "there is no response model", "fit at least one")
        first = members[0]
        shapes = {(m.item_vectors.shape, m.item_bias.shape, m.history_length, m.num_user_features) for m in members}
        if len(shapes) > 1:
            raise InputError("members", "differ in items, width, channels, history or features", "fit them together")
        mix = np.stack([model.age_mix for model in members])
        if len(members) == 1:
            return ResponseEnsemble(members, first.item_vectors, first.item_bias, first.item_mean, mix)
        size = first.num_items
        vectors = np.concatenate([model.item_vectors for model in members])
        bias = np.concatenate([model.item_bias for model in members], axis=1)
        mean = np.concatenate([model.item_mean for model in members])
        views = []
        for number, model in enumerate(members):
            own = slice(number * size, (number + 1) * size)
            views.append(replace(model, item_vectors=vectors[own], item_bias=bias[:, own], item_mean=mean[own]))
        return ResponseEnsemble(tuple(views), vectors, bias, mean, mix)

    @property
    def num_items(self) -> int:
        return self.members[0].num_items
