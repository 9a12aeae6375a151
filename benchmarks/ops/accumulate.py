"""Cases of the step of MI-FGSM."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from benchmarks.ops import balls
from benchmarks.ops.balls import L2, LINF, rows
from benchmarks.ops.cases import Case, Formula, Sizes, register

DECAY = 0.9


def arguments(sizes: Sizes, *, eps: float, step_size: float) -> dict[str, object]:
    """Return a step in place and its momentum: four streams in, two out."""
    momentum = torch.zeros(sizes.shape, device=sizes.device)
    return {**balls.step(sizes, eps=eps, step_size=step_size), "momentum": momentum, "decay": sizes.each(DECAY)}


def moved_bytes(a: SimpleNamespace) -> int:
    """Return the bytes of points, gradient, centre and momentum in, of points and momentum out."""
    return 5 * a.points.nbytes + a.grad.nbytes


def momentum_of(a: SimpleNamespace) -> Tensor:
    """Return the accumulated gradients in the usual form."""
    return DECAY * a.momentum + a.grad / rows(a.grad.abs().flatten(1).sum(dim=1), a.grad)


def linf_accumulated_step(a: SimpleNamespace) -> tuple[Tensor, ...]:
    """Return the step and the momentum in the usual form."""
    momentum = momentum_of(a)
    moved = a.points + LINF["step_size"] * momentum.sign()
    return (a.center + (moved - a.center).clamp(-LINF["eps"], LINF["eps"])).clamp(0, 1), momentum


def l2_accumulated_step(a: SimpleNamespace) -> tuple[Tensor, ...]:
    """Return the step and the momentum in the usual form."""
    momentum = momentum_of(a)
    norm = rows(momentum.flatten(1).norm(dim=1) + 1e-12, momentum)
    return balls.l2_scaled(a.points + L2["step_size"] * momentum / norm, a.center), momentum


FORMULAS: dict[str, tuple[Formula, dict[str, float]]] = {
    "linf_accumulated_step": (linf_accumulated_step, LINF),
    "l2_accumulated_step": (l2_accumulated_step, L2),
}
for name, (formula, size) in FORMULAS.items():
    register(
        Case(op=name, arguments=lambda sizes, size=size: arguments(sizes, **size), eager=formula, bytes=moved_bytes)
    )
