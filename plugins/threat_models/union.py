"""Several threat models at once: whatever any of them allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

import featlab as fl

from .mixture import Mixture
from .relative import Relative, members, moves_images

CHOICE = 32
"""The purpose of the random numbers that choose among members."""


@dataclass(frozen=True, eq=False)
class Union(fl.ThreatModel):
    """The union of several threat models, S(c) = S_1(c) u ... u S_k(c), as text `union:of=linf:eps=8/255+l2:eps=1/2`.

    Step sizes are multiples of each member's own radius. `how` says how the union is searched:
    - "max": by each member in turn, in restarts of its own; the best over the restarts is the worst case over the
      members. With random numbers or not, each does what it would do by itself, so the accuracy in the union is that
      of the images which hold in every member. Members may move different things, a pose and an image.
    - "msd": as one set of images. A step goes along the one member's steepest direction that gains most to first
      order, a projection goes to the nearest of the members' projections (not to the members' intersection, nor to
      their hull). With the rule `MultiSteepest` it is multi-steepest descent as published. Members must move images.
    - "avg": each example, by the key, in a member that is drawn anew for each restart, all equally likely: in
      training, the average of the members' losses (in expectation, at the cost of one of them).
    A member that has a union's text itself, or several options, stands in brackets: `[l1:eps=12,sparsity=0.1]`.
    Source: Tramer and Boneh 2019, "Adversarial training and robustness for multiple perturbations" (max and avg);
    Maini et al. 2020, "Adversarial robustness against the union of multiple perturbation models", section 4.
    """

    of: Sequence[fl.ThreatModel]
    how: Literal["max", "msd", "avg"] = "max"

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", members(self.of, what="a union"))
        if self.how not in {"max", "msd", "avg"}:
            raise ValueError(f"how must be 'max', 'msd' or 'avg', got {self.how!r}")
        if self.how == "msd":
            self._check_images()

    @property
    def variants(self) -> int:
        """The number of the members (and of theirs) where each has its own restarts."""
        return sum(each.variants for each in self.of) if self.how == "max" else 1

    def at(self, restart: int) -> fl.ThreatModel:
        """Return the member whose turn it is."""
        if self.how != "max":
            return self
        repeat, turn = divmod(restart, self.variants)
        for each in self.of:
            if turn < each.variants:
                return Relative(each.at(repeat * each.variants + turn))
            turn -= each.variants
        raise AssertionError("a turn is less than the number of variants")

    def drawn(self, key: fl.Key) -> fl.ThreatModel:
        """Return the union; where it is an average, with a member drawn for each example."""
        if self.how == "avg":
            return Mixture(tuple(Relative(each.drawn(key)) for each in self.of), self._choice(key))
        return replace(self, of=tuple(each.drawn(key) for each in self.of))

    def rows(self, index: torch.Tensor) -> Union:
        """Return the union of some of the examples."""
        return replace(self, of=tuple(each.rows(index) for each in self.of))

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the nearest of the members' projections, the first of those equally near."""
        self._check_images()
        found = torch.stack([each.project(points, center) for each in self.of])
        distance = (found.double() - points.double()).flatten(2).norm(dim=2)
        return chosen(found, distance.argmin(dim=0))

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return the members' steepest direction, each as long as its radius, that gains most."""
        self._check_images()
        found = torch.stack([Relative(each).steepest(grad) for each in self.of])
        gain = (found.double() * grad.double()).flatten(2).sum(dim=2)
        return chosen(found, gain.argmax(dim=0))

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return a sample of a random member."""
        self._check_images()
        return chosen(torch.stack([each.sample(center, key=key) for each in self.of]), self._choice(key))

    def _choice(self, key: fl.Key) -> torch.Tensor:
        """Return the index of a random member for each example."""
        drawn = fl.ops.random.words(key.examples, elements=1, seed=key.seed, restart=key.restart, purpose=CHOICE)
        return (drawn[:, 0] * len(self.of)) >> 32

    def _check_images(self) -> None:
        for each in self.of:
            if not moves_images(each):
                raise ValueError(
                    f"only members that move the images themselves make one set, and {type(each).__name__} does not; "
                    "take how='max' and let fl.maximize, fl.pgd or fl.evaluate search it"
                )


def chosen(found: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return, for each example, the one of its (candidates, batch, ...) that `index` says."""
    return found[index, torch.arange(found.shape[1], device=found.device)]
