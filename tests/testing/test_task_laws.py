"""Broken tasks, each caught by the name of the law that it breaks."""

import itertools

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.testing import TASK_LAWS, check_task, judge_task, name_of, text_of

from known import Cube

BOX = fl.threat_model("box")
PICTURES = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(4) % 3


class Unfaithful(Cube):
    """A set that steps out of itself, and out of the values of images where it is asked to step far."""

    def step(self, points, grad, center, *, step_size, out=None):
        moved = points + 100 * step_size * grad.sign()
        return moved if step_size > 0.1 else moved.clamp(0, 1)


class Smaller(Cube):
    """A set whose images have lost a row."""

    def decode(self, points, center):
        return points[:, :, :1]


class Writing(Cube):
    """A set that moves its centre."""

    def start(self, center):
        center.mul_(0.5)
        return center.clone()


class Deaf(fl.Objective):
    """An objective that forgets its rows."""

    def __call__(self, images, /):
        return torch.arange(len(images)) * images.flatten(1).mean(dim=1)

    def rows(self, index):
        return self


def task(score=None, **options):
    chosen = {"center": PICTURES.clone(), "within": BOX, "steps": 1, "step_size": 0.5, **options}
    return fl.Problem(score or fl.stay_near(PICTURES.flip(0)), **chosen)


def seeded(net):
    count = itertools.count()
    return lambda: task(random_start=True, seed=next(count))


def entangled(images):
    return images.flatten(1).mean(dim=1) - images.mean()


def left_training(net):
    def make():
        net.train()
        return fl.Problem(fl.cross_entropy(net, LABELS), PICTURES, BOX, 1, 0.1)

    return make


DONE = fl.misclassified(lambda x: x.flatten(1)[:, :3], LABELS)
BROKEN = [
    ("task-problem", lambda net: lambda: PICTURES),
    ("arguments-unchanged", lambda net: lambda: task(within=Writing(0.2))),
    ("solution-shape", lambda net: lambda: task(within=Smaller(0.2), steps=0, keep="last")),
    ("solution-range", lambda net: lambda: task(within=Unfaithful(0.2), keep="last")),
    ("solution-inside", lambda net: lambda: task(within=Unfaithful(0.2), keep="last", step_size=0.01)),
    ("solution-improves", lambda net: lambda: task(fl.stay_near(PICTURES), random_start=True, keep="last")),
    ("examples-apart", lambda net: lambda: task(entangled)),
    ("objective-rows", lambda net: lambda: task(Deaf(), done=DONE)),
    ("deterministic", seeded),
    ("model-kept", left_training),
]


@pytest.mark.parametrize(("law", "make"), BROKEN, ids=[law for law, _ in BROKEN])
def test_a_broken_task_is_caught_by_the_name_of_its_law(law, make):
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    with pytest.raises(AssertionError, match=rf"^{law}: "):
        check_task(make(net), model=net)


def test_every_law_is_broken_by_some_task():
    assert {law for law, _ in BROKEN} == {name_of(law) for law in TASK_LAWS}
    assert all(text_of(law).endswith(".") for law in TASK_LAWS)


def test_what_is_right_holds_every_law():
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).train()
    done = fl.misclassified(net, LABELS)

    def make():
        return fl.Problem(fl.cross_entropy(net, LABELS), PICTURES, Cube(0.2), 3, 0.1, done=done)

    assert {each.outcome for each in judge_task(make, model=net)} == {"pass"}
    assert {each.law: each.outcome for each in judge_task(task)}["model-kept"] == "skip"
