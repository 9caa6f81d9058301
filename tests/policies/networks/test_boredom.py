"""What likeness costs: rising and convex, whatever has been learned, and at first as steep as was asked for."""

from __future__ import annotations

import pytest
import torch

from rec_platform.policies.networks.features import Boredom

LIKENESS = torch.linspace(-1.0, 1.0, 401, dtype=torch.float64)


def slopes(boredom: Boredom) -> torch.Tensor:
    """Of the 400 pieces of 0.005."""
    cost = boredom.double()(LIKENESS)
    return cost.diff() / LIKENESS.diff()


@pytest.mark.parametrize("slope", [1e-3, 1.0, 30.0])
def test_initial_slope(slope: float) -> None:
    got = slopes(Boredom(slope)).detach() / slope
    at = (LIKENESS[1:] + LIKENESS[:-1]) / 2
    expected = (at > 0).double() + 0.1 * sum((at > knot).double() for knot in Boredom.KNOTS[1:])
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)
    assert Boredom(slope)(torch.zeros(3)).abs().max() == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_rising_and_convex_whatever_is_learned(seed: int) -> None:
    torch.manual_seed(seed)
    boredom = Boredom(2.0)
    with torch.no_grad():
        boredom.raw += torch.randn_like(boredom.raw)
    got = slopes(boredom).detach()
    assert (got[LIKENESS[1:] <= 0] == 0.0).all()  # being unlike what went before is no merit of its own
    assert got[LIKENESS[:-1] >= 0].min() > 0.0
    assert got.diff().min() > -1e-9


def test_every_slope_is_learned() -> None:
    boredom = Boredom(1.0)
    boredom(torch.tensor([0.9])).sum().backward()
    assert boredom.raw.grad is not None
    assert boredom.raw.grad.min() > 0.0


def test_learned_costs_do_not_depend_on_where_another_experiment_starts() -> None:
    """A run that starts from an earlier one has that run's costs, whatever its own weight of likeness says."""
    earlier, later = Boredom(10.0), Boredom(0.5)
    later.load_state_dict(earlier.state_dict())
    torch.testing.assert_close(later(LIKENESS), earlier(LIKENESS))
