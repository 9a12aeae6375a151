"""Another threat model, but only in some places."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

import featlab as fl


@dataclass(frozen=True, eq=False)
class Masked(fl.ThreatModel):
    """The points of another threat model that equal the centre wherever `mask` is 0.

    `mask` is 0 or 1 and broadcasts against the images; one mask for all examples, or one each (batch, ...).
    Source: Brown et al. 2017, section 2 (patches); Santurkar et al. 2019, section 3 (in-painting, painting).
    """

    inside: fl.ThreatModel
    mask: torch.Tensor

    def __post_init__(self) -> None:
        if not bool(((self.mask == 0) | (self.mask == 1)).all()):
            raise ValueError("a mask must be 0 where nothing may change and 1 where it may; got other values")

    @property
    def radius(self) -> float | torch.Tensor:
        """The radius of the other threat model."""
        return self.inside.radius

    def rows(self, index: torch.Tensor) -> Masked:
        """Return the threat model of some of the examples."""
        shared = self.mask.dim() < 2 or self.mask.shape[0] == 1 or self.mask.dim() < 4
        return replace(self, inside=self.inside.rows(index), mask=self.mask if shared else self.mask[index])

    def _only_inside(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        return torch.where(self.mask.to(points.device).bool(), points, center)

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the projection of the points that have moved only where they may."""
        return self._only_inside(self.inside.project(self._only_inside(points, center), center), center)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return the steepest direction among those that change nothing outside the mask."""
        return self.inside.steepest(grad * self.mask.to(grad))

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return a sample of the other threat model where the mask lets it."""
        return self._only_inside(self.inside.sample(center, key=key), center)
