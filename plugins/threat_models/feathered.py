"""Another threat model, whose change fades out towards the edges of a mask."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

import featlab as fl


@dataclass(frozen=True, eq=False)
class Feathered(fl.ThreatModel):
    """The images x + mask * (p - x) with p in another threat model about x; `mask` has values in [0, 1].

    Where the mask is 0 the image stays the same to the bit, where it is 1 it is the other threat model's, and the
    edges between may be soft. The points are p, so that a step takes the mask's share of the gradient. The mask
    broadcasts against the images: with as many dimensions as they have it holds one for each example (or one for all,
    where its batch is 1), with fewer one for all. `index` says which of the examples these are, all by default.
    Source: the masks of Santurkar et al. 2019, section 3 (painting), with soft edges.
    """

    inside: fl.ThreatModel
    mask: torch.Tensor
    index: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if not bool(((self.mask >= 0) & (self.mask <= 1)).all()):
            raise ValueError("a mask must have values from 0, where nothing may change, to 1, where it may; got others")
        if type(self.inside).decode is not fl.ThreatModel.decode:
            name = type(self.inside).__name__
            raise ValueError(f"a mask needs a threat model that moves the images themselves; {name} does not")

    @property
    def radius(self) -> float | torch.Tensor:
        """The radius of the other threat model, which bounds the change before the mask fades it."""
        return self.inside.radius

    def resized(self, radius: float | torch.Tensor) -> Feathered:
        """Return the mask over the other threat model with another radius."""
        return replace(self, inside=self.inside.resized(radius))

    def rows(self, index: torch.Tensor) -> Feathered:
        """Return the threat model of some of the examples."""
        before = index if self.index is None else self.index.to(index.device)[index]
        return replace(self, inside=self.inside.rows(index), index=before)

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the projection of the other threat model."""
        return self.inside.project(points, center)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return the steepest direction of the other threat model, for a gradient that the mask has faded already."""
        return self.inside.steepest(grad)

    def admissible(self, grad: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Return what the other threat model admits."""
        return self.inside.admissible(grad, points)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return a sample of the other threat model."""
        return self.inside.sample(center, key=key)

    def step(
        self,
        points: torch.Tensor,
        grad: torch.Tensor,
        center: torch.Tensor,
        *,
        step_size: float | torch.Tensor,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the step of the other threat model."""
        return self.inside.step(points, grad, center, step_size=step_size, out=out)

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the centre with the mask's share of the change."""
        return center.lerp(points, self._weight(points))  # Exact where the weight is 0 or 1.

    def _weight(self, points: torch.Tensor) -> torch.Tensor:
        """Return the mask of each of the examples, shaped like the points."""
        mask = self.mask.to(points)
        each = self.index is not None and mask.dim() == points.dim() and len(mask) > 1
        mask = mask[self.index.to(mask.device)] if each and self.index is not None else mask
        try:
            return torch.broadcast_to(mask, points.shape)
        except RuntimeError as error:
            shapes = f"got {tuple(mask.shape)} for images of shape {tuple(points.shape)}"
            raise ValueError(f"a mask must have the shape of one image, or (batch, ...); {shapes}") from error
