"""The smallest change that makes up a linear gap, against a root found by halving and what optimality asks for."""

import math

import pytest
import torch

from featlab.ops import hyperplane_project


def given(dtype=torch.float64):
    torch.manual_seed(11)
    points, normal = torch.rand(6, 3, 4, dtype=dtype), torch.randn(6, 3, 4, dtype=dtype)
    points[0] = points[0].round()
    normal[1, 0] = 0.0
    return points, normal


def gained(points, normal, moved):
    return ((moved - points).double() * normal.double()).flatten(1).sum(dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("order", [1.0, 2.0, math.inf])
def test_the_gap_is_made_up_inside_the_box_and_by_no_more_than_any_other_change(order, dtype):
    points, normal = given(dtype)
    room = torch.where(normal > 0, 1 - points, points)
    most = (normal.abs() * room).flatten(1).sum(dim=1)
    gap = most.double() * torch.tensor([0.0, 0.1, 0.3, 0.5, 0.9, 0.99])
    moved = hyperplane_project(points, normal, gap, order=order)
    torch.testing.assert_close(gained(points, normal, moved), gap, rtol=1e-5, atol=1e-6)
    assert bool(((moved >= 0) & (moved <= 1)).all())
    length = torch.linalg.vector_norm((moved - points).flatten(1).double(), ord=order, dim=1)
    torch.manual_seed(12)
    for _ in range(300):  # Any other change that makes it up, here along random directions from points nearby.
        other = (moved + 0.05 * torch.randn_like(moved)).clamp(0, 1)
        enough = gained(points, normal, other) >= gap
        longer = torch.linalg.vector_norm((other - points).flatten(1).double(), ord=order, dim=1) >= length - 1e-6
        assert bool((longer | ~enough).all())


@pytest.mark.parametrize("order", [1.0, 2.0, math.inf])
def test_signs_scales_and_gaps_that_no_change_makes_up(order):
    points, normal = given()
    gap = torch.linspace(0.2, 0.5, 6, dtype=torch.float64)
    down = hyperplane_project(points, normal, -gap, order=order)
    torch.testing.assert_close(down, hyperplane_project(points, -normal, gap, order=order))
    torch.testing.assert_close(hyperplane_project(points, 1e-9 * normal, -1e-9 * gap, order=order), down)
    corner = hyperplane_project(points, normal, torch.full((6,), 1e6, dtype=torch.float64), order=order)
    assert torch.equal(corner, torch.where(normal > 0, 1.0, torch.where(normal < 0, 0.0, points)))
    nothing = torch.zeros_like(normal)
    assert torch.equal(hyperplane_project(points, nothing, gap, order=order), points)


@pytest.mark.parametrize("order", [1.0, 2.0, math.inf])
def test_examples_do_not_influence_each_other(order):
    points, normal = given()
    gap = torch.linspace(-0.5, 2.5, 6, dtype=torch.float64)
    whole = hyperplane_project(points, normal, gap, order=order)
    for row in range(6):
        alone = hyperplane_project(points[row : row + 1], normal[row : row + 1], gap[row : row + 1], order=order)
        torch.testing.assert_close(alone[0], whole[row], rtol=0, atol=1e-9)


def test_without_a_box_it_is_the_dual_norm_that_counts():
    points, normal = given()
    gap = torch.full((6,), 2.0, dtype=torch.float64)
    for order, dual in ((1.0, math.inf), (2.0, 2.0), (math.inf, 1.0)):
        moved = hyperplane_project(points, normal, gap, order=order, low=-math.inf, high=math.inf)
        length = torch.linalg.vector_norm((moved - points).flatten(1), ord=order, dim=1)
        torch.testing.assert_close(length, 2.0 / torch.linalg.vector_norm(normal.flatten(1), ord=dual, dim=1))


def test_other_orders_are_refused():
    points, normal = given()
    with pytest.raises(ValueError, match="order must be 1, 2 or inf"):
        hyperplane_project(points, normal, torch.ones(6), order=3.0)
