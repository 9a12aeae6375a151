"""Cases of the step of Auto-PGD: a fifth of the examples improved, a tenth goes back to its best point."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from benchmarks.ops.balls import BOX, L2, LINF, rows
from benchmarks.ops.balls import l2_scaled as l2_inside
from benchmarks.ops.cases import Case, Formula, Sizes, register

ALPHA = 0.75


def arguments(sizes: Sizes, *, eps: float, step_size: float) -> dict[str, object]:
    """Return a step in place with its trail."""
    points, index = sizes.uniform(), sizes.identities()
    trail = {"previous": sizes.uniform(), "best": sizes.uniform(), "best_grad": sizes.normal()}
    verdicts = {"improved": index % 5 == 0, "back": index % 10 == 1}
    scalars = {"eps": sizes.each(eps), "step_size": sizes.each(step_size), "alpha": sizes.each(ALPHA)}
    state = {"points": points, "grad": sizes.normal(), "center": sizes.uniform()}
    return {**state, **trail, **verdicts, **scalars, **BOX, "out": points}


def moved_bytes(a: SimpleNamespace) -> int:
    """Return the bytes of points, gradient, centre and previous point in; of next and previous point out; and the best.

    An improved example writes its best point and gradient. One that goes back reads them in place of the present ones.
    """
    return a.points.nbytes * 6 + 2 * int(a.improved.sum()) * a.points[0].nbytes


def trailing(a: SimpleNamespace) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return where the step starts and the gradient there, and the best points and gradients as they are then."""
    better, again = rows(a.improved, a.points), rows(a.back, a.points)
    best, best_grad = torch.where(better, a.points, a.best), torch.where(better, a.grad, a.best_grad)
    return torch.where(again, best, a.points), torch.where(again, best_grad, a.grad), best, best_grad


def linf_inside(points: Tensor, center: Tensor) -> Tensor:
    """Return the projection in the usual form."""
    return (center + (points - center).clamp(-LINF["eps"], LINF["eps"])).clamp(0, 1)


def linf_momentum_step(a: SimpleNamespace) -> tuple[Tensor, ...]:
    """Return the step and the trail in the usual form."""
    start, grad, *best = trailing(a)
    near = linf_inside(start + LINF["step_size"] * grad.sign(), a.center)
    mixed = start + ALPHA * (near - start) + (1 - ALPHA) * (start - a.previous)
    return linf_inside(mixed, a.center), start, *best


def l2_momentum_step(a: SimpleNamespace) -> tuple[Tensor, ...]:
    """Return the step and the trail in the usual form."""
    start, grad, *best = trailing(a)
    norm = rows(grad.flatten(1).norm(dim=1) + 1e-12, grad)
    near = l2_inside(start + L2["step_size"] * grad / norm, a.center)
    mixed = start + ALPHA * (near - start) + (1 - ALPHA) * (start - a.previous)
    return l2_inside(mixed, a.center), start, *best


FORMULAS: dict[str, tuple[Formula, dict[str, float]]] = {
    "linf_momentum_step": (linf_momentum_step, LINF),
    "l2_momentum_step": (l2_momentum_step, L2),
}
for name, (formula, size) in FORMULAS.items():
    register(
        Case(op=name, arguments=lambda sizes, size=size: arguments(sizes, **size), eager=formula, bytes=moved_bytes)
    )
