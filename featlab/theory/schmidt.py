"""Robust generalisation needs more data: one Gaussian sample suffices for accuracy, not for robust accuracy.

x ~ N(y theta, sigma^2 I) with |theta| = sqrt(d). From n samples the mean of y x is learned.
Source: Schmidt et al. 2018, section 2.1, theorems 4 to 6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from featlab.theory.linear import accuracy


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The data: theta = (1, ..., 1) in `dimension` d, and sigma, by default d^(1/4)."""

    dimension: int
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if self.dimension < 1 or self.sigma < 0:
            raise ValueError(f"dimension must be >= 1 and sigma >= 0, got {self.dimension} and {self.sigma}")

    def noise(self) -> float:
        """Return the standard deviation of a coordinate."""
        return self.sigma or self.dimension**0.25

    def learned(self, count: int, *, seed: int = 0) -> Tensor:
        """Return the mean of y x over `count` samples, which is N(theta, sigma^2 / count)."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(self.dimension, generator=generator, dtype=torch.float64)
        return 1 + self.noise() / math.sqrt(count) * noise

    def accuracy(self, count: int, *, eps: float = 0.0, repeats: int = 20, seed: int = 0) -> float:
        """Return the accuracy against linf eps of what `count` samples teach, the mean of `repeats` draws of them."""
        theta = torch.ones(self.dimension, dtype=torch.float64)
        spread = torch.full_like(theta, self.noise() ** 2)
        found = [
            accuracy(self.learned(count, seed=seed + number), theta, spread, eps=eps, norm="linf")
            for number in range(repeats)
        ]
        return sum(found) / repeats
