"""Few changes of any size."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch

import featlab as fl

from .balls import normalized


@dataclass(frozen=True, eq=False)
class L0(fl.ThreatModel):
    """Points that differ from the centre in at most `count` values or pixels, with values in [low, high].

    `count` is one whole number or one each. A pixel is all channels of one place, for images of shape (channels, ...)
    with at least two dimensions; elsewhere every value is a pixel. Steps follow the normalised gradient; the projection
    then keeps the changes that matter most. Step sizes are in the units of the Euclidean norm, and `radius` is what
    `count` changes across the box would measure: a step has to be large to bring other values in.
    Source: Croce and Hein 2019, "Sparse and imperceivable adversarial attacks", section 4 (PGD_0).
    """

    count: int | torch.Tensor
    per: Literal["value", "pixel"] = "value"
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        count = torch.as_tensor(self.count)
        if count.dim() > 1 or count.dtype.is_floating_point or not bool((count >= 0).all()):
            raise ValueError(f"count must be a whole number >= 0, or one for each example, got {self.count}")
        if self.per not in {"value", "pixel"}:
            raise ValueError(f"per must be 'value' or 'pixel', got {self.per!r}")
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"low and high must be finite, low less than high, got {self.low} and {self.high}")

    @property
    def radius(self) -> float | torch.Tensor:
        """The Euclidean length of `count` changes from one bound of the box to the other."""
        width = self.high - self.low
        return width * self.count.sqrt() if isinstance(self.count, torch.Tensor) else width * math.sqrt(self.count)

    def distance(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return how many values or pixels differ."""
        changed = (points != center).reshape(len(points), self._channels(center), -1)
        return changed.any(dim=1).sum(dim=1).double()

    def rows(self, index: torch.Tensor) -> L0:
        """Return the threat model of some of the examples."""
        return replace(self, count=self.count.to(index.device)[index]) if isinstance(self.count, torch.Tensor) else self

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the nearest points of the set."""
        return fl.ops.l0_project(
            points, center, count=self.count, channels=self._channels(center), low=self.low, high=self.high
        )

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return grad / |grad|, and 0 for a gradient of 0."""
        return normalized(grad)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return the centre with `count` random values or pixels replaced by random ones."""
        return fl.ops.l0_sample(
            center,
            count=self.count,
            seed=key.seed,
            examples=key.examples,
            restart=key.restart,
            channels=self._channels(center),
            low=self.low,
            high=self.high,
        )

    def step(
        self,
        points: torch.Tensor,
        grad: torch.Tensor,
        center: torch.Tensor,
        *,
        step_size: float | torch.Tensor,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the step of the definition, without a sort."""
        return fl.ops.l0_step(
            points,
            grad,
            center,
            count=self.count,
            step_size=step_size,
            channels=self._channels(center),
            low=self.low,
            high=self.high,
            out=out,
        )

    def _channels(self, center: torch.Tensor) -> int:
        return center.shape[1] if self.per == "pixel" and center.dim() > 2 else 1
