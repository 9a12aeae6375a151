"""Pictures: total variation, decorrelated colour, affine maps.

Pictures are (batch, channels, height, width); total variation takes any dimensions between the first and the last two.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from featlab.ops.reference.shared import spread, total

L1, L2, HUBER = 0, 1, 2
"""What a difference d between neighbours costs: |d|, d^2, or d^2 / (2 delta) up to delta and |d| - delta / 2 beyond."""


def total_variation(images: Tensor, weight: Tensor, kind: int, delta: float, value: Tensor, slope: Tensor) -> None:
    """Write weight * sum of cost(x[i + 1] - x[i]) over both directions to `value`, and its gradient to `slope`.

    Sums are taken in float64. A `slope` without elements is not wanted.
    """
    across, down = images.diff(dim=-1), images.diff(dim=-2)
    length = total(_cost(across, kind, delta).double()) + total(_cost(down, kind, delta).double())
    value.copy_(length.flatten() * weight.double())
    if slope.numel() == 0:
        return
    along, below = _slope(across, kind, delta), _slope(down, kind, delta)
    horizontal = F.pad(along, (1, 0)) - F.pad(along, (0, 1))
    vertical = F.pad(below, (0, 0, 1, 0)) - F.pad(below, (0, 0, 0, 1))
    slope.copy_(spread(weight, images) * (horizontal + vertical))


def _cost(step: Tensor, kind: int, delta: float) -> Tensor:
    if kind == L1:
        return step.abs()
    if kind == L2:
        return step * step
    size = step.abs()
    return torch.where(size <= delta, step * step * (0.5 / delta), size - 0.5 * delta)


def _slope(step: Tensor, kind: int, delta: float) -> Tensor:
    """Return the derivative of the cost; that of |d| is 0 at 0."""
    if kind == L1:
        return torch.where(step > 0, 1.0, torch.where(step < 0, -1.0, 0.0)).to(step.dtype)
    if kind == L2:
        return 2.0 * step
    return (step * (1.0 / delta)).clamp(-1.0, 1.0)


def colour(points: Tensor, matrix: Tensor, mean: Tensor, std: Tensor, out: Tensor) -> None:
    """Write (sigmoid(matrix @ points) - mean) / std, channel by channel, to `out`, in the type of `out`."""
    shown = torch.sigmoid(_mixed(matrix, points))
    out.copy_((shown - _channels(mean)) / _channels(std))


def colour_backward(grad: Tensor, points: Tensor, matrix: Tensor, std: Tensor, out: Tensor) -> None:
    """Write the gradient with respect to the points, matrix^T @ (grad / std * s * (1 - s)), to `out`."""
    shown = torch.sigmoid(_mixed(matrix, points))
    out.copy_(_mixed(matrix.T, grad.to(points.dtype) / _channels(std) * (shown * (1.0 - shown))))


def _mixed(matrix: Tensor, points: Tensor) -> Tensor:
    """Return matrix @ points over the channels, with sums in the order of the channels."""
    first, second, third = (matrix[:, k].reshape(-1, 1, 1) * points[:, k : k + 1] for k in range(3))
    return first + second + third


def _channels(values: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1)


def affine(images: Tensor, theta: Tensor, edge: bool, out: Tensor) -> None:
    """Write out[.., i, j] = images at (x, y) = (t0 j + t1 i + t2, t3 j + t4 i + t5), bilinear, to `out`.

    `theta` holds t0 to t5 for each example. Outside the picture lies its edge, or zero.
    """
    flat = images.flatten(2)
    terms = [
        weight * flat.gather(2, place.expand(-1, images.shape[1], -1))
        for place, weight in _corners(images, theta, edge)
    ]
    out.copy_(((terms[0] + terms[1]) + (terms[2] + terms[3])).reshape(images.shape))


def affine_backward(grad: Tensor, theta: Tensor, edge: bool, out: Tensor) -> None:
    """Write the transpose of `affine`, applied to `grad`, to `out`; sums are taken in float64, in a fixed order."""
    batch, channels = grad.shape[:2]
    rows = torch.arange(batch * channels, device=grad.device).reshape(batch, channels, 1)
    sums = torch.zeros(batch * channels, grad[0, 0].numel(), dtype=torch.float64, device=grad.device)
    for place, weight in _corners(grad, theta, edge):
        share = weight.double() * grad.flatten(2).double()
        sums.index_put_((rows, place), share, accumulate=True)
    out.copy_(sums.reshape(grad.shape))


def _corners(images: Tensor, theta: Tensor, edge: bool) -> list[tuple[Tensor, Tensor]]:
    """Return the four neighbours of each place that is read: indices and weights, (batch, 1, height * width)."""
    height, width = images.shape[2:]
    t = theta.reshape(-1, 6, 1, 1)
    i = torch.arange(height, dtype=images.dtype, device=images.device).reshape(1, -1, 1)
    j = torch.arange(width, dtype=images.dtype, device=images.device).reshape(1, 1, -1)
    columns = _pair((t[:, 0] * j + t[:, 1] * i) + t[:, 2], width, edge)
    rows = _pair((t[:, 3] * j + t[:, 4] * i) + t[:, 5], height, edge)
    return [
        ((row * width + column).flatten(1).unsqueeze(1), (high * wide).flatten(1).unsqueeze(1))
        for row, high in rows
        for column, wide in columns
    ]


def _pair(at: Tensor, length: int, edge: bool) -> tuple[tuple[Tensor, Tensor], ...]:
    """Return the indices below and above a coordinate with their weights; what is outside has weight 0."""
    low, high = (0.0, length - 1.0) if edge else (-1.0, float(length))
    inside = torch.where(at > low, torch.where(at < high, at, high), low)  # NaN becomes `low`.
    below = inside.floor()
    above = inside - below
    return tuple(
        (
            index.clamp(0, length - 1).to(torch.int64),
            torch.where((index >= 0) & (index <= length - 1), weight, 0.0).to(at.dtype),
        )
        for index, weight in ((below, 1.0 - above), (below + 1.0, above))
    )
