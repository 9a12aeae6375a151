"""Step, project and sample in the linf and l2 balls, cut to a box."""

import math

import torch
from torch import Tensor

from featlab.ops import random
from featlab.ops.reference.shared import clip, finite, radius, shrink, size, spread, squared, step_shrink
from featlab.ops.rounding import add_down, add_toward, sub_up


def linf_step(
    points: Tensor, grad: Tensor, center: Tensor, eps: Tensor, step_size: Tensor, low: float, high: float, out: Tensor
) -> None:
    """Write clip(points + step_size * sign(grad)) to `out`; a gradient of zero or NaN moves nothing."""
    length = spread(step_size, points)
    move = torch.where(grad > 0, length, torch.where(grad < 0, -length, -0.0))
    out.copy_(clip(points + move, *_interval(center, eps, low, high)))


def linf_project(points: Tensor, center: Tensor, eps: Tensor, low: float, high: float, out: Tensor) -> None:
    """Write the nearest points of ball and box to `out`."""
    out.copy_(clip(points, *_interval(center, eps, low, high)))


def linf_sample(
    center: Tensor, eps: Tensor, examples: Tensor, seed: int, restart: int, low: float, high: float, out: Tensor
) -> None:
    """Write clip(center + eps * u), u uniform in (-1, 1), to `out`; uniform in the box where eps is infinite."""
    drawn = random.words(examples, elements=size(center), seed=seed, restart=restart, purpose=random.UNIFORM).reshape(
        center.shape
    )
    near = center + radius(eps, center) * random.symmetric_uniform(drawn, center.dtype)
    near = clip(near, *_interval(center, eps, low, high))
    out.copy_(torch.where(finite(eps, center), near, box_sample(drawn, center, low, high)))


def l2_step(
    points: Tensor, grad: Tensor, center: Tensor, eps: Tensor, step_size: Tensor, low: float, high: float, out: Tensor
) -> None:
    """Write P(points + step_size * grad / |grad|) to `out`; a gradient that is zero or not finite moves nothing.

    P scales towards the center and then cuts to the box. Sums are taken in float64.
    """
    gradient = grad.double()
    ratio = spread(step_size, points).double() / torch.sqrt(squared(gradient))
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
    elements = size(center)
    key = {"seed": seed, "restart": restart}
    direction = random.normals(examples, elements=elements, purpose=random.NORMAL, **key).reshape(center.shape)
    unit = random.open_uniform(random.words(examples, elements=1, purpose=random.RADIUS, **key)[:, 0])
    length = radius(eps, center).double() * shrink(center) * spread(unit ** (1.0 / max(elements, 1)), direction)
    near = clip(add_toward(center, direction * (length / torch.sqrt(squared(direction)))), low, high)
    drawn = random.words(examples, elements=elements, purpose=random.UNIFORM, **key).reshape(center.shape)
    out.copy_(torch.where(finite(eps, center), near, box_sample(drawn, center, low, high)))


def _shrunk(
    points: Tensor, moved: Tensor, still: Tensor, center: Tensor, eps: Tensor, low: float, high: float
) -> Tensor:
    """Return the center plus `moved`, scaled into the ball and cut to the box; `still` rows inside stay as they are."""
    reach, length = radius(eps, center).double(), squared(moved)
    norm, limit = torch.sqrt(length), reach * step_shrink(center)
    scale = torch.where(norm <= limit, 1.0, limit / norm)
    inside = add_toward(center, scale * moved)
    return clip(torch.where(still & (length <= reach * reach), points, inside), low, high)


def _interval(center: Tensor, eps: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    reach = radius(eps, center)
    below, above = sub_up(center, reach), add_down(center, reach)
    return torch.where(below > low, below, low), torch.where(above < high, above, high)


def box_sample(drawn: Tensor, center: Tensor, low: float, high: float) -> Tensor:
    """Return values uniform in the box, and the center where it is not finite."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return clip(center, low, high)
    unit = random.symmetric_uniform(drawn, center.dtype) * 0.5 + 0.5
    bounds = torch.full((2,), low, dtype=center.dtype, device=center.device)
    width = torch.full_like(bounds, high)[0] - bounds[0]
    return clip(bounds[0] + unit * width, low, high)
