"""Elastic deformations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch

import featlab as fl

from .flow import Displacement
from .warp import over, symmetric

_PURPOSE: Final = 34


@dataclass(frozen=True, eq=False)
class Elastic(Displacement):
    """Pictures whose pixels are read from places at most `eps` pixels away along each axis, by a smooth field.

    Points are displacements (u, v) of each pixel, (batch, 2, height, width) with |u| and |v| at most `eps`; what they
    stand for is the picture read by their mean under a Gaussian of standard deviation `sigma` pixels, cut off and
    normalised at the picture's border. Steps follow the sign of the gradient.
    Source: Simard et al. 2003, "Best practices for convolutional neural networks", section 2; as an attack: Kang et
    al. 2019, "Testing robustness against unforeseen adversaries", section 3.
    """

    sigma: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma must be a finite number of pixels > 0, got {self.sigma}")

    def weights(self, side: int, like: torch.Tensor) -> torch.Tensor:
        """Return Gaussians about each pixel, exp(-(i - k)^2 / (2 sigma^2)) over their sum."""
        pixels = torch.arange(side, dtype=like.dtype, device=like.device) / self.sigma
        far = (pixels[:, None] - pixels).abs()
        # From six sigma on a bell is less than a rounding error of its peak; later it would be denormal, and slow.
        bells = torch.where(far < 6, (-0.5 * far.square()).exp(), 0.0)
        return bells / bells.sum(dim=1, keepdim=True)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return uniform noise that is smoothed, then enlarged until the largest displacement is eps.

        Noise that is smoothed alone would hardly displace anything.
        """
        noise = symmetric(self.start(center), key, purpose=_PURPOSE)
        smooth = self.field(noise, center)
        largest = smooth.flatten(1).abs().amax(dim=1).clamp(min=torch.finfo(smooth.dtype).tiny)
        return self.project(over(self.eps, smooth) * smooth / over(largest, smooth), center)
