"""Situations in which a threat model is put: points, gradients and keys, and everything that it answers to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from featlab.testing.strategies import BATCH
from featlab.threat_models import Key, ThreatModel, Trail
from featlab.types import Images, Points, Rows, Scores, Verdicts

Contains = Callable[[Points, Images], Verdicts]
Length = Callable[[Points], Scores]


@dataclass(frozen=True)
class Claims:
    """What a threat model is told to hold beyond the laws of all: see `check_threat_model`."""

    contains: Contains | None = None
    length: Length | None = None
    moves_images: bool | None = None
    nearest: bool = False
    tolerance: float = 1e-6


NOTHING: Final = Claims()
"""Nothing is told beyond the laws of all."""


@dataclass(frozen=True, eq=False)
class Situation:
    """A threat model with a batch of everything that its methods take; all may be split along the batch.

    `points` lie in the set, `far` anywhere, `best` in the set; `sizes` are the examples' step sizes.
    """

    within: ThreatModel
    center: Images
    points: Points
    far: Points
    best: Points
    grad: Points
    sizes: Scores
    key: Key
    claims: Claims = NOTHING

    @staticmethod
    def of(within: ThreatModel, center: Images, *, seed: int, size: float, claims: Claims) -> Situation:
        """Return a situation: at the start for even seeds, at random points of the set for odd ones."""
        generator = torch.Generator().manual_seed(seed)
        key = Key(seed=seed, examples=torch.arange(BATCH, device=center.device))
        start = within.start(center.clone())
        noise = torch.randn(2, *start.shape, generator=generator, dtype=start.dtype).to(start.device)
        far = start + size * noise[0]
        return Situation(
            within=within,
            center=center,
            points=within.sample(center.clone(), key=key) if seed % 2 else start,
            far=far,
            best=within.project(start - size * noise[0], center.clone()),
            grad=noise[1],
            sizes=size * torch.linspace(0.5, 1.0, BATCH, dtype=start.dtype, device=start.device),
            key=key,
            claims=claims,
        )

    @property
    def moves_images(self) -> bool:
        """Whether the points are the images themselves: as was told, or as no `decode` of its own says."""
        told = self.claims.moves_images
        return type(self.within).decode is ThreatModel.decode if told is None else told

    def rows(self, index: Rows) -> Situation:
        """Return the situation of some of the examples."""
        part = self.mapped(lambda value: value[index])
        return replace(part, within=self.within.rows(index), key=self.key.rows(index))

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Situation:
        """Return the situation with each of its tensors, but the key's, changed."""
        return replace(
            self,
            center=change(self.center),
            points=change(self.points),
            far=change(self.far),
            best=change(self.best),
            grad=change(self.grad),
            sizes=change(self.sizes),
        )

    def to(self, device: str) -> Situation:
        """Return the situation on another device."""
        moved = self.mapped(lambda value: value.to(device))
        return replace(moved, key=replace(self.key, examples=self.key.examples.to(device)))

    def project(self, points: Points) -> Points:
        """Return the projection, of copies, so that what writes to its arguments does so to nothing else."""
        return self.within.project(points.clone(), self.center.clone())

    @cached_property
    def answers(self) -> Mapping[str, Tensor]:
        """What every method of the threat model says, asked with copies; by name."""
        return MappingProxyType({name: ask(self.mapped(torch.clone)) for name, ask in QUESTIONS.items()})

    @cached_property
    def defined(self) -> Points:
        """The step of the definition."""
        return ThreatModel.step(
            self.within, self.points.clone(), self.grad.clone(), self.center.clone(), step_size=self.sizes
        )

    def glide(self, method: Callable[..., Points]) -> tuple[Points, Points, Points, Points]:
        """Return what a `momentum_step` makes of the points, and of the three parts of its trail."""
        trail = Trail(self.best.clone(), self.best.clone(), -self.grad)
        each = self.key.examples
        moved = method(
            self.within,
            self.points.clone(),
            self.grad.clone(),
            self.center.clone(),
            trail=trail,
            improved=each % 2 == 0,
            back=each % 3 == 0,
            step_size=self.sizes,
            alpha=0.75,
        )
        return moved, trail.previous, trail.best, trail.best_grad

    def accumulate(self, method: Callable[..., Points]) -> tuple[Points, Points]:
        """Return what an `accumulated_step` makes of the points, and of the momentum."""
        momentum = 0.1 * self.far
        moved = method(
            self.within,
            self.points.clone(),
            self.grad.clone(),
            self.center.clone(),
            momentum=momentum,
            decay=0.75,
            step_size=self.sizes,
        )
        return moved, momentum


QUESTIONS: Final[Mapping[str, Callable[[Situation], Tensor]]] = MappingProxyType(
    {
        "start": lambda case: case.within.start(case.center),
        "decode": lambda case: case.within.decode(case.points, case.center),
        "project": lambda case: case.within.project(case.far, case.center),
        "steepest": lambda case: case.within.steepest(case.grad),
        "admissible": lambda case: case.within.admissible(case.grad, case.points),
        "sample": lambda case: case.within.sample(case.center, key=case.key),
        "step": lambda case: case.within.step(case.points, case.grad, case.center, step_size=case.sizes),
        "momentum_step": lambda case: case.glide(type(case.within).momentum_step)[0],
    }
)
"""Every method that answers with a tensor of one row per example."""


def apart(case: Situation, kept: Rows) -> Situation:
    """Return the situation in which all examples but those kept have other points, gradients and images."""
    mine = torch.zeros(len(case.center), dtype=torch.bool, device=case.center.device)
    mine[kept] = True

    def change(value: Tensor) -> Tensor:
        return torch.where(mine.reshape(-1, *[1] * (value.dim() - 1)), value, value.roll(2, 0))

    other = replace(case.mapped(change), sizes=case.sizes)
    theirs = other.project(other.points)
    return replace(other, points=torch.where(mine.reshape(-1, *[1] * (theirs.dim() - 1)), case.points, theirs))
