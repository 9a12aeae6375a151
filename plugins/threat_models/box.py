"""The box: any image."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import featlab as fl

from .balls import L2


@dataclass(frozen=True, eq=False)
class Box(fl.ThreatModel):
    """All images with values in [low, high], wherever they begin. Steps follow the normalised gradient.

    This is where representations are inverted: l2 steps with no bound but the image range.
    Source: Ilyas et al. 2019, section 3.1; Engstrom et al. 2019, section 4.1.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        self._all()  # It refuses an empty box.

    def _all(self) -> L2:
        return L2(float("inf"), self.low, self.high)

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the points cut to the box."""
        return self._all().project(points, center)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return grad / |grad|, and 0 for a gradient of 0."""
        return self._all().steepest(grad)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return points uniform in the box."""
        return self._all().sample(center, key=key)

    def step(
        self,
        points: torch.Tensor,
        grad: torch.Tensor,
        center: torch.Tensor,
        *,
        step_size: float | torch.Tensor,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the step of the definition, in one pass over memory."""
        return self._all().step(points, grad, center, step_size=step_size, out=out)
