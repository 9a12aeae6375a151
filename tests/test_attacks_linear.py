"""Every attack against the closed-form optimum of linear models, in the box."""

import math
from dataclasses import replace

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


def case(shape, classes, dtype=torch.float64, count=6, seed=0):
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


@pytest.mark.parametrize(("shape", "classes"), [((8,), 5), ((4, 6), 2), ((3, 5, 5), 3)], ids=str)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("attack", [fl.fab, fl.ddn])
def test_the_smallest_change_is_found(attack, norm, shape, classes):
    model, images, labels = case(shape, classes)
    found = fl.maximize(attack(model, images, labels, within=fl.threat_model(norm, eps=0.5), steps=100))
    ratio = distances(model, images, labels, found, norm) / optimum(model, images, labels, NORMS[norm])
    assert bool((ratio >= 1 - 1e-9).all())  # Otherwise the oracle is none.
    assert float(ratio.max()) <= ABOVE[norm]


REACH = {"linf": 1.75, "l2": 2.5, "l1": 4.0}
"""How far above the optimum random search has found a change after 300 queries, also in 75 dimensions."""

STANDARD = {attack.name: attack for attack in suite("standard")}


@pytest.mark.parametrize("shape", [(8,), (3, 5, 5)], ids=str)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("attack", "classes"), [("apgd-ce", 2), ("apgd-t", 3), ("fab-t", 4)])
def test_verdicts_at_a_fixed_radius_are_exact(attack, classes, norm, shape):
    """At a radius a little below the optimum every image holds, and a little above it none."""
    model, images, labels = case(shape, classes, count=5, seed=5)
    least = optimum(model, images, labels, NORMS[norm])
    radius = torch.cat([0.985 * least, (ABOVE[norm] + 0.005) * least])
    # The usual projection in l2 falls short where the box cuts.
    within = fl.threat_model(norm, eps=radius, **({"exact": True} if norm == "l2" else {}))
    images, labels = images.repeat(2, *[1] * len(shape)), labels.repeat(2)
    found = fl.maximize(STANDARD[attack].problem(model, images, labels, within=within))
    change = torch.linalg.vector_norm((found - images).flatten(1), ord=NORMS[norm], dim=1)
    assert bool((change <= radius).all())
    assert (model(found).argmax(dim=1) == labels).tolist() == [True] * 5 + [False] * 5


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("norm", NORMS)
def test_random_search_stays_inside_and_comes_near_the_optimum(norm, shape):
    model, images, labels = case(shape, 2, count=5, seed=7, dtype=torch.float32)
    least = optimum(model, images, labels, NORMS[norm])
    radius = torch.cat([0.99 * least, REACH[norm] * least])
    images, labels = images.repeat(2, *[1] * len(shape)), labels.repeat(2)
    found = fl.maximize(fl.square(model, images, labels, within=fl.threat_model(norm, eps=radius), steps=300))
    change = torch.linalg.vector_norm((found.double() - images.double()).flatten(1), ord=NORMS[norm], dim=1)
    assert bool((change <= radius).all())
    assert (model(found).argmax(dim=1) == labels).tolist() == [True] * 5 + [False] * 5


@pytest.mark.parametrize("classes", [2, 3])
def test_a_whole_suite_of_two_and_three_classes_just_works(classes):
    """The DLR losses need three and four classes; the difference of two logits stands in for them."""
    model, images, labels = case((2, 3, 3), classes, count=6)
    least = optimum(model, images, labels, math.inf)
    eps = float(least.sort().values[2:4].mean())
    within, held = fl.threat_model("linf", eps=eps), torch.ones(6, dtype=torch.bool)
    for attack in (*suite("standard"), *suite("apgd")):
        short = replace(attack, steps=min(attack.steps, 25))
        found = fl.maximize(short.problem(model, images, labels, within=within))
        held &= model(found).argmax(dim=1) == labels
    assert held.tolist() == (least > eps).tolist()
    assert held.tolist().count(True) == 3


def test_targets_are_the_likeliest_wrong_classes_each_in_its_turn():
    model, images, labels = case((8,), 5, count=3)
    turns = Attack("t", loss="margin_targeted", steps=2, targets=9).problem(
        model, images, labels, within=fl.threat_model("linf", eps=0.1), seed=0
    )
    order = model(images).argsort(dim=1, descending=True)
    gaps = model(images) - model(images).gather(1, labels[:, None])
    for turn in range(4):
        for evaluation in (3 * turn, 3 * turn + 2):
            expected = gaps.gather(1, order[:, turn + 1 : turn + 2])[:, 0]
            torch.testing.assert_close(turns.objective.at(evaluation)(images), expected)
    assert turns.restarts == 4


def test_a_number_of_targets_beats_the_boundary_that_is_near_at_first():
    model, images, labels = case((3, 5, 5), 6, count=16, seed=3)
    within = fl.threat_model("l1", eps=1.0)
    length = [
        distances(
            model, images, labels, fl.maximize(fl.fab(model, images, labels, within=within, steps=30, targets=t)), "l1"
        )
        for t in (1, 5)
    ]
    assert bool((length[1] <= length[0] + 1e-9).all())
    assert bool((length[1] < length[0] * 0.99).any())
