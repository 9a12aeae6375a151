"""Precision and recall by neighbours: sets whose answers are known."""

import pytest
import torch

import featlab as fl
from featlab.synthesis.coverage import among


def grid(low, high):
    return torch.arange(low, high, dtype=torch.float64)[:, None]


def test_among_by_hand():
    members = torch.tensor([[0.0], [1.0], [2.0], [10.0]], dtype=torch.float64)
    rows = torch.tensor([[3.0], [3.1], [19.0], [19.1], [-2.0], [-2.1], [9.0]], dtype=torch.float64)
    # Second nearest others: 2, 1, 2 and 9 away from 0, 1, 2 and 10.
    assert among(rows, members, neighbours=2).tolist() == [True, True, True, False, True, False, True]
    # Nearest others: 1, 1, 1 and 8 away.
    assert among(rows, members, neighbours=1).tolist() == [True, True, False, False, False, False, True]


def test_half_a_set_has_full_precision_and_half_the_recall():
    made, real = grid(0, 50), grid(0, 100)
    found = fl.precision_recall(made, real, neighbours=3)
    assert found.precision.accuracy == 1.0
    assert found.recall.accuracy == pytest.approx(0.53, abs=0.011)  # and three beyond the edge
    turned = fl.precision_recall(real, made, neighbours=3)
    assert (turned.precision, turned.recall) == (found.recall, found.precision)


def test_far_sets_have_neither_and_intervals_say_how_sure():
    found = fl.precision_recall(grid(0, 40), grid(1000, 1040))
    assert (found.precision.accuracy, found.recall.accuracy) == (0.0, 0.0)
    assert found.precision.high == pytest.approx(0.0876, abs=1e-3)  # Wilson, 0 of 40


def test_copies_in_a_set_do_not_reach_out():
    """A member's copies are its neighbours at distance 0."""
    members = torch.cat([grid(0, 1)] * 4)
    assert among(grid(0, 2), members, neighbours=3).tolist() == [True, False]


def test_neighbours_must_exist():
    with pytest.raises(ValueError, match="neighbours must be 1 or more"):
        fl.precision_recall(grid(0, 3), grid(0, 10), neighbours=3)
