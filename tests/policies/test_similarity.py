"""Similarities against SciPy's distances, the nearest items against a sort, and both through ONNX."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import get_args

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from torch import Tensor, nn

from rec_platform.errors import InputError
from rec_platform.policies.networks.similarity import Measure, nearest, similarity

MEASURES: tuple[Measure, ...] = get_args(Measure)

ORACLES: dict[Measure, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "inner_product": lambda p, v: p @ v.T,
    "cosine": lambda p, v: 1 - cdist(p, v, "cosine"),
    "euclidean": lambda p, v: -cdist(p, v, "sqeuclidean"),
    "correlation": lambda p, v: 1 - cdist(p, v, "correlation"),
}


def random_vectors(seed: int, batch: int, items: int, width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((batch, width), (items, width))
    proto, vectors = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return proto, vectors


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_against_scipy(measure: Measure, offset: float) -> None:
    proto, vectors = random_vectors(0, 7, 31, 6)
    proto, vectors = proto + offset, vectors + offset
    expected = ORACLES[measure](proto.numpy(), vectors.numpy())
    np.testing.assert_allclose(similarity(proto, vectors, measure), expected, rtol=1e-9, atol=1e-9)
    own = torch.stack([vectors[torch.randperm(31)] for _ in range(7)])
    for row, got in enumerate(similarity(proto, own, measure)):
        expected = ORACLES[measure](proto[row : row + 1].numpy(), own[row].numpy())[0]
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)
    single = similarity(proto.float(), vectors.float(), measure)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, ORACLES[measure](proto.numpy(), vectors.numpy()), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("measure", ["cosine", "correlation"])
@pytest.mark.parametrize("number", [0.0, 0.1, -3.3, 1e6, 1e-6])
def test_vectors_without_a_direction(measure: Measure, number: float) -> None:
    """0 and no NaN, neither in the answer nor in the gradient; the mean of a constant float32 vector is rounded."""
    constant = torch.full((1, 1, 7), number)
    proto, vectors = (part.float() for part in random_vectors(1, 2, 3, 7))
    both = torch.cat([vectors.expand(2, 3, 7), constant.expand(2, 1, 7)], dim=1).requires_grad_()
    for a in (proto.requires_grad_(), constant[0].expand(2, 7).clone().requires_grad_()):
        got = similarity(a, both, measure)
        assert got.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(got.sum(), [a, both]))
        if measure == "correlation" or number == 0:
            assert (got[:, 3] == 0).all()
    if measure == "correlation" or number == 0:
        assert (got == 0).all()


@pytest.mark.parametrize("measure", MEASURES)
def test_an_item_is_nearest_to_itself_or_further_along(measure: Measure) -> None:
    _, vectors = random_vectors(2, 1, 50, 8)
    vectors = torch.nn.functional.normalize(vectors.float() - vectors.float().mean(1, keepdim=True), dim=1)
    got = similarity(vectors, vectors, measure)
    assert torch.equal(got.argmax(1), torch.arange(50))
    if measure == "euclidean":
        assert (got <= 0).all()
        assert got.diagonal().min() > -1e-5


def test_euclidean_distances_far_from_the_origin() -> None:
    """Squares of 1000 are rounded to 0.06 in float32; differences of items about their mean are not."""
    proto, vectors = random_vectors(3, 4, 20, 5)
    got = similarity((proto + 1000).float(), (vectors + 1000).float(), "euclidean")
    np.testing.assert_allclose(got, -cdist(proto, vectors, "sqeuclidean"), atol=0.01)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    items=st.integers(1, 12),
    count=st.integers(1, 15),
    missing=st.floats(0, 1),
    levels=st.sampled_from([2, 4, 1000]),
)
def test_nearest_against_a_sort(seed: int, items: int, count: int, missing: float, levels: int) -> None:
    rng = np.random.default_rng(seed)
    near = rng.integers(-levels, levels, (6, items)).astype(np.float32)  # few levels: many ties
    available = rng.random((6, items)) >= missing
    got = nearest(torch.from_numpy(near), torch.from_numpy(available), count)
    assert got.dtype == torch.bool
    for row in range(6):
        order = sorted(np.flatnonzero(available[row]), key=lambda i: (-near[row, i], i))
        assert np.flatnonzero(got[row]).tolist() == sorted(order[:count])


def test_an_available_item_at_infinite_distance_is_still_available() -> None:
    near = torch.tensor([[5.0, -torch.inf, -torch.inf, 1.0]])
    got = nearest(near, torch.tensor([[False, True, True, True]]), 2)
    assert got.tolist() == [[False, True, False, True]]
    assert not nearest(near, torch.zeros(1, 4, dtype=torch.bool), 2).any()


class _Masks(nn.Module):
    """All measures on shared and on own vectors, [B, measures, M] each, and the three nearest of the shared ones."""

    def forward(self, proto: Tensor, shared: Tensor, own: Tensor, available: Tensor) -> tuple[Tensor, ...]:
        near = torch.stack([similarity(proto, shared, measure) for measure in MEASURES], dim=1)
        near_own = torch.stack([similarity(proto, own, measure) for measure in MEASURES], dim=1)
        return near, near_own, nearest(near[:, 1], available, 3)


def test_through_onnx_with_any_number_of_users_and_items() -> None:
    def inputs(batch: int, items: int) -> tuple[Tensor, ...]:
        proto, shared = (part.float() for part in random_vectors(batch, batch, items, 4))
        shared[0] = 0.0
        own = torch.stack([shared.roll(row, dims=0) for row in range(batch)])
        return proto, shared, own, torch.rand(batch, items, generator=torch.Generator().manual_seed(0)) < 0.8

    auto = torch.export.Dim.AUTO
    shapes = ({0: auto}, {0: auto}, {0: auto, 1: auto}, {0: auto, 1: auto})
    network, buffer = _Masks().eval(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(network, inputs(3, 9), dynamo=True, dynamic_shapes=shapes, verbose=False)
    assert program is not None
    program.save(buffer)  # type: ignore[arg-type]
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    for batch, items in ((3, 9), (1, 30), (5, 2)):  # also fewer items than are asked for
        given_ = inputs(batch, items)
        *near, mask = session.run(None, {n: x.numpy() for n, x in zip(names, given_, strict=True)})
        *expected_near, expected_mask = network(*given_)
        for got, expected in zip(near, expected_near, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(mask, expected_mask)


def test_errors() -> None:
    proto, vectors = random_vectors(0, 2, 3, 4)
    with pytest.raises(InputError, match="did you mean 'cosine'"):
        similarity(proto, vectors, "cosin")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="width 3 for vectors of 4"):
        similarity(proto[:, :3], vectors, "cosine")
    with pytest.raises(InputError, match="below 1"):
        nearest(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), 0)
