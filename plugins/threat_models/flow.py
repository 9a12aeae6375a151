"""Flow fields: every pixel is read from a place nearby."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Final

import torch

import featlab as fl

from .warp import Padding, check_limit, check_padding, check_pictures, of_rows, over, places, read, symmetric

_PURPOSE: Final = 33


@dataclass(frozen=True, eq=False)
class Displacement(fl.ThreatModel):
    """Pictures whose pixels are read from places at most `eps` pixels away along each axis, blended from points.

    The field of displacements is A p B^T, along x and along y, where rows of A and B are weights that sum to one: so
    it stays within eps wherever the points p, (batch, 2, ...) in pixels, do. `eps` is one number or one each.
    """

    eps: float | torch.Tensor
    padding: Padding = "edge"

    def __post_init__(self) -> None:
        check_limit("eps", self.eps, unit="pixels")
        check_padding(self.padding)

    @abstractmethod
    def weights(self, side: int, like: torch.Tensor) -> torch.Tensor:
        """Return how much each point has a say in each of the `side` pixels of a row, (side, points)."""

    @property
    def radius(self) -> float | torch.Tensor:
        """The largest displacement, eps."""
        return self.eps

    def rows(self, index: torch.Tensor) -> Displacement:
        """Return the threat model of some of the examples."""
        return replace(self, eps=of_rows(self.eps, index)) if isinstance(self.eps, torch.Tensor) else self

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the nearest points within eps."""
        del center
        eps = over(self.eps, points)
        return points.clamp(-eps, eps)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return sign(grad), and 0 where the gradient is NaN."""
        return grad.sign().nan_to_num(0.0)

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return displacements of zero."""
        check_pictures(type(self).__name__.lower(), center)
        height, width = (self.weights(side, center).shape[1] for side in center.shape[2:])
        return center.new_zeros(len(center), 2, height, width)

    def field(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the displacement of each pixel, (batch, 2, height, width): along x, along y."""
        down, along = (self.weights(side, points) for side in center.shape[2:])
        return down @ points @ along.T

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the pictures, each pixel read from where the field says."""
        check_pictures(type(self).__name__.lower(), center)
        (x, y), field = places(center, points), self.field(points, center)
        return read(center, x + field[:, 0], y + field[:, 1], padding=self.padding)


@dataclass(frozen=True, eq=False)
class Flow(Displacement):
    """Pictures whose pixels flow: pixel (i, j) is read at (i + v_ij, j + u_ij), where |u| and |v| are at most `eps`.

    Points are the displacements (u, v) in pixels at every `spacing`-th pixel of both axes, (batch, 2, ...); those
    between are blended from the nearest two along each axis, so neighbours differ by at most 2 eps / spacing, and
    where that is less than 1 no pixel passes another. With `spacing` 1 every pixel goes by itself, as in the paper,
    which penalises differences instead (`flow_loss`, the task `stadv`). Steps follow the sign of the gradient.
    Source: Xiao et al. 2018, "Spatially transformed adversarial examples", section 3.1.
    """

    spacing: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.spacing, int) or self.spacing < 1:
            raise ValueError(f"spacing must be a whole number of pixels >= 1, got {self.spacing}")

    def weights(self, side: int, like: torch.Tensor) -> torch.Tensor:
        """Return tents about every `spacing`-th pixel, max(0, 1 - |i / spacing - k|)."""
        pixels = torch.arange(side, dtype=like.dtype, device=like.device) / self.spacing
        knots = torch.arange(-(-(side - 1) // self.spacing) + 1, dtype=like.dtype, device=like.device)
        return (1 - (pixels[:, None] - knots).abs()).clamp(min=0)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return displacements uniform within eps."""
        still = self.start(center)
        return self.project(over(self.eps, still) * symmetric(still, key, purpose=_PURPOSE), center)


def flow_loss(flow: torch.Tensor) -> torch.Tensor:
    """Return how much a flow differs between neighbours, one number per example.

    sum_p sum_{q in N(p)} sqrt((u_p - u_q)^2 + (v_p - v_q)^2) over pixels p and their up to four neighbours q, for
    `flow` (u, v) of shape (batch, 2, height, width) in pixels. Where neighbours agree the derivative is 0.
    Source: Xiao et al. 2018, section 3.2, equation 4.
    """
    if flow.dim() != 4 or flow.shape[1] != 2:
        raise ValueError(f"a flow has shape (batch, 2, height, width); got {tuple(flow.shape)}")
    # Both pixels of a pair have each other as neighbours.
    return 2 * (_lengths(flow.diff(dim=2)) + _lengths(flow.diff(dim=3)))


def _lengths(vectors: torch.Tensor) -> torch.Tensor:
    """Return the sum of the lengths of vectors (u, v), (batch, 2, ...); at 0 the derivative of a length is 0."""
    squares = vectors[:, 0].square() + vectors[:, 1].square()
    some = squares > 0
    return torch.where(some, torch.where(some, squares, 1.0).sqrt(), 0.0).flatten(1).sum(dim=1)
