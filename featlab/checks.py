"""What a problem must be before its first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from featlab.averages import Turns

if TYPE_CHECKING:
    from featlab.problem import Problem


def check_problem(problem: Problem) -> None:
    """Refuse, once and at the door, what would fail or mislead inside the loop."""
    center = problem.center
    if center.dim() < 2 or not center.is_floating_point():
        raise ValueError(
            f"center must be floating-point images of shape (batch, ...), got {center.dtype} of shape "
            f"{tuple(center.shape)}; convert uint8 images with images.float() / 255"
        )
    if center.dtype not in {torch.float32, torch.float64}:
        raise ValueError(f"center must be float32 or float64, got {center.dtype}; only the model may run in less")
    if problem.steps < 0 or problem.restarts < 1:
        raise ValueError(f"steps must be >= 0 and restarts >= 1, got {problem.steps} and {problem.restarts}")
    _check_keep(problem)
    _check_rows("enough", problem.enough, len(problem.center))
    _check_rows("step_size", problem.step_size, len(center))
    _check_rows("examples", problem.examples, len(center))
    size = torch.as_tensor(problem.step_size)
    if not bool(torch.isfinite(size).all() & (size >= 0).all()):
        raise ValueError(f"step_size must be finite and >= 0, got {problem.step_size}")


def _check_keep(problem: Problem) -> None:
    """Refuse a choice of what to keep that is none, or that its conditions contradict."""
    differ = problem.random_start or isinstance(problem.objective, Turns)
    if problem.restarts > 1 and not (differ and problem.keep != "last"):
        raise ValueError("restarts > 1 needs random_start=True and keep='best': otherwise every restart is the same")
    if problem.detect_cycles and problem.keep == "last":
        raise ValueError("detect_cycles needs keep='best': the last point of a walk in a circle depends on its steps")
    if problem.keep not in {"best", "last", "nearest"}:
        raise ValueError(f"keep must be 'best', 'last' or 'nearest', got {problem.keep!r}")
    if problem.keep == "nearest" and problem.done is None:
        raise ValueError("keep='nearest' needs `done`: it is the nearest image that meets this criterion")
    if problem.enough is not None and problem.keep != "nearest":
        raise ValueError(f"enough is the distance at which keep='nearest' is content, got keep={problem.keep!r}")


def _check_rows(name: str, value: float | Tensor | None, count: int) -> None:
    if isinstance(value, Tensor) and tuple(value.shape) != (count,):
        raise ValueError(f"{name} must be one value or one per example, ({count},); got shape {tuple(value.shape)}")
