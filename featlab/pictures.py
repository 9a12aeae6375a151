"""Objectives of pictures: how smooth they are, and scores that hold whichever way a picture is moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from featlab import ops
from featlab.objectives import Objective, objective
from featlab.ops.affine import Padding
from featlab.ops.variation import Form
from featlab.types import Images, PerExample, Rows, Scores, Seeds, rows_of


@dataclass(frozen=True, eq=False)
class TotalVariation(Objective):
    """How much neighbouring pixels differ; see `total_variation`."""

    weight: PerExample
    form: Form
    delta: float

    def __call__(self, images: Images, /) -> Scores:
        """Return the weighted total variation."""
        return ops.total_variation(images, weight=self.weight, form=self.form, delta=self.delta)

    def rows(self, index: Rows) -> TotalVariation:
        """Return the objective of some of the examples."""
        return replace(self, weight=rows_of(self.weight, index))


def total_variation(*, weight: PerExample = 1.0, form: Form = "l1", delta: float = 0.01) -> TotalVariation:
    """Return weight * total variation, to be subtracted from what pictures shall show; see `ops.total_variation`.

    `weight` is one number or one per example. Source: Mahendran and Vedaldi 2015, section 3.2.
    """
    return TotalVariation(weight, form, delta)


@dataclass(frozen=True, eq=False)
class Jittered(Objective):
    """The score of moved pictures; see `jittered`. `step` says which of the draws this is."""

    inner: Objective
    jitter: int
    scale: tuple[float, float]
    rotate: float
    padding: Padding
    draws: int
    seed: int
    examples: Seeds | None
    step: int = 0

    def __call__(self, images: Images, /) -> Scores:
        """Return the mean score over this step's draws."""
        return torch.stack([self.inner(self._moved(images, draw)) for draw in range(self.draws)]).mean(dim=0)

    def _moved(self, images: Images, draw: int) -> Images:
        examples = torch.arange(len(images), device=images.device) if self.examples is None else self.examples
        return ops.random_affine(
            images,
            seed=self.seed,
            examples=examples,
            step=self.step * self.draws + draw,
            jitter=self.jitter,
            scale=self.scale,
            rotate=self.rotate,
            padding=self.padding,
        )

    def rows(self, index: Rows) -> Jittered:
        """Return the objective of some of the examples, each with the draws that it had."""
        examples = index if self.examples is None else self.examples.to(index.device)[index]
        return replace(self, inner=self.inner.rows(index), examples=examples)

    @property
    def random(self) -> bool:
        """A draw at each evaluation is what this is for."""
        return True

    def at(self, draw: int, /) -> Jittered:
        """Return the objective with the random maps of this draw."""
        return replace(self, inner=self.inner.at(draw), step=draw)


def jittered(
    score: Callable[[Images], Scores],
    *,
    jitter: int = 0,
    scale: tuple[float, float] = (1.0, 1.0),
    rotate: float = 0.0,
    padding: Padding = "edge",
    draws: int = 1,
    seed: int = 0,
    examples: Seeds | None = None,
) -> Jittered:
    """Return the mean score over random maps of each picture: E_t f(t(x)), with `draws` new maps t at every step.

    t shifts by up to `jitter` pixels, scales within `scale` and turns by up to `rotate` degrees, as `ops.random_affine`
    does. A draw depends on (seed, example, step) alone; `examples` (0, 1, ... by default) says who each example is.
    Called outside a problem, it is the score at the first step; `at(draw)` gives the others. Scores of two steps differ
    by their draws too, so a `Problem` with keep="last" is what one usually wants.
    Source: Athalye et al. 2018, section 2.1 (expectation over transformation); Olah et al. 2017.
    """
    if draws < 1:
        raise ValueError(f"draws must be 1 or more, got {draws}")
    return Jittered(objective(score), jitter, scale, rotate, padding, draws, seed, examples)
