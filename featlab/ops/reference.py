"""The definitions of the kernels in PyTorch. A kernel must give the same bits (linf), or err at most as much (l2).

Each function has the arguments of the operator of its name: tensors of one float type, `eps` and `step_size` of one
element or one per example, bounds that the type represents; the result is written into `out`.
"""

import math

import torch
from torch import Tensor

from featlab.ops import random
from featlab.ops.rounding import add_down, add_toward, sub_up


def linf_step(
    points: Tensor, grad: Tensor, center: Tensor, eps: Tensor, step_size: Tensor, low: float, high: float, out: Tensor
) -> None:
    """Write clip(points + step_size * sign(grad)) to `out`; a gradient of zero or NaN moves nothing."""
    size = _spread(step_size, points)
    move = torch.where(grad > 0, size, torch.where(grad < 0, -size, -0.0))
    out.copy_(_clip(points + move, *_interval(center, eps, low, high)))


def linf_project(points: Tensor, center: Tensor, eps: Tensor, low: float, high: float, out: Tensor) -> None:
    """Write the nearest points of ball and box to `out`."""
    out.copy_(_clip(points, *_interval(center, eps, low, high)))


def linf_sample(
    center: Tensor, eps: Tensor, examples: Tensor, seed: int, restart: int, low: float, high: float, out: Tensor
) -> None:
    """Write clip(center + eps * u), u uniform in (-1, 1), to `out`; uniform in the box where eps is infinite."""
    drawn = random.words(examples, elements=_size(center), seed=seed, restart=restart, purpose=random.UNIFORM).reshape(
        center.shape
    )
    near = center + _radius(eps, center) * random.symmetric_uniform(drawn, center.dtype)
    near = _clip(near, *_interval(center, eps, low, high))
    out.copy_(torch.where(_finite(eps, center), near, _box_sample(drawn, center, low, high)))


def l2_step(
    points: Tensor, grad: Tensor, center: Tensor, eps: Tensor, step_size: Tensor, low: float, high: float, out: Tensor
) -> None:
    """Write P(points + step_size * grad / |grad|) to `out`; a gradient that is zero or not finite moves nothing.

    P scales towards the center and then cuts to the box. Sums are taken in float64.
    """
    gradient = grad.double()
    ratio = _spread(step_size, points).double() / torch.sqrt(_squared(gradient))
    along = torch.where(torch.isfinite(ratio), ratio, 0.0)
    offset = points.double() - center.double()
    moved = torch.where(along == 0, offset, offset + along * gradient)
    out.copy_(_shrunk(points, moved, along == 0, center, eps, low, high))


def l2_project(points: Tensor, center: Tensor, eps: Tensor, low: float, high: float, out: Tensor) -> None:
    """Write the points of the ball next to `points`, cut to the box, to `out`; what is inside stays, bit for bit."""
    offset = points.double() - center.double()
    still = torch.ones(len(points), *[1] * (points.dim() - 1), dtype=torch.bool, device=points.device)
    out.copy_(_shrunk(points, offset, still, center, eps, low, high))


def l2_sample(
    center: Tensor, eps: Tensor, examples: Tensor, seed: int, restart: int, low: float, high: float, out: Tensor
) -> None:
    """Write points uniform in the ball, cut to the box, to `out`: a normal direction, length eps * U^(1 / size)."""
    size = _size(center)
    key = {"seed": seed, "restart": restart}
    direction = random.normals(examples, elements=size, purpose=random.NORMAL, **key).reshape(center.shape)
    unit = random.open_uniform(random.words(examples, elements=1, purpose=random.RADIUS, **key)[:, 0])
    length = _radius(eps, center).double() * _shrink(center) * _spread(unit ** (1.0 / max(size, 1)), direction)
    near = _clip(add_toward(center, direction * (length / torch.sqrt(_squared(direction)))), low, high)
    drawn = random.words(examples, elements=size, purpose=random.UNIFORM, **key).reshape(center.shape)
    out.copy_(torch.where(_finite(eps, center), near, _box_sample(drawn, center, low, high)))


def _shrunk(
    points: Tensor, moved: Tensor, still: Tensor, center: Tensor, eps: Tensor, low: float, high: float
) -> Tensor:
    """Return the center plus `moved`, scaled into the ball and cut to the box; `still` rows inside stay as they are."""
    radius = _radius(eps, center).double()
    squared, limit = _squared(moved), radius * _shrink(center)
    norm = torch.sqrt(squared)
    scale = torch.where(norm <= limit, 1.0, limit / norm)
    inside = add_toward(center, scale * moved)
    return _clip(torch.where(still & (squared <= radius * radius), points, inside), low, high)


def _shrink(like: Tensor) -> float:
    """Return a factor below one that covers the error of the sums and of the last rounding."""
    return 1.0 - (2.0**-40 if like.dtype == torch.float64 else 2.0**-26)


def _squared(rows: Tensor) -> Tensor:
    """Return |row|^2 by a tree of pairs that depends on the size of a row alone, shaped to broadcast over the rows."""
    flat = rows.flatten(1) if rows.dim() > 1 else rows.unsqueeze(1)
    flat = flat * flat if flat.shape[1] else flat.new_zeros(len(flat), 1)
    while flat.shape[1] > 1:
        half = flat.shape[1] // 2
        folded = flat[:, :half] + flat[:, half : 2 * half]
        flat = torch.cat([folded, flat[:, 2 * half :]], dim=1)
    return flat.reshape(-1, *[1] * (rows.dim() - 1))


def _interval(center: Tensor, eps: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    radius = _radius(eps, center)
    below, above = sub_up(center, radius), add_down(center, radius)
    return torch.where(below > low, below, low), torch.where(above < high, above, high)


def _clip(values: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Cut to [low, high]; NaN stays NaN, and a NaN bound does not bind."""
    raised = torch.where(values < low, low, values)
    return torch.where(raised > high, high, raised)


def _box_sample(drawn: Tensor, center: Tensor, low: float, high: float) -> Tensor:
    if not (math.isfinite(low) and math.isfinite(high)):
        return _clip(center, low, high)
    unit = random.symmetric_uniform(drawn, center.dtype) * 0.5 + 0.5
    bounds = torch.full((2,), low, dtype=center.dtype, device=center.device)
    width = torch.full_like(bounds, high)[0] - bounds[0]
    return _clip(bounds[0] + unit * width, low, high)


def _radius(eps: Tensor, like: Tensor) -> Tensor:
    """Return eps shaped to broadcast; what is negative or NaN allows no movement."""
    spread = _spread(eps, like)
    return torch.where(spread > 0, spread, 0.0)


def _finite(eps: Tensor, like: Tensor) -> Tensor:
    return torch.isfinite(_radius(eps, like))


def _spread(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.dim() - 1))


def _size(center: Tensor) -> int:
    return math.prod(center.shape[1:])
