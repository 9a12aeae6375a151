"""What the definitions of several kernels share: how values spread over a batch, cuts, and sums of a fixed order."""

import math

import torch
from torch import Tensor


def shrink(like: Tensor) -> float:
    """Return a factor below one that covers the error of the sums and of the last rounding."""
    return 1.0 - (2.0**-40 if like.dtype == torch.float64 else 2.0**-26)


def step_shrink(like: Tensor) -> float:
    """Return the factor of l2 steps and projections, whose kernels move values in float32 (csrc/common/steps.h)."""
    return 1.0 - (2.0**-40 if like.dtype == torch.float64 else 2.0**-21)


def squared(rows: Tensor) -> Tensor:
    """Return |row|^2, summed as `total` does."""
    return total(rows * rows)


def total(rows: Tensor) -> Tensor:
    """Return the sum of each row by a tree of pairs that depends on its size alone, shaped to broadcast over rows."""
    sums = flat(rows) if size(rows) else rows.new_zeros(len(rows), 1)
    while sums.shape[1] > 1:
        half = sums.shape[1] // 2
        folded = sums[:, :half] + sums[:, half : 2 * half]
        sums = torch.cat([folded, sums[:, 2 * half :]], dim=1)
    return sums.reshape(-1, *[1] * (rows.dim() - 1))


def flat(rows: Tensor) -> Tensor:
    """Return (batch, elements), the elements in their logical order."""
    return rows.reshape(len(rows), size(rows))


def clip(values: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Cut to [low, high]; NaN stays NaN, and a NaN bound does not bind."""
    raised = torch.where(values < low, low, values)
    return torch.where(raised > high, high, raised)


def radius(eps: Tensor, like: Tensor) -> Tensor:
    """Return eps shaped to broadcast; what is negative or NaN allows no movement."""
    each = spread(eps, like)
    return torch.where(each > 0, each, 0.0)


def finite(eps: Tensor, like: Tensor) -> Tensor:
    """Return where the radius is finite, shaped to broadcast."""
    return torch.isfinite(radius(eps, like))


def spread(values: Tensor, like: Tensor) -> Tensor:
    """Return one value, or one per example, shaped to broadcast over each example of `like`."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def size(center: Tensor) -> int:
    """Return the number of elements of one example."""
    return math.prod(center.shape[1:])
