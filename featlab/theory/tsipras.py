"""Data on which accuracy and robustness are at odds: one robust coordinate, and many weak ones that sum up.

y = +1 or -1; x_1 = y with probability p, else -y; x_2 ... x_{d+1} ~ N(eta y, 1).
Source: Tsipras et al. 2019, section 2.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from featlab.theory.linear import normal_cdf


@dataclass(frozen=True, kw_only=True)
class AtOdds:
    """The data: `dimension` d of weak coordinates, `p` of the strong one, `eta` the mean of the weak ones."""

    dimension: int
    p: float
    eta: float

    def __post_init__(self) -> None:
        if self.dimension < 1 or not 0.5 <= self.p < 1 or not self.eta > 0:
            raise ValueError(
                f"dimension must be >= 1, p in [0.5, 1) and eta > 0; got {self.dimension}, {self.p} and {self.eta}"
            )

    def mean_accuracy(self, *, eps: float = 0.0) -> float:
        """Return the accuracy of the mean of the weak coordinates against linf eps: Phi(sqrt(d) (eta - eps)).

        Without an adversary it is nearly 1 where eta >= 3 / sqrt(d); eps = 2 eta turns every coordinate around.
        """
        return float(normal_cdf(math.sqrt(self.dimension) * (self.eta - eps)))

    def strong_accuracy(self, *, eps: float = 0.0) -> float:
        """Return the accuracy of the strong coordinate alone: p, as long as eps < 1."""
        return self.p if eps < 1 else 0.0

    def bound(self, accuracy: float) -> float:
        """Return the most that a classifier of this standard accuracy can keep against linf eps >= 2 eta (theorem 2.1).

        robust accuracy <= p / (1 - p) * (1 - accuracy).
        """
        return min(1.0, self.p / (1 - self.p) * (1 - accuracy))

    def sample(self, count: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Return points (count, 1 + dimension) and their y in {-1, +1}, in float64."""
        generator = torch.Generator().manual_seed(seed)
        y = torch.randint(0, 2, (count,), generator=generator).double() * 2 - 1
        flips = torch.rand(count, generator=generator, dtype=torch.float64) >= self.p
        weak = torch.randn(count, self.dimension, generator=generator, dtype=torch.float64) + self.eta * y[:, None]
        return torch.cat([torch.where(flips, -y, y)[:, None], weak], dim=1), y
