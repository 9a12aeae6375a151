"""Rotations, shifts and zooms."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import torch

import featlab as fl

from .warp import Padding, check_limit, check_padding, check_pictures, of_rows, over, places, read, symmetric, uniform

_PURPOSE: Final = 32
_FIRST: Final = 37
_GOLDEN: Final = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, eq=False)
class Rigid(fl.ThreatModel):
    """Pictures turned by at most `rotation` degrees and shifted by at most `translation` pixels along each axis.

    Points are poses (batch, 3): the shift to the right, the shift downwards and the turn to the left, each as a share
    in [-1, 1] of its limit. With `scale` s > 1 (or one each) there is a fourth share p, which enlarges by s^p. The
    picture is turned and enlarged about its middle, then shifted, in one bilinear reading; `padding` is what lies
    outside it. Limits are one number or one each. Steps follow the sign of the gradient; their size is in shares.

    Random starts draw uniform poses, so random search is an attack of no steps and many restarts. With `grid`, the
    numbers of poses along the axes, in the order of the points, they walk over a grid instead, both limits included:
    the restarts of an example start at one after the other of its `poses`, never twice at the same, the first ones far
    apart.
    The defaults are the paper's for pictures of 28 and 32 pixels, where its grid is (5, 5, 31).
    Source: Engstrom et al. 2019, "Exploring the landscape of spatial robustness", sections 3 and 4.
    """

    rotation: float | torch.Tensor = 30.0
    translation: float | torch.Tensor = 3.0
    scale: float | torch.Tensor = 1.0
    grid: tuple[int, ...] | None = None
    padding: Padding = "zero"

    def __post_init__(self) -> None:
        check_limit("rotation", self.rotation, most=180, unit="degrees")
        check_limit("translation", self.translation, unit="pixels")
        check_limit("scale", self.scale, least=1, unit="times")
        check_padding(self.padding)
        if self.grid is not None and (len(self.grid) != self._axes or min(self.grid) < 1):
            axes = "shifts and turns" if self._axes == 3 else "shifts, turns and scales"
            raise ValueError(
                f"grid must be {self._axes} whole numbers >= 1, of {axes}, such as {':'.join('553'[: self._axes])}; "
                f"got {self.grid}"
            )

    @property
    def poses(self) -> int:
        """The number of poses on the grid; so many restarts are exhaustive. ValueError without a grid."""
        if self.grid is None:
            raise ValueError("there is no grid to count the poses of; pass for example grid=(5, 5, 31)")
        return math.prod(self.grid)

    @property
    def _axes(self) -> int:
        return 4 if isinstance(self.scale, torch.Tensor) or self.scale > 1 else 3

    def rows(self, index: torch.Tensor) -> Rigid:
        """Return the threat model of some of the examples."""
        limits = (self.rotation, self.translation, self.scale)
        if not any(isinstance(limit, torch.Tensor) for limit in limits):
            return self
        rotation, translation, scale = (of_rows(limit, index) for limit in limits)
        return replace(self, rotation=rotation, translation=translation, scale=scale)

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the nearest poses within the limits."""
        del center
        return points.clamp(-1, 1)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return sign(grad), and 0 where the gradient is NaN."""
        return grad.sign().nan_to_num(0.0)

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return the poses of pictures as they are."""
        check_pictures("rigid", center)
        return center.new_zeros(len(center), self._axes)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return uniform poses, or each example's pose of the grid."""
        still = self.start(center)
        return symmetric(still, key, purpose=_PURPOSE) if self.grid is None else self._visited(self.grid, still, key)

    def _visited(self, grid: tuple[int, ...], like: torch.Tensor, key: fl.Key) -> torch.Tensor:
        """Return where the restart is on a walk over the grid, from a random pose in strides of the golden section."""
        strides = range(round(_GOLDEN * self.poses), self.poses)
        # Prime to the number of poses, so that all are visited before the first one is again.
        stride = next((each for each in strides if math.gcd(each, self.poses) == 1), 1)
        first = uniform(like[:, :1].double(), replace(key, restart=0), purpose=_FIRST)[:, 0]
        place = ((first * self.poses).long() + key.restart * stride) % self.poses
        shares = []
        for count in grid:
            along, place = place % count, place // count
            shares.append(2 * along / (count - 1) - 1 if count > 1 else torch.zeros_like(first))
        return torch.stack(shares, dim=1).to(like)

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the pictures in their poses."""
        check_pictures("rigid", center)
        pose = points[:, :, None, None]
        right, down = (over(self.translation, pose) * pose[:, :2]).unbind(dim=1)
        angle = (over(self.rotation, pose) * pose[:, 2:3])[:, 0] * (math.pi / 180)
        cosine, sine = angle.cos(), angle.sin()
        if points.shape[1] == 4:
            smaller = (over(self.scale, pose) ** -pose[:, 3:])[:, 0]
            cosine, sine = cosine * smaller, sine * smaller
        x, y = places(center, points)
        middle_x, middle_y = (center.shape[3] - 1) / 2, (center.shape[2] - 1) / 2
        # From the picture that is made to the one that is read: shifted, turned and scaled back.
        x, y = x - middle_x - right, y - middle_y - down
        x, y = cosine * x - sine * y + middle_x, sine * x + cosine * y + middle_y
        return read(center, x, y, padding=self.padding)
