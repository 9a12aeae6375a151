"""A patch: a square whose pixels are free."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import torch

import featlab as fl

from .warp import check_pictures, uniform

_PLACE: Final = 35
_PIXELS: Final = 36


@dataclass(frozen=True, eq=False)
class Patch(fl.ThreatModel):
    """Pictures that differ in one square of `size` x `size` pixels, where any values in [low, high] may stand.

    `row` and `column` are of the square's upper left pixel, one number or one for each example. Where they are not
    given, the square lies anywhere: a random start draws its place, so every restart tries another, and without one it
    lies in the middle. Points are (batch, 2 + channels * size * size): row and column, whose gradient is zero, so that
    steps leave the square where it is, and the pixels. Steps follow the sign of the gradient. For other shapes there is
    `masked`.
    Source: Brown et al. 2017, "Adversarial patch"; at one place and for one picture: Karmon et al. 2018, "LaVAN:
    localized and visible adversarial noise", section 3.
    """

    size: int
    row: int | torch.Tensor | None = None
    column: int | torch.Tensor | None = None
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"size must be a whole number of pixels >= 1, got {self.size}")
        for name, place in (("row", self.row), ("column", self.column)):
            _check_place(name, place)
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"low and high must be finite, low less than high, got {self.low} and {self.high}")

    @property
    def radius(self) -> float:
        """The range of the pixels, high - low."""
        return self.high - self.low

    def rows(self, index: torch.Tensor) -> Patch:
        """Return the threat model of some of the examples."""
        if not (isinstance(self.row, torch.Tensor) or isinstance(self.column, torch.Tensor)):
            return self
        return replace(self, row=_some(self.row, index), column=_some(self.column, index))

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the points with pixels cut to [low, high], and the square on whole pixels of the picture."""
        last = self._last(center)
        place = [points[:, axis].round().clamp(0, last[axis]) for axis in (0, 1)]
        return torch.cat([self._given(*place), points[:, 2:].clamp(self.low, self.high)], dim=1)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return sign(grad), and 0 where the gradient is NaN."""
        return grad.sign().nan_to_num(0.0)

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return squares that show what is there: in the given place, else in the middle."""
        last = self._last(center)
        self._check_given(last)
        place = self._given(*(center.new_full((len(center),), end // 2) for end in last))
        return torch.cat([place, center.flatten(2).gather(2, self._inside(place, center)).flatten(1)], dim=1)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return squares of uniform values, in the given place, else anywhere."""
        still, last = self.start(center), self._last(center)
        unit = uniform(still[:, :2], key, purpose=_PLACE)
        place = [unit[:, axis] * (last[axis] + 1) - 0.5 for axis in (0, 1)]
        pixels = self.low + self.radius * uniform(still[:, 2:], key, purpose=_PIXELS)
        return self.project(torch.cat([torch.stack(place, dim=1), pixels], dim=1), center)

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the pictures with the squares pasted over them."""
        index = self._inside(points[:, :2].detach(), center)
        return center.flatten(2).scatter(2, index, points[:, 2:].reshape(index.shape)).reshape(center.shape)

    def _last(self, center: torch.Tensor) -> tuple[int, int]:
        """Return the last row and column where a square may begin."""
        check_pictures("patch", center)
        height, width = center.shape[2:]
        if self.size > min(height, width):
            raise ValueError(f"a patch of size {self.size} does not fit into pictures of {height} x {width} pixels")
        return height - self.size, width - self.size

    def _check_given(self, last: tuple[int, int]) -> None:
        for name, given, end in (("row", self.row, last[0]), ("column", self.column, last[1])):
            if given is not None and bool((torch.as_tensor(given) > end).any()):
                raise ValueError(
                    f"{name} of a patch of size {self.size} is at most {end} in these pictures, got {given}"
                )

    def _given(self, row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
        """Return places with the row and column that are given."""
        places = ((self.row, row), (self.column, column))
        return torch.stack([_first(given, other) for given, other in places], dim=1)

    def _inside(self, place: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return which pixels of the flattened pictures lie in the squares, (batch, channels, size * size)."""
        along = torch.arange(self.size, device=center.device)
        offsets = (along[:, None] * center.shape[3] + along).flatten()
        first = (place[:, 0] * center.shape[3] + place[:, 1]).long()
        return (first[:, None] + offsets)[:, None].expand(-1, center.shape[1], -1)


def _check_place(name: str, place: int | torch.Tensor | None) -> None:
    if place is None:
        return
    whole = torch.as_tensor(place)
    if whole.dim() > 1 or whole.dtype.is_floating_point or not bool((whole >= 0).all()):
        raise ValueError(f"{name} must be a whole number >= 0, or one for each example, got {place}")


def _first(given: int | torch.Tensor | None, other: torch.Tensor) -> torch.Tensor:
    if given is None:
        return other
    return given.to(other) if isinstance(given, torch.Tensor) else torch.full_like(other, given)


def _some(place: int | torch.Tensor | None, index: torch.Tensor) -> int | torch.Tensor | None:
    return place.to(index.device)[index] if isinstance(place, torch.Tensor) else place
