"""Every attack against the closed-form optimum of linear models, in the box."""

import math

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.attacks import Attack, suite

SHAPES = [(8,), (4, 6), (3, 5, 5)]
NORMS = {"linf": math.inf, "l2": 2.0, "l1": 1.0}
ABOVE = {"linf": 1.01, "l2": 1.01, "l1": 1.05}
"""How far above the optimum the smallest change found may be."""


class Linear(nn.Module):
    """Several classes, z = W x + b."""

    def __init__(self, shape, classes, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(classes, math.prod(shape), generator=generator, dtype=torch.float64)
        self.bias = 0.1 * torch.randn(classes, generator=generator, dtype=torch.float64) - self.weight.sum(dim=1) / 2

    def forward(self, images):
        return (images.flatten(1).double() @ self.weight.T + self.bias).to(images.dtype)


def smallest(x, slope, gap, order):
    """Return the least |d| with <slope, d> >= gap and x + d in [0, 1], for one example: inf where there is none."""
    room = torch.where(slope > 0, 1 - x, x)
    steep = slope.abs()
    if (steep * room).sum() < gap:
        return math.inf
    if order == 1:  # A fractional knapsack: the steepest values first.
        left, length = gap, 0.0
        for value in steep.argsort(descending=True).tolist():
            part = min(float(room[value]), left / float(steep[value]))
            left, length = left - part * float(steep[value]), length + part
            if left <= 1e-15:
                break
        return length
    rate = torch.ones_like(steep) if order == math.inf else steep
    low, high = 0.0, float((room / rate).max())
    for _ in range(100):  # The root of a monotone function of one variable.
        middle = (low + high) / 2
        low, high = (middle, high) if (steep * torch.minimum(middle * rate, room)).sum() < gap else (low, middle)
    return float(torch.linalg.vector_norm(torch.minimum(high * rate, room), ord=order))


def optimum(model, images, labels, order):
    """Return the distance of each example to the nearest misclassified point, the least over all classes."""
    found = []
    for x, y in zip(images.flatten(1).double(), labels.tolist(), strict=True):
        logits = model.weight @ x + model.bias
        others = [j for j in range(len(logits)) if j != y]
        gaps = [smallest(x, model.weight[j] - model.weight[y], float(logits[y] - logits[j]), order) for j in others]
        found.append(min(gaps))
    return torch.tensor(found, dtype=torch.float64)


def case(shape, classes, dtype=torch.float64, count=12, seed=0):
    model = Linear(shape, classes, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    images = torch.rand(count, *shape, generator=generator, dtype=dtype)
    images[0] = images[0].round()  # Where the box has no room on one side.
    return model, images, model(images).argmax(dim=1)


def distances(model, images, labels, found, norm):
    """Return how far the found images are, after seeing that they are misclassified images."""
    assert bool((model(found).argmax(dim=1) != labels).all())
    assert bool(((found >= 0) & (found <= 1)).all())
    return torch.linalg.vector_norm((found.double() - images.double()).flatten(1), ord=NORMS[norm], dim=1)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("attack", [fl.fab, fl.ddn])
def test_the_smallest_change_is_found(attack, norm, shape, classes):
    model, images, labels = case(shape, classes)
    found = fl.maximize(attack(model, images, labels, within=fl.threat_model(norm, eps=0.5), steps=100))
    ratio = distances(model, images, labels, found, norm) / optimum(model, images, labels, NORMS[norm])
    assert bool((ratio >= 1 - 1e-9).all())  # Otherwise the oracle is none.
    assert float(ratio.max()) <= ABOVE[norm]
