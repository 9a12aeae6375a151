"""Objectives made of several: the mean over random draws, over models, and one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from featlab.objectives import Objective, objective
from featlab.threat_models import Key
from featlab.types import Images, Rows, Scores, Seeds

RandomMap = Callable[[Images, Key], Images]
"""What moves images at random: a function of the images and of the key alone, whose `restart` counts the draws."""


@dataclass(frozen=True, eq=False)
class Expectation(Objective):
    """The mean score over draws; see `expectation`. `step` says which of the evaluations this is."""

    inner: Objective
    draws: int
    through: RandomMap | None
    seed: int
    examples: Seeds | None
    step: int = 0

    def __call__(self, images: Images, /) -> Scores:
        """Return the mean score over this step's draws."""
        return torch.stack([self._drawn(images, self.step * self.draws + draw) for draw in range(self.draws)]).mean(0)

    def _drawn(self, images: Images, draw: int) -> Scores:
        moved = images
        if self.through is not None:
            examples = torch.arange(len(images)) if self.examples is None else self.examples
            key = Key(seed=self.seed, examples=examples.to(images.device), restart=draw)
            moved = self.through(images, key)
        return self.inner.at(draw)(moved)

    def rows(self, index: Rows) -> Expectation:
        """Return the objective of some of the examples, each with the draws that it had."""
        examples = index if self.examples is None else self.examples.to(index.device)[index]
        return replace(self, inner=self.inner.rows(index), examples=examples)

    @property
    def random(self) -> bool:
        """Every evaluation draws anew."""
        return True

    def at(self, draw: int, /) -> Expectation:
        """Return the objective with the draws of this evaluation."""
        return replace(self, step=draw)


def expectation(
    score: Callable[[Images], Scores],
    *,
    draws: int,
    through: RandomMap | None = None,
    seed: int = 0,
    examples: Seeds | None = None,
) -> Expectation:
    """Return the mean of a score over `draws` draws at every evaluation, E_t f(t(x)): expectation over transformations.

    `through(images, key)` is the random map t, whose numbers are to come from the key (as those of `featlab.ops` do),
    so that they depend on (seed, example, draw) alone; `examples` (0, 1, ... by default) says who each example is.
    Without a map it is the score itself that draws: that of a model with random parts, or another random objective.
    Its gradient is the mean of the draws' gradients.
    Source: Athalye et al. 2018, "Synthesizing robust adversarial examples", section 2.1; for random models, Athalye et
    al. 2018, "Obfuscated gradients give a false sense of security", section 4.1.
    """
    if draws < 1:
        raise ValueError(f"draws must be 1 or more, got {draws}")
    return Expectation(objective(score), draws, through, seed, examples)


def mean(scores: Sequence[Callable[[Images], Scores]]) -> Objective:
    """Return the mean of several scores, as over the models of an ensemble."""
    if not scores:
        raise ValueError("the mean of scores needs at least one, got none")
    first, *rest = (objective(score) for score in scores)
    return sum(rest, start=first) * (1 / len(scores))


@dataclass(frozen=True, eq=False)
class Turns(Objective):
    """One objective after another: each for `length` evaluations, as for one restart towards each target class."""

    turns: tuple[Objective, ...]
    length: int

    def __call__(self, images: Images, /) -> Scores:
        """Return the scores of the first turn."""
        return self.turns[0](images)

    def rows(self, index: Rows) -> Turns:
        """Return the turns of some of the examples."""
        return Turns(tuple(turn.rows(index) for turn in self.turns), self.length)

    @property
    def random(self) -> bool:
        """Whether any turn draws."""
        return any(turn.random for turn in self.turns)

    def at(self, draw: int, /) -> Objective:
        """Return the objective whose turn it is."""
        return self.turns[draw // self.length % len(self.turns)].at(draw)
