"""Cases of the l1 and l0 balls, and of the exact projection on the l2 ball and the box."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from benchmarks.ops import balls
from benchmarks.ops.balls import BOX, rows
from benchmarks.ops.cases import Case, Formula, Sizes, register
from benchmarks.peers import load

EPS, STEP, COUNT = 12.0, 1.0, 150


def counts(sizes: Sizes) -> Tensor:
    """Return one whole number for all examples."""
    return torch.full((1,), COUNT, dtype=torch.int64, device=sizes.device)


def l1_step_arguments(sizes: Sizes) -> dict[str, object]:
    """Return a step in place from points near the ball's edge."""
    drawn = balls.step(sizes, eps=EPS, step_size=STEP)
    drawn["points"] = drawn["out"] = l1_start(drawn["center"], sizes)
    return {**drawn, "count": counts(sizes)}


def l1_start(center: Tensor, sizes: Sizes) -> Tensor:
    """Return points at about twice the radius from the centre."""
    offset = sizes.normal()
    length = offset.abs().flatten(1).sum(dim=1)
    return center + offset * rows(2 * EPS / length, offset)


def l1_project_arguments(sizes: Sizes) -> dict[str, object]:
    """Return the projection of points outside the ball."""
    center = sizes.uniform()
    points = l1_start(center, sizes)
    return {"points": points, "center": center, "eps": sizes.each(EPS), **BOX, "out": torch.empty_like(points)}


def l1_ball(points: Tensor, center: Tensor) -> Tensor:
    """Return the projection on the l1 ball by sorting (Duchi et al. 2008, figure 1), then the cut to the box."""
    offset = (points - center).flatten(1)
    ordered = offset.abs().sort(dim=1, descending=True).values
    excess = ordered.cumsum(dim=1) - EPS
    place = torch.arange(1, offset.shape[1] + 1, device=offset.device)
    last = (ordered * place > excess).sum(dim=1, keepdim=True).clamp_min(1)
    threshold = (excess.gather(1, last - 1) / last).clamp_min(0)
    near = offset.sign() * (offset.abs() - threshold).clamp_min(0)
    return (center + near.reshape(center.shape)).clamp(0, 1)


def l1_project(a: SimpleNamespace) -> Tensor:
    """Return the usual projection."""
    return l1_ball(a.points, a.center)


def autoattack() -> Formula:
    """Return the projection of AutoAttack on the l1 ball and the box."""
    project = load("pyautoattack.autopgd_base").L1_projection
    return lambda a: a.points + project(a.center, a.points - a.center, EPS)


def l1_step(a: SimpleNamespace) -> Tensor:
    """Return the sparse step with top-k, then the usual projection."""
    grad = a.grad.flatten(1)
    chosen = grad.abs().topk(COUNT, dim=1).indices
    move = torch.zeros_like(grad).scatter(1, chosen, grad.gather(1, chosen).sign() * (STEP / COUNT))
    return l1_ball(a.points + move.reshape(a.points.shape), a.center)


def l1_sample(a: SimpleNamespace) -> Tensor:
    """Return uniform points of the l1 ball by exponential spacings, then the cut to the box."""
    size = a.center[0].numel()
    spacings = torch.empty(len(a.center), size + 1, device=a.center.device).exponential_()
    signs = torch.randint(0, 2, (len(a.center), size), device=a.center.device) * 2 - 1
    offset = EPS * signs * spacings[:, :-1] / spacings.sum(dim=1, keepdim=True)
    return (a.center + offset.reshape(a.center.shape)).clamp(0, 1)


def l0_step_arguments(sizes: Sizes) -> dict[str, object]:
    """Return a step in place that leaves so many values changed."""
    drawn = balls.step(sizes, eps=EPS, step_size=STEP)
    del drawn["eps"]
    return {**drawn, "count": counts(sizes), "channels": 1}


def l0_project_arguments(sizes: Sizes) -> dict[str, object]:
    """Return the projection of points that differ everywhere."""
    center, points = sizes.uniform(), sizes.uniform()
    return {
        "points": points,
        "center": center,
        "count": counts(sizes),
        "channels": 1,
        **BOX,
        "out": torch.empty_like(points),
    }


def l0_sample_arguments(sizes: Sizes) -> dict[str, object]:
    """Return a random start."""
    drawn = balls.sample(sizes, eps=EPS, step_size=STEP)
    del drawn["eps"]
    return {**drawn, "count": counts(sizes), "channels": 1}


def l0_near(points: Tensor, center: Tensor) -> Tensor:
    """Return the points with their largest changes alone, by top-k."""
    offset = (points.clamp(0, 1) - center).flatten(1)
    chosen = offset.abs().topk(COUNT, dim=1).indices
    return center + torch.zeros_like(offset).scatter(1, chosen, offset.gather(1, chosen)).reshape(center.shape)


def l0_project(a: SimpleNamespace) -> Tensor:
    """Return the usual projection."""
    return l0_near(a.points, a.center)


def l0_step(a: SimpleNamespace) -> Tensor:
    """Return the normalised step, then the usual projection."""
    norm = rows(a.grad.flatten(1).norm(dim=1) + 1e-10, a.grad)
    return l0_near(a.points + STEP * a.grad / norm, a.center)


def l0_sample(a: SimpleNamespace) -> Tensor:
    """Return uniform values in places chosen by the largest of random numbers."""
    return l0_near(torch.rand_like(a.center), a.center)


def l2_box_arguments(sizes: Sizes) -> dict[str, object]:
    """Return the projection of points outside the ball."""
    return balls.projection(sizes, **balls.L2)


register(Case(op="l1_step", arguments=l1_step_arguments, eager=l1_step, same=False))
register(
    Case(
        op="l1_project",
        arguments=l1_project_arguments,
        eager=l1_project,
        peers={"pyautoattack": autoattack},
        same=False,
    )
)
register(
    Case(
        op="l1_sample",
        arguments=lambda sizes: balls.sample(sizes, eps=EPS, step_size=STEP),
        eager=l1_sample,
        same=False,
    )
)
register(Case(op="l0_step", arguments=l0_step_arguments, eager=l0_step, same=False))
register(Case(op="l0_project", arguments=l0_project_arguments, eager=l0_project, same=False))
register(Case(op="l0_sample", arguments=l0_sample_arguments, eager=l0_sample, same=False))
register(Case(op="l2_box_project", arguments=l2_box_arguments, eager=balls.l2_project, same=False))
