"""Several threat models after one another: a turn, and then a little noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

import featlab as fl

from .relative import Relative, Shapes, members


@dataclass(frozen=True, eq=False)
class Sequential(fl.ThreatModel):
    """Threat models applied in turn, each around the image that those before it made.

    c_1 = c, x_i in S_i(c_i), c_(i+1) = decode_i(x_i, c_i); the image is the last c. As text,
    `sequential:of=rigid:...+linf:eps=8/255`. The points are one row of numbers for each example, (batch, sum of sizes):
    each x_i as the difference from its own start, x_i - start_i(c_i), so that what moves later goes along with what
    moves first, and 0 is the centre. Directions are steepest in each part by itself, as long as its radius, so that
    step sizes are multiples of it. The projection is each part's in turn, given those before it; it is the nearest
    point of the set where the parts do not depend on each other. The image lies in the last set, around the image
    before it, as exactly as that threat model's projection does.
    Source: Laidlaw and Feizi 2019, "Functional adversarial attacks", section 3 (parts composed, each with its full
    radius); Tramer and Boneh 2019 compose them too, with shares of their radii (affine attacks).
    """

    of: Sequence[fl.ThreatModel]
    _shapes: Shapes = field(default_factory=Shapes, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", members(self.of, what="a sequence"))

    @property
    def variants(self) -> int:
        """Every variant of each part with every one of the others."""
        count = 1
        for each in self.of:
            count *= each.variants
        return count

    def at(self, restart: int) -> Sequential:
        """Return the sequence of one restart, the first part's variants turning fastest."""
        repeat, turn = divmod(restart, self.variants)
        parts = []
        for each in self.of:
            turn, own = divmod(turn, each.variants)
            parts.append(each.at(repeat * each.variants + own))
        return self._of(parts)

    def drawn(self, key: fl.Key) -> Sequential:
        """Return the sequence with what is random about its parts drawn."""
        return self._of([each.drawn(_own(key, number)) for number, each in enumerate(self.of)])

    def rows(self, index: torch.Tensor) -> Sequential:
        """Return the sequence of some of the examples."""
        return self._of([each.rows(index) for each in self.of])

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return 0, where every part is at its own start."""
        size = sum(shape.numel() for shape in self._learn(center))
        return center.new_zeros(len(center), size)

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return each part's projection, around the image that the projected parts before it make."""
        found = []
        for part, difference in zip(self.of, self._parts(points, center), strict=True):
            placed = _placed(part, difference, center)
            found.append((placed - part.start(center)).flatten(1))
            center = part.decode(placed, center)
        return torch.cat(found, dim=1)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return a sample of each part, with random numbers of its own."""
        self._learn(center)
        found = []
        for number, part in enumerate(self.of):
            drawn = part.sample(center, key=_own(key, number))
            found.append((drawn - part.start(center)).flatten(1))
            center = part.decode(drawn, center)
        return torch.cat(found, dim=1)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return the steepest direction of each part, as long as its radius."""
        parts = _split(grad, self._shapes.recall(grad.shape[1]))
        found = [Relative(part).steepest(piece).flatten(1) for part, piece in zip(self.of, parts, strict=True)]
        return torch.cat(found, dim=1)

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the images at the end of the sequence."""
        for part, difference in zip(self.of, self._parts(points, center), strict=True):
            center = part.decode(_placed(part, difference, center), center)
        return center

    def _of(self, parts: Sequence[fl.ThreatModel]) -> Sequential:
        """Return a sequence of other parts whose points have the same shapes."""
        found = replace(self, of=tuple(parts))
        object.__setattr__(found, "_shapes", self._shapes)
        return found

    def _learn(self, center: torch.Tensor) -> tuple[torch.Size, ...]:
        return self._shapes.learn(self.of, center)

    def _parts(self, points: torch.Tensor, center: torch.Tensor) -> list[torch.Tensor]:
        return _split(points, self._learn(center))


def _split(points: torch.Tensor, shapes: Sequence[torch.Size]) -> list[torch.Tensor]:
    """Return the parts of flat points, each in its own shape."""
    pieces = points.split([shape.numel() for shape in shapes], dim=1)
    return [piece.reshape(-1, *shape) for piece, shape in zip(pieces, shapes, strict=True)]


def _placed(part: fl.ThreatModel, difference: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    """Return a part's points at a difference from its start, inside its set, with the gradient of the sum.

    Points of a sequence are inside but for the rounding of the difference, so the projection has nothing to say about
    where they go.
    """
    placed = part.start(center) + difference
    return part.project(placed.detach(), center.detach()) + (placed - placed.detach())


def _own(key: fl.Key, number: int) -> fl.Key:
    """Return the key of one part: the first has the sequence's own, and no two have the same."""
    return replace(key, seed=key.seed + number * 0x9E3779B97F4A7C15)
