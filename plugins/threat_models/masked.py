"""Another threat model, but only in some places."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

import featlab as fl


@dataclass(frozen=True, eq=False)
class Masked(fl.ThreatModel):
    """The points of another threat model that equal the centre wherever `mask` is 0.

    `mask` is 0 or 1 and broadcasts against the images. With as many dimensions as they have it holds one mask for each
    example (or one for all, where its batch is 1); with fewer, one for all.
    Source: Brown et al. 2017, section 2 (patches); Santurkar et al. 2019, section 3 (in-painting, painting).
    """

    inside: fl.ThreatModel
    mask: torch.Tensor

    def __post_init__(self) -> None:
        if not bool(((self.mask == 0) | (self.mask == 1)).all()):
            raise ValueError("a mask must be 0 where nothing may change and 1 where it may; got other values")
        if type(self.inside).decode is not fl.ThreatModel.decode:
            name = type(self.inside).__name__
            raise ValueError(f"a mask needs a threat model that moves the images themselves; {name} does not")

    @property
    def order(self) -> float | None:
        """The p of the other threat model's norm."""
        return self.inside.order

    @property
    def radius(self) -> float | torch.Tensor:
        """The radius of the other threat model."""
        return self.inside.radius

    def resized(self, radius: float | torch.Tensor) -> Masked:
        """Return the mask around the other threat model with another radius."""
        return replace(self, inside=self.inside.resized(radius))

    def sparse(self, share: float | torch.Tensor) -> Masked:
        """Return the mask around the other threat model with sparser steps."""
        return replace(self, inside=self.inside.sparse(share))

    def distance(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the distance of the other threat model."""
        return self.inside.distance(points, center)

    def reach(self, points: torch.Tensor, grad: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        """Return the nearest points that the other threat model reaches where the mask lets it."""
        return self.inside.reach(points, torch.where(self._free(points), grad, 0.0), gain)

    def rows(self, index: torch.Tensor) -> Masked:
        """Return the threat model of some of the examples."""
        return _Some(self.inside.rows(index), self.mask, index)

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the projection of the points that have moved only where they may."""
        free = self._free(points)
        only = torch.where(free, points, center)
        return torch.where(free, self.inside.project(only, center), center)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return the steepest direction among those that change nothing outside the mask."""
        free = self._free(grad)
        return torch.where(free, self.inside.steepest(torch.where(free, grad, 0.0)), 0.0)

    def admissible(self, grad: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Return what the other threat model admits."""
        return self.inside.admissible(grad, points)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return a sample of the other threat model where the mask lets it."""
        return torch.where(self._free(center), self.inside.sample(center, key=key), center)

    def _free(self, points: torch.Tensor) -> torch.Tensor:
        """Return where points may move."""
        mask = self.mask.to(points.device) != 0
        mask = mask if self._shared(points) else self._chosen(mask)
        try:
            return torch.broadcast_to(mask, points.shape)
        except RuntimeError as error:
            shapes = f"got {tuple(mask.shape)} for images of shape {tuple(points.shape)}"
            raise ValueError(f"a mask must have the shape of one image, or (batch, ...); {shapes}") from error

    def _shared(self, points: torch.Tensor) -> bool:
        return self.mask.dim() < points.dim() or len(self.mask) == 1

    def _chosen(self, mask: torch.Tensor) -> torch.Tensor:
        return mask


@dataclass(frozen=True, eq=False)
class _Some(Masked):
    """Some examples of a batch: only beside the points can it be told whether the mask has a row for each of them."""

    index: torch.Tensor

    def __post_init__(self) -> None:
        """Nothing is left to check: the whole batch's mask was."""

    def rows(self, index: torch.Tensor) -> Masked:
        """Return the threat model of some of these examples."""
        return _Some(self.inside.rows(index), self.mask, self.index[index])

    def _chosen(self, mask: torch.Tensor) -> torch.Tensor:
        return mask[self.index.to(mask.device)]
