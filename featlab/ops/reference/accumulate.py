"""The steps along accumulated gradients (MI-FGSM), in terms of the plain steps."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from featlab.ops.reference.balls import l2_step, linf_step
from featlab.ops.reference.shared import size, spread

_WHOLE = 1.5 * 2.0**52
"""A float64 number that is added and taken away leaves a whole number of what is smaller than 2^51."""


class _Call(NamedTuple):
    """The operator's arguments, in order."""

    points: Tensor
    grad: Tensor
    center: Tensor
    momentum: Tensor
    eps: Tensor
    step_size: Tensor
    decay: Tensor
    low: float
    high: float
    out: Tensor


def linf_accumulated_step(*arguments: Tensor | float) -> None:
    """Write m' = decay * momentum + g / |g|_1 over `momentum`, and the linf step along it to `out`."""
    _accumulated_step(_Call(*arguments), linf_step)  # type: ignore[arg-type]


def l2_accumulated_step(*arguments: Tensor | float) -> None:
    """Write m' = decay * momentum + g / |g|_1 over `momentum`, and the l2 step along it to `out`."""
    _accumulated_step(_Call(*arguments), l2_step)  # type: ignore[arg-type]


def _accumulated_step(call: _Call, step: Callable[..., None]) -> None:
    _accumulate(call.grad, call.momentum, call.decay)
    step(call.points, call.momentum, call.center, call.eps, call.step_size, call.low, call.high, call.out)


def _accumulate(grad: Tensor, momentum: Tensor, decay: Tensor) -> None:
    """Bring the momentum up to date; a gradient that is zero or not finite anywhere adds nothing.

    |g|_1 is summed in whole grains, 2^-51 of the largest |g_i| times the number of values: exact, in whatever order.
    """
    rows = grad.double()
    if rows.numel() == 0:
        return
    magnitude, elements = rows.abs().reshape(len(rows), -1), size(rows)
    scale = 2.0 ** (51 - (elements - 1).bit_length()) / magnitude.amax(dim=1, keepdim=True)
    total = ((magnitude * scale + _WHOLE) - _WHOLE).sum(dim=1, keepdim=True)
    ratio = scale / total
    inverse = spread(torch.where(torch.isfinite(ratio), ratio, 0.0), rows)
    unit = torch.where(inverse == 0, 0.0, rows * inverse).to(momentum.dtype)
    momentum.copy_(spread(decay, momentum) * momentum + unit)
