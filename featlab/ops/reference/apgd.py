"""The step of Auto-PGD in the linf and l2 balls, in terms of their plain steps and projections."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from featlab.ops.reference.balls import l2_project, l2_step, linf_project, linf_step
from featlab.ops.reference.shared import spread


class _Call(NamedTuple):
    """The operator's arguments, in order."""

    points: Tensor
    grad: Tensor
    center: Tensor
    previous: Tensor
    best: Tensor
    best_grad: Tensor
    improved: Tensor
    back: Tensor
    eps: Tensor
    step_size: Tensor
    alpha: Tensor
    low: float
    high: float
    out: Tensor


def linf_momentum_step(*arguments: Tensor | float) -> None:
    """Write P(x + alpha (z - x) + (1 - alpha) (x - previous)), z = P(x + step_size * sign(g)), to `out`."""
    _momentum_step(_Call(*arguments), linf_step, linf_project)  # type: ignore[arg-type]


def l2_momentum_step(*arguments: Tensor | float) -> None:
    """Write P(x + alpha (z - x) + (1 - alpha) (x - previous)), z = P(x + step_size * g / |g|), to `out`."""
    _momentum_step(_Call(*arguments), l2_step, l2_project)  # type: ignore[arg-type]


def _momentum_step(call: _Call, step: Callable[..., None], project: Callable[..., None]) -> None:
    """Note the best points, go back to them or not, step, add the momentum, and project; the trail is written over."""
    points, within = call.points, (call.low, call.high)
    better, again, share = spread(call.improved, points), spread(call.back, points), spread(call.alpha, points)
    call.best.copy_(torch.where(better, points, call.best))
    call.best_grad.copy_(torch.where(better, call.grad, call.best_grad))
    start = torch.where(again, call.best, points)
    near = torch.empty_like(start)
    step(start, torch.where(again, call.best_grad, call.grad), call.center, call.eps, call.step_size, *within, near)
    moved = start + share * (near - start) + (1 - share) * (start - call.previous)
    project(moved, call.center, call.eps, *within, call.out)
    call.previous.copy_(start)
