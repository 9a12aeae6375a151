"""The smallest change that makes up a linear gap inside a box, in the norms of the classical balls."""

from collections.abc import Callable

import torch
from torch import Tensor

from featlab.ops.arguments import Within, check_state, checked
from featlab.types import Points, Scores

ORDERS = (1.0, 2.0, float("inf"))
_Rows = Callable[[Tensor, Tensor, Tensor], Tensor]


def hyperplane_project(
    points: Points, normal: Points, gap: Scores, *, order: float, low: float = 0.0, high: float = 1.0
) -> Points:
    """Return argmin |p - points|_order over <normal, p - points> = gap and low <= p <= high, for points in the box.

    `order` is 1, 2 or inf, `gap` has shape (batch,) and may have either sign. The change moves each value along its
    sign(gap) normal_i, by min(t, room_i) in order inf and min(t |normal_i|, room_i) in order 2, with the least t that
    suffices (found by Newton's method, which for these concave, piecewise linear functions rises to the root); in order
    1 the values of largest |normal_i| move one after the other, as far as the box lets them (a fractional knapsack).
    Where all room does not suffice, all of it is used; where the gap is 0 the points stay.
    Source: Croce and Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary attack",
    section 2.2; the conditions of Karush, Kuhn and Tucker.
    """
    check_state("hyperplane_project", points, {"normal": normal})
    low, high = Within(0.0, low, high).arguments(points)[1:]
    if order not in ORDERS:
        raise ValueError(f"hyperplane_project: order must be 1, 2 or inf; got {order}.")
    with torch.no_grad():
        rows = points.flatten(1)
        uphill = (normal.flatten(1) * checked("gap", gap, points).sign().to(points)[:, None]).nan_to_num(0.0)
        room = torch.where(uphill > 0, high - rows, rows - low).clamp(0.0, FAR)
        length = _LENGTHS[order](uphill.abs(), room, gap.abs().double())
        moved = torch.where(uphill < 0, rows - length, rows + length).clamp(low, high)
        # The whole room ends at the bound itself, whatever rounding made of the difference.
        bound = torch.where(uphill < 0, low, high).to(rows.dtype)
        return torch.where((length >= room) & (length > 0), bound, moved).reshape(points.shape)


def _in_proportion(slope: Tensor, share: Tensor, room: Tensor, gap: Tensor) -> Tensor:
    """Return min(t share, room) with the least t >= 0 for which sum slope min(t share, room) = gap, or all room."""
    scale = slope.amax(dim=1, keepdim=True).double().clamp_min(torch.finfo(torch.float64).tiny)
    slope, left = slope / scale.to(slope.dtype), gap / scale[:, 0]
    t, gains = torch.zeros_like(left), slope * share
    for _ in range(NEWTON):
        length = torch.minimum(t.to(slope.dtype)[:, None] * share, room)
        gained = torch.linalg.vecdot(slope, length).double()
        steep = torch.where(length < room, gains, 0.0).sum(dim=1).double()
        missing = left - gained
        more = torch.where((steep > 0) & (missing > 0), missing / steep.clamp_min(1e-300), 0.0)
        t = t + more
        if not bool((more > 1e-7 * t).any()):
            break
    short = (steep <= 0) & (missing > 1e-7 * left)
    return torch.where(short[:, None], room * (slope > 0), torch.minimum(t.to(slope.dtype)[:, None] * share, room))


FAR = 1e30
"""Without a box the room is this, so that sums of it stay numbers."""

NEWTON = 60
"""The most steps; each one leaves at least one more value at its bound, and rarely are there more than ten."""


def _alike(slope: Tensor, room: Tensor, gap: Tensor) -> Tensor:
    return _in_proportion(slope, (slope > 0).to(slope.dtype), room, gap)


def _as_steep(slope: Tensor, room: Tensor, gap: Tensor) -> Tensor:
    largest = slope.amax(dim=1, keepdim=True)
    return _in_proportion(slope, slope / torch.where(largest > 0, largest, 1.0), room, gap)


def _in_turn(slope: Tensor, room: Tensor, gap: Tensor) -> Tensor:
    order = slope.argsort(dim=1, descending=True, stable=True)
    sorted_slope, sorted_room = slope.gather(1, order), room.gather(1, order)
    gains = (sorted_slope * sorted_room).double()
    before = gains.cumsum(dim=1) - gains
    left = (gap[:, None] - before).clamp_min(0.0)
    part = left / sorted_slope.double().clamp_min(torch.finfo(torch.float64).tiny)
    length = torch.where(sorted_slope > 0, torch.minimum(part, sorted_room.double()), 0.0)
    return torch.zeros_like(slope).scatter(1, order, length.to(slope.dtype))


_LENGTHS: dict[float, _Rows] = {1.0: _in_turn, 2.0: _as_steep, float("inf"): _alike}
