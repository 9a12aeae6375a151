"""Step, project and sample in the l1 and l0 balls, and the exact projection on the l2 ball and the box.

The kernels find the multiplier by Newton's method; here it is read off the sorted breakpoints of all examples at once.
"""

import torch
from torch import Tensor

from featlab.ops import random
from featlab.ops.reference.balls import box_sample
from featlab.ops.reference.shared import clip, finite, flat, radius, shrink, size, spread, squared, total
from featlab.ops.rounding import add_toward

FAR = 1e150
"""Distances beyond are taken for this one, so that squares and differences of infinite points stay numbers."""


def l1_project(points: Tensor, center: Tensor, eps: Tensor, low: float, high: float, out: Tensor) -> None:
    """Write argmin |p - points|_2 over |p - center|_1 <= eps and low <= p <= high to `out`.

    p = center + sign(d) min(max(|d| - lam, 0), room) with d = points - center, the room of the box in the direction of
    d, and the smallest lam >= 0 that makes the l1 norm at most eps; with lam = 0 the box alone acts.
    """
    offset = points.double() - center.double()
    distance, room = offset.abs().clamp(max=FAR), _room(offset, center, low, high)
    reach = radius(eps, center).double()
    limit = reach * shrink(center)
    inside = total(torch.minimum(distance, room)) <= reach
    lam = spread(_l1_multiplier(flat(distance), flat(room), limit.reshape(-1, 1)), points)
    within = torch.minimum((distance - lam).clamp(min=0.0), room)
    near = _scaled(within, total(within), limit, offset, center)
    out.copy_(clip(torch.where(inside, points, near), low, high))


def l1_step(
    points: Tensor,
    grad: Tensor,
    center: Tensor,
    eps: Tensor,
    step_size: Tensor,
    count: Tensor,
    low: float,
    high: float,
    out: Tensor,
) -> None:
    """Write P(points + step_size * sign(grad) / n) to `out`, where the n <= count entries of largest |grad| move.

    An entry that is zero or NaN, or that points out of the box where the point is at its bound, is none of them; of
    equals, those of the lowest index come first.
    """
    moves = largest(flat(uphill(points, grad, low, high).abs()), count)
    share = spread(step_size, moves).double() / moves.sum(dim=1, keepdim=True)
    length = torch.where(moves, share, 0.0).reshape(points.shape)
    moved = points.double() + torch.where(grad > 0, length, -length)
    l1_project(moved.to(points.dtype), center, eps, low, high, out)


def l1_sample(
    center: Tensor, eps: Tensor, examples: Tensor, seed: int, restart: int, low: float, high: float, out: Tensor
) -> None:
    """Write points uniform in the ball, cut to the box, to `out`: e_i / (e_1 + ... + e_(size + 1)) with random signs.

    Source: Devroye 1986, "Non-uniform random variate generation", section V.2 (exponential spacings).
    """
    elements, key = size(center), {"seed": seed, "restart": restart}
    drawn = random.words(examples, elements=elements, purpose=random.EXPONENTIAL, **key)
    last = random.words(examples, elements=1, purpose=random.RADIUS, **key)
    spacing, beyond = random.exponential(drawn), random.exponential(last)
    total = random.fixed_sum(torch.cat([spacing, beyond], dim=1))
    scale = radius(eps, center).double() * shrink(center) / spread(total, center)
    signed = torch.where(drawn & 1 != 0, -spacing, spacing).reshape(center.shape)
    near = clip(add_toward(center, signed * scale), low, high)
    uniform = random.words(examples, elements=elements, purpose=random.UNIFORM, **key).reshape(center.shape)
    out.copy_(torch.where(finite(eps, center), near, box_sample(uniform, center, low, high)))


def l0_project(
    points: Tensor, center: Tensor, count: Tensor, channels: int, low: float, high: float, out: Tensor
) -> None:
    """Write the nearest points of the box that differ from `center` in at most `count` groups to `out`.

    A group is the `channels` values of one pixel: element i of an example belongs to group i % (size / channels). Those
    are kept whose change, cut to the box, comes nearest: sum of d^2 - (d - cut d)^2 over the group.
    Source: Croce and Hein 2019, "Sparse and imperceivable adversarial attacks", section 4.1.
    """
    offset = points.double() - center.double()
    distance = offset.abs().clamp(max=FAR)
    change = torch.minimum(distance, _room(offset, center, low, high))
    gain = flat(change * (2.0 * distance - change))
    score = gain[:, : gain.shape[1] // channels].clone()
    for channel in gain.split(max(score.shape[1], 1), dim=1)[1:]:
        score += channel
    kept = largest(torch.where(score.isnan(), 0.0, score), count).repeat(1, channels).reshape(points.shape)
    out.copy_(clip(torch.where(kept | (points == center), points, center), low, high))


def l0_step(
    points: Tensor,
    grad: Tensor,
    center: Tensor,
    count: Tensor,
    step_size: Tensor,
    channels: int,
    low: float,
    high: float,
    out: Tensor,
) -> None:
    """Write P(points + step_size * grad / |grad|_2) to `out`; a gradient that is zero or not finite moves nothing."""
    gradient = grad.double()
    ratio = spread(step_size, points).double() / torch.sqrt(squared(gradient))
    along = torch.where(torch.isfinite(ratio), ratio, 0.0)
    travel = torch.where(along == 0, 0.0, along * gradient)
    moved = torch.where(along == 0, points, (points.double() + travel).to(points.dtype))
    l0_project(moved, center, count, channels, low, high, out)


def l0_sample(
    center: Tensor,
    count: Tensor,
    examples: Tensor,
    seed: int,
    restart: int,
    channels: int,
    low: float,
    high: float,
    out: Tensor,
) -> None:
    """Write `center` with `count` random groups replaced by values uniform in the box to `out`."""
    elements, key = size(center), {"seed": seed, "restart": restart}
    order = random.words(examples, elements=elements // channels, purpose=random.SUBSET, **key) + 1
    drawn = random.words(examples, elements=elements, purpose=random.UNIFORM, **key).reshape(center.shape)
    chosen = largest(order, count).repeat(1, channels).reshape(center.shape)
    out.copy_(torch.where(chosen, box_sample(drawn, center, low, high), clip(center, low, high)))


def l2_box_project(points: Tensor, center: Tensor, eps: Tensor, low: float, high: float, out: Tensor) -> None:
    """Write argmin |p - points|_2 over |p - center|_2 <= eps and low <= p <= high to `out`.

    p = center + sign(d) min(s |d|, room) with the largest s <= 1 that makes the length at most eps.
    """
    offset = points.double() - center.double()
    distance, room = offset.abs().clamp(max=FAR), _room(offset, center, low, high)
    reach = radius(eps, center).double()
    limit = reach * shrink(center)
    inside = squared(torch.minimum(distance, room)) <= reach * reach
    scale = spread(_l2_scale(flat(distance), flat(room), limit.reshape(-1, 1)), points)
    within = torch.minimum(scale * distance, room)
    near = _scaled(within, torch.sqrt(squared(within)), limit, offset, center)
    out.copy_(clip(torch.where(inside, points, near), low, high))


def largest(keys: Tensor, count: Tensor) -> Tensor:
    """Return where the `count` largest positive keys of each row are; of equals, the lowest indices."""
    order = torch.sort(keys, dim=1, descending=True, stable=True).indices
    rank = torch.arange(keys.shape[1], device=keys.device).expand(keys.shape)
    first = torch.zeros_like(keys, dtype=torch.bool).scatter(1, order, rank < count.reshape(-1, 1))
    return first & (keys > 0)


def uphill(points: Tensor, grad: Tensor, low: float, high: float) -> Tensor:
    """Return the gradient with 0 where it is NaN, or points out of the box at a point on its bound."""
    out_of_box = ((grad > 0) & (points >= high)) | ((grad < 0) & (points <= low))
    return torch.where(out_of_box | grad.isnan(), 0.0, grad)


def _scaled(within: Tensor, length: Tensor, limit: Tensor, offset: Tensor, center: Tensor) -> Tensor:
    """Return the center plus `within` in the direction of `offset`, made shorter where rounding made it too long."""
    fit = torch.where(length <= limit, 1.0, limit / length)  # NaN spoils its example
    return add_toward(center, torch.copysign(within * fit, offset))


def _l1_multiplier(distance: Tensor, room: Tensor, limit: Tensor) -> Tensor:
    """Return, per row, the root lam of sum min(max(distance - lam, 0), room) = limit.

    From above, the sum starts to rise at each `distance` and stops to at each `distance - room`.
    """
    at = torch.cat([distance, (distance - room).clamp(min=0.0)], dim=1)
    at, order = torch.sort(at, dim=1, descending=True, stable=True)
    turn = torch.where(order < distance.shape[1], 1.0, -1.0).double()
    slope = torch.cumsum(turn, dim=1)
    gained = torch.cumsum(slope[:, :-1] * (at[:, :-1] - at[:, 1:]), dim=1)
    gained = torch.nn.functional.pad(gained, (1, 0))
    before = ((gained < limit).sum(dim=1, keepdim=True) - 1).clamp(min=0)
    climbed = (limit - gained.gather(1, before)) / slope.gather(1, before).clamp(min=1.0)
    return (at.gather(1, before) - climbed).clamp(min=0.0)


def _l2_scale(distance: Tensor, room: Tensor, limit: Tensor) -> Tensor:
    """Return, per row, the root s of sum min(s * distance, room)^2 = limit^2, at most 1."""
    ratio = torch.where(distance > 0, room / distance, torch.inf)
    ratio, order = torch.sort(ratio, dim=1, stable=True)
    d, u = distance.gather(1, order).square(), room.gather(1, order).square()
    free = d.flip(1).cumsum(dim=1).flip(1)
    u = torch.where(ratio <= 1, u, 0.0)  # beyond, the root does not lie; the room may be infinite
    full = u.cumsum(dim=1) - u
    reached = free * ratio.square() + full
    before = ((reached < limit.square()) & (ratio <= 1)).sum(dim=1, keepdim=True).clamp(max=d.shape[1] - 1)
    scale = torch.sqrt((limit.square() - full.gather(1, before)).clamp(min=0.0) / free.gather(1, before))
    return scale.clamp(max=1.0)


def _room(offset: Tensor, center: Tensor, low: float, high: float) -> Tensor:
    """Return how far the box lets `center` move in the direction of `offset`."""
    middle = center.double()
    room = torch.where(offset > 0, high - middle, middle - low)
    return room.clamp(min=0.0)
