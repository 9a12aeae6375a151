"""The contract of the search for small changes: the nearest success is kept; rules draw, or need no gradient."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

import featlab as fl

from known import Cube


class Threshold(nn.Module):
    """Two classes, the second where the mean is above a half."""

    def __init__(self):
        super().__init__()
        self.passes = []

    def forward(self, images):
        self.passes.append((len(images), torch.is_grad_enabled()))
        value = images.flatten(1).mean(dim=1) - 0.5
        return torch.stack([-value, value], dim=1)


@dataclass(frozen=True)
class Walk(fl.StepRule):
    """Step by given amounts from the centre, whatever the gradient."""

    amounts: tuple[float, ...] = (0.4, 0.2, 0.05, 0.3)
    needs_gradient = False

    def begin(self, points, *, steps, key):
        assert len(key.examples) == len(points)
        return {"number": torch.zeros(len(points), dtype=torch.int64), "identity": key.examples.clone()}

    def update(self, points, grad, scores, center, *, within, step_size, state, out=None):
        moved = within.project(center + torch.tensor(self.amounts)[state["number"], None], center)
        return (moved if out is None else out.copy_(moved)), {**state, "number": state["number"] + 1}


def problem(model, center, **options):
    labels = torch.zeros(len(center), dtype=torch.int64)
    return fl.Problem(
        fl.margin(model, labels),
        center,
        Cube(1.0),
        4,
        0.0,
        rule=Walk(),
        done=fl.misclassified(model, labels),
        keep="nearest",
        **options,
    )


def test_each_ends_with_its_nearest_success_or_with_the_centre():
    center = torch.tensor([[0.05, 0.05], [0.35, 0.35], [0.48, 0.48]])
    found = fl.maximize(problem(Threshold(), center))
    torch.testing.assert_close(found - center, torch.tensor([[0.0], [0.2], [0.05]]).expand(3, 2))


def test_who_is_near_enough_leaves_and_who_is_farther_does_not_count():
    center, model = torch.tensor([[0.35, 0.35], [0.48, 0.48], [0.05, 0.05]]), Threshold()
    enough = torch.tensor([0.2, 0.6, 0.8]) * 2**0.5 + 1e-6
    found = fl.maximize(problem(model, center, enough=enough))
    torch.testing.assert_close(found - center, torch.tensor([[0.2], [0.4], [0.0]]).expand(3, 2))
    assert [count for count, _ in model.passes] == [3, 3, 2, 1, 1]


def test_a_rule_without_need_of_gradients_has_none():
    model = Threshold()
    fl.maximize(problem(model, torch.full((2, 2), 0.4)))
    assert not any(grad for _, grad in model.passes)


def test_distance_is_that_of_the_decoded_change():
    center = torch.rand(3, 2, 4, 4)
    torch.testing.assert_close(
        Cube(0.1).distance(center + 0.5, center), torch.full((3,), 0.5 * 32**0.5, dtype=torch.float64)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [({"done": None}, "needs `done`"), ({"keep": "best", "enough": 0.1}, "content"), ({"keep": "far"}, "nearest")],
)
def test_what_makes_no_sense_is_refused(options, message):
    model, labels = Threshold(), torch.zeros(2, dtype=torch.int64)
    given = {"keep": "nearest", "done": fl.misclassified(model, labels), **options}
    with pytest.raises(ValueError, match=message):
        fl.Problem(fl.margin(model, labels), torch.full((2, 2), 0.4), Cube(0.1), 1, 0.1, **given)
