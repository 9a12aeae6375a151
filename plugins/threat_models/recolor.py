"""Another colour for each colour: one smooth map for all pixels of an image."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import featlab as fl

from .offsets import Offsets, check_pictures, check_size, settled


@dataclass(frozen=True, eq=False)
class Recolor(Offsets):
    """Each pixel moves by a displacement that depends on its colour alone, at most `eps` in each channel.

    Points are the displacements at the knots of a grid over the colour space: (batch, 3, knots, knots, knots) for RGB
    images, (batch, 1, knots) for grey ones, where they are a tone curve. Between the knots they are interpolated
    (tri)linearly, d(x), and x' = x + d(x), cut to [0, 1]: |x' - x| <= eps holds exactly. Before, they are smoothed
    `smooth` times over neighbouring knots with weights (1/4, 1/2, 1/4), so that like colours stay alike: neighbours
    then differ by at most eps once smoothed, as against 2 eps.
    Source: Laidlaw and Feizi 2019, "Functional adversarial attacks", sections 3 and 4 (ReColorAdv, there with a penalty
    for what is not smooth).
    """

    knots: int = 5
    smooth: int = 0

    def __post_init__(self) -> None:
        check_size(self.eps, most=1.0, unit="; write 8 steps of 255 as 8/255")
        if self.knots < 2 or self.smooth < 0:
            raise ValueError(f"knots must be >= 2 and smooth >= 0, got {self.knots} and {self.smooth}")

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return no displacement at any knot."""
        check_pictures("recolor", center, channels=(1, 3))
        channels = center.shape[1]
        return center.new_zeros(len(center), channels, *[self.knots] * channels)

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the images with their colours displaced."""
        for _ in range(self.smooth):
            points = _smoothed(points)
        change = self._between(points, center).reshape(center.shape)
        moved = (center + change).clamp(0, 1)
        return settled(moved, fl.ops.linf_project(moved, center, eps=self.eps))

    def _between(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return (batch, channels, pixels) displacements: sums over the knots, weighted by how near each colour is.

        The weights are products over the channels. All but the last channel's meet the knots in one product of
        matrices, whose gradient, other than that of a look-up, is the same each time on every device.
        """
        *first, last = self._nearness(center).unbind(dim=1)
        weights = first[0][:, :, None] * first[1][:, None] if first else torch.ones_like(last[:, :1])
        knots = points.movedim(-1, 2).flatten(3) if first else points[..., None]
        meeting = knots.flatten(1, 2) @ weights.flatten(1, -2)
        change: torch.Tensor = (meeting.unflatten(1, knots.shape[1:3]) * last[:, None]).sum(dim=2)
        return change

    def _nearness(self, center: torch.Tensor) -> torch.Tensor:
        """Return (batch, channels, knots, pixels) weights 1 - |x - knot| / gap where positive: two knots' at most."""
        place = center.flatten(2)[:, :, None] * (self.knots - 1)
        knot = torch.arange(self.knots, dtype=center.dtype, device=center.device)
        return (1 - (place - knot[:, None]).abs()).clamp(min=0)


def _smoothed(points: torch.Tensor) -> torch.Tensor:
    """Return the mean of each knot and its neighbours along each axis; at the ends a knot is its own neighbour."""
    for axis in range(2, points.dim()):
        size = points.shape[axis]
        before, after = points.narrow(axis, 0, 1), points.narrow(axis, size - 1, 1)
        wide = torch.cat([before, points, after], dim=axis)
        points = 0.25 * wide.narrow(axis, 0, size) + 0.5 * points + 0.25 * wide.narrow(axis, 2, size)
    return points
