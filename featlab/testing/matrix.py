"""The laws of threat models that are asked once for a shape: decoding, layouts, devices, keys, an ascent."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

import torch
from torch import Tensor

from featlab.problem import Problem, maximize
from featlab.testing.laws import Law, NotAsked, same
from featlab.testing.situations import QUESTIONS, Situation
from featlab.testing.strategies import arrangements, waves
from featlab.types import Images, Points, Scores, Verdicts


def decode_gradient(case: Situation) -> None:
    """The images have a finite gradient with respect to the points, each with respect to its own."""
    points = case.points.clone().requires_grad_()
    images = case.within.decode(points, case.center)
    assert images.requires_grad, "decode must be differentiable: its images have no gradient with respect to the points"
    weight = waves(images.shape, torch.Generator().manual_seed(1)).to(images)
    (grad,) = torch.autograd.grad((weight * images).sum(), points, retain_graph=True, allow_unused=True)
    assert grad is not None, "decode must be differentiable: its images have no gradient with respect to the points"
    assert bool(torch.isfinite(grad).all()), "the gradient of decode must be finite"
    assert bool((grad != 0).any()), "the gradient of decode must not be zero everywhere"
    (mine,) = torch.autograd.grad((weight * images)[0].sum(), points, allow_unused=True)
    assert not bool((mine[1:] != 0).any()), "an image must not depend on the points of other examples"


def sample_key(case: Situation) -> None:
    """A sample follows its key: another seed, other examples and another restart draw other points."""
    seed, examples, restart = case.key.seed, case.key.examples, case.key.restart
    others = {
        "seed": [replace(case.key, seed=seed + extra) for extra in range(1, 9)],
        "examples": [replace(case.key, examples=examples + 100 * extra) for extra in range(1, 9)],
        "restart": [replace(case.key, restart=restart + extra) for extra in range(1, 9)],
    }
    drawn = case.answers["sample"]
    if torch.equal(drawn, case.answers["start"]):
        raise NotAsked("a sample of this set is its start")
    for what, keys in others.items():
        again = (case.within.sample(case.center.clone(), key=key) for key in keys)
        assert any(not torch.equal(drawn, each) for each in again), f"another {what} of the key must draw other points"


def layouts(case: Situation) -> None:
    """How tensors lie in memory (channels last, transposed, strided) changes no answer and refuses none."""
    for name in dict.fromkeys(name for name, _ in arrangements(4)):
        laid_out = case.mapped(partial(_laid_out, layout=name))
        for method, ask in QUESTIONS.items():
            rule = f"{method} of tensors in the layout {name} must say the same"
            same(rule, ask(laid_out), case.answers[method], rtol=1e-5, atol=1e-5)


def devices(case: Situation) -> None:
    """A CUDA device gives the answers of the CPU."""
    if not torch.cuda.is_available() or case.center.device.type != "cpu":
        raise NotAsked("there is no CUDA device" if case.center.device.type == "cpu" else "asked on the CPU")
    moved = case.to("cuda")
    for name, ask in QUESTIONS.items():
        answer = ask(moved.mapped(torch.clone))
        assert answer.is_cuda, f"{name} must stay on the device of its arguments"
        same(f"{name} on a CUDA device", answer.cpu(), case.answers[name], rtol=1e-4, atol=1e-4)


def ascent(case: Situation) -> None:
    """Five steps on a linear score of the images never end below the start, and gain where there is an uphill.

    A start at the rim of the set may have no way up a score, but then it has one up its negative.
    """
    weight = waves(case.center.shape, torch.Generator().manual_seed(2)).to(case.center) + 0.5
    up, down = (_gained(case, _Linear(sign * weight)) for sign in (1, -1))
    start = case.within.start(case.center.clone())
    slope = case.within.admissible(_slope(case, start, _Linear(weight)), start)
    may = case.within.steepest(slope).flatten(1).any(dim=1) & (_sizes(case, start) > 0)
    # An example's own set may be its start alone, but not everybody's.
    alone = (case.project(case.far) == start).flatten(1).all(dim=1)
    may = may if bool(alone.all()) else may & ~alone
    assert bool((up | down)[may].all()), "an ascent gained nothing though the gradient is not zero"


def _gained(case: Situation, score: _Linear) -> Verdicts:
    """Return for which examples an ascent gains; AssertionError where it ends below its start."""
    start = case.within.start(case.center.clone())
    found = maximize(Problem(score, case.center, case.within, 5, _sizes(case, start) / 4))
    before, after = score(case.within.decode(start, case.center)), score(found)
    loss = before - after
    assert bool((loss <= 1e-6 * (1 + before.abs())).all()), f"an ascent ended {float(loss.max()):.3g} below its start"
    return after > before


def _sizes(case: Situation, start: Points) -> Scores:
    """Return the radius of each example's set, 1 where it has no bound."""
    radius = torch.as_tensor(case.within.radius, dtype=start.dtype, device=start.device).expand(len(start))
    return torch.where(radius.isfinite(), radius, torch.ones_like(radius))


class _Linear:
    """The score <weight, images>."""

    def __init__(self, weight: Images) -> None:
        self.weight = weight

    def __call__(self, images: Images, /) -> Scores:
        score: Scores = (self.weight * images).flatten(1).sum(dim=1)
        return score


def _slope(case: Situation, start: Points, score: _Linear) -> Points:
    points = start.clone().requires_grad_()
    (grad,) = torch.autograd.grad(score(case.within.decode(points, case.center)).sum(), points)
    return grad


def _laid_out(value: Tensor, *, layout: str) -> Tensor:
    """Return a copy in a layout, or as it is where tensors of its dimensions have no such layout."""
    return dict(arrangements(value.dim())).get(layout, Tensor.clone)(value)


ONCE: Final[tuple[Law, ...]] = (decode_gradient, sample_key, layouts, devices, ascent)
"""Asked of one situation per type, on smooth images."""
