"""How near items are to a proto-action: an actor names a point among the item vectors, the nearest items are meant.

Dulac-Arnold et al. 2015 (Wolpertinger), section 4: the actor's point is mapped to its nearest actions, and the critic
chooses among them. Only operations that ONNX has, and no step depends on the data, so that what is served is exported
together with the actor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from rec_platform.errors import InputError, did_you_mean

Measure = Literal["inner_product", "cosine", "euclidean", "correlation"]
"""Larger is nearer: p·v; the cosine of the angle between them; -|p - v|²; Pearson's correlation over the d entries."""

CONSTANT = 32
"""Rounding leaves so many units in the last place when a mean is taken from a constant vector."""


def similarity(proto: Tensor, vectors: Tensor, measure: Measure) -> Tensor:
    """Similarity [B, M]; 0 where cosine or correlation is undefined, for a vector of zeros or of one repeated number.

    Args:
        proto: [B, d].
        vectors: [B, M, d], or [M, d] where all share them.
        measure: see `Measure`.

    Raises:
        InputError: an unknown measure, or widths that differ.
    """
    if measure not in get_args(Measure):
        raise InputError("similarity", f"'{measure}' is unknown", did_you_mean(measure, get_args(Measure)))
    if proto.shape[-1] != vectors.shape[-1]:
        raise InputError("similarity", f"a proto-action of width {proto.shape[-1]} for vectors of {vectors.shape[-1]}")
    return _MEASURES[measure](proto, vectors)


def nearest(similarity: Tensor, available: Tensor, count: int | Tensor) -> Tensor:
    """Bool [B, M]: the ``count`` nearest available ones, or all available ones where there are fewer.

    Never more than ``count``: of equally near ones the first positions win.

    Args:
        similarity: [B, M], no NaN.
        available: bool [B, M].
        count: at least 1; or int64 [B, 1], one for each row (at least 1, which is not looked at).

    Raises:
        InputError: ``count`` is below 1.
    """
    if isinstance(count, int) and count < 1:
        raise InputError("nearest", f"{count} is below 1", "ask for at least one item")
    # Finite, so that an available one is above an unavailable one whatever its similarity.
    finite = similarity.clamp(min=torch.finfo(similarity.dtype).min)
    keys = torch.where(available, finite, -torch.inf)
    if isinstance(count, int):
        padding = torch.full_like(keys[:, :1], -torch.inf).expand(-1, count)  # M may be below count, and may vary
        last = torch.cat([keys, padding], dim=1).topk(count, dim=1).values[:, -1:]
    else:
        count = torch.minimum(count, available.sum(1, keepdim=True))
        last = keys.sort(dim=1, descending=True).values.gather(1, (count - 1).clamp(min=0))
    above, equal = keys > last, keys == last
    left = count - above.sum(1, keepdim=True)
    return (above | (equal & (equal.long().cumsum(1) <= left))) & available


def _inner_product(proto: Tensor, vectors: Tensor) -> Tensor:
    if vectors.dim() == 2:
        return proto @ vectors.T
    return torch.bmm(vectors, proto.unsqueeze(2)).squeeze(2)


def _cosine(proto: Tensor, vectors: Tensor) -> Tensor:
    return _inner_product(_unit(proto, 0.0), _unit(vectors, 0.0))


def _correlation(proto: Tensor, vectors: Tensor) -> Tensor:
    return _inner_product(_centred_unit(proto), _centred_unit(vectors))


def _euclidean(proto: Tensor, vectors: Tensor) -> Tensor:
    if vectors.dim() == 3:
        return -(proto.unsqueeze(1) - vectors).pow(2).sum(2)
    # Without differences [B, M, d]. Distances stay the same about the vectors' mean, and less is cancelled there.
    centre = vectors.mean(0)
    proto, vectors = proto - centre, vectors - centre
    squares = proto.pow(2).sum(1, keepdim=True) + vectors.pow(2).sum(1)
    return (2.0 * (proto @ vectors.T) - squares).clamp(max=0.0)


def _centred_unit(x: Tensor) -> Tensor:
    """Less its mean and of length 1; zeros where only rounding is left."""
    rounding = CONSTANT * torch.finfo(x.dtype).eps * torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return _unit(x - x.mean(-1, keepdim=True), rounding)


def _unit(x: Tensor, least: Tensor | float) -> Tensor:
    """Of length 1; zeros where the length is not above ``least``."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(length > least, length, torch.inf)


_MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "inner_product": _inner_product,
    "cosine": _cosine,
    "euclidean": _euclidean,
    "correlation": _correlation,
}
