"""Less sharp images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch

import featlab as fl

from .balls import normalized
from .offsets import at_most, check_pictures, check_size, constant


@dataclass(frozen=True, eq=False)
class Blur(fl.ThreatModel):
    """A Gaussian blur, whose standard deviation is at most `sigma` pixels in any direction.

    Points p >= 0 with sum(p) <= eps <= 1 are shares of the variance sigma^2: of one blur alike in all directions,
    (batch, 1), for the kind "gaussian"; of blurs along the horizontal, the vertical and the two diagonals, (batch, 4),
    for the kind "motion", which smears the image along any direction. Steps follow the normalised gradient.

    With the frequencies w of the image continued by its mirror image, the blur multiplies the spectrum by

        exp(-sigma^2 sum_i p_i r_i(w)),    r(w) = (1 - cos <w, d>) / |d|^2 for steps d along the direction

    (the sum of the two along the axes, for the kind "gaussian"). That is the discrete kernel whose variance is exactly
    p_i sigma^2: it has no negative values, so that images stay in [0, 1]; it is smooth at p = 0, where it is the
    identity and has a gradient, as a sampled exp(-x^2 / 2 s^2) has none.
    Source: Hendrycks and Dietterich 2019, section 4.1 (blurs); kernel: Lindeberg 1990, "Scale-space for discrete
    signals".
    """

    sigma: float
    eps: float | torch.Tensor = 1.0
    kind: Literal["gaussian", "motion"] = "gaussian"

    def __post_init__(self) -> None:
        check_size(self.eps, most=1.0)
        if not 0 <= self.sigma < math.inf:
            raise ValueError(f"sigma must be a finite number of pixels >= 0, got {self.sigma}")
        if self.kind not in {"gaussian", "motion"}:
            raise ValueError(f"kind must be 'gaussian' or 'motion', got {self.kind!r}")

    @property
    def radius(self) -> float | torch.Tensor:
        """The size eps."""
        return self.eps

    def resized(self, radius: float | torch.Tensor) -> Blur:
        """Return the set with another eps, which becomes 1 where it is more."""
        return replace(self, eps=at_most(radius, 1.0))

    def rows(self, index: torch.Tensor) -> Blur:
        """Return the threat model of some of the examples."""
        return replace(self, eps=self.eps.to(index.device)[index]) if isinstance(self.eps, torch.Tensor) else self

    def distance(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the least eps of a set that the points are in."""
        del center
        return points.abs().double().sum(dim=1)

    def admissible(self, grad: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Return the gradient with 0 where it asks for less blur than none."""
        return torch.where((points <= 0) & (grad < 0), 0.0, grad)

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return no blur in any direction."""
        check_pictures("blur", center)
        return center.new_zeros(len(center), 1 if self.kind == "gaussian" else 4)

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the nearest shares."""
        del center
        return fl.ops.l1_project(points, torch.zeros_like(points), eps=self.eps, low=0.0, high=math.inf)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return grad / |grad|, and 0 for a gradient of 0."""
        return normalized(grad)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return shares uniform among all that there are."""
        drawn = fl.ops.l1_sample(
            self.start(center),
            eps=self.eps,
            seed=key.seed,
            examples=key.examples,
            restart=key.restart,
            low=-math.inf,
            high=math.inf,
        )
        return drawn.abs()

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the blurred images."""
        if len(center) == 0:  # Not every library transforms nothing.
            return center + points.sum()
        height, width = center.shape[2:]
        rates = _gaussian(center, height, width) if self.kind == "gaussian" else _motion(center, height, width)
        fading = torch.einsum("bi,ihw->bhw", points, rates)[:, None] * -(self.sigma**2)
        mirrored = torch.cat([center, center.flip(2)], dim=2)
        mirrored = torch.cat([mirrored, mirrored.flip(3)], dim=3)
        # What the blur takes away, which is exactly nothing where the points are 0.
        taken = torch.fft.rfft2(mirrored) * torch.expm1(fading)
        change: torch.Tensor = torch.fft.irfft2(taken, s=mirrored.shape[2:])
        return (center + change[..., :height, :width]).clamp(0, 1)


@constant
def _gaussian(height: int, width: int) -> torch.Tensor:
    """Return the rates (1, frequencies) at which waves fade in a blur alike in all directions."""
    return _rates(height, width).narrow(0, 0, 2).sum(dim=0, keepdim=True)


@constant
def _motion(height: int, width: int) -> torch.Tensor:
    """Return the rates (4, frequencies) at which waves fade along the axes and the diagonals."""
    return _rates(height, width)


def _rates(height: int, width: int) -> torch.Tensor:
    """Return how quickly each wave of the mirrored image fades in each direction: 1 - cos of its turn per step."""
    down = 2 * math.pi * torch.fft.fftfreq(2 * height, dtype=torch.float64)[:, None]
    across = 2 * math.pi * torch.fft.rfftfreq(2 * width, dtype=torch.float64)
    waves = (across + 0 * down, down + 0 * across, down + across, down - across)
    lengths = (1, 1, 2, 2)
    return torch.stack([(1 - wave.cos()) / length for wave, length in zip(waves, lengths, strict=True)])
