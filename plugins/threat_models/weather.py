"""Fog and snow before the image, of which the adversary places every bank and every flake."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

import featlab as fl

from .offsets import Sized, check_pictures, check_size, constant


@dataclass(frozen=True, eq=False)
class Fog(Sized):
    """Fog of a density of at most `eps` before the image: x' = x + fog (light - x).

    The fog is a fractal, fog = sum_k w_k P_k: P_k is a grid of 2^k + 1 by 2^k + 1 random values, in [0, eps],
    interpolated bilinearly to the size of the image, for k = 0, 1, ... `octaves` - 1; w_k falls by `decay` from each
    grid to the next and has sum 1. Points are the values of all grids, (batch, values). `light` in [0, 1] is the fog's
    own brightness. Points of 0 are no fog: the set contains the image, other than that of the source, where there is
    always fog.
    Source: Kang et al. 2019, "Testing robustness against unforeseen adversaries", section 4 (fog); Hendrycks and
    Dietterich 2019, section 3; fractal: Fournier, Fussell and Carpenter 1982 (midpoint displacement).
    """

    one_sided: ClassVar[bool] = True
    octaves: int = 5
    decay: float = 2.0
    light: float = 1.0

    def __post_init__(self) -> None:
        check_size(self.eps, most=1.0)
        if not (self.octaves >= 1 and 0 < self.decay < math.inf and 0 <= self.light <= 1):
            raise ValueError(
                "fog needs octaves >= 1, decay > 0 and light in [0, 1]; "
                f"got {self.octaves}, {self.decay} and {self.light}"
            )

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return no fog."""
        check_pictures("fog", center)
        return center.new_zeros(len(center), sum(knots**2 for knots in self._knots()))

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the images behind the fog."""
        knots = self._knots()
        weights = [self.decay**-octave for octave in range(self.octaves)]
        fog = torch.zeros_like(center[:, 0])
        for grid, count, weight in zip(points.split([n**2 for n in knots], dim=1), knots, weights, strict=True):
            down, across = (_between(center, count, size) for size in center.shape[2:])
            fog = fog + weight / sum(weights) * (down @ grid.unflatten(1, (count, count)) @ across.mT)
        return (center + fog[:, None] * (self.light - center)).clamp(0, 1)

    def _knots(self) -> list[int]:
        return [2**octave + 1 for octave in range(self.octaves)]


@constant
def _between(count: int, size: int) -> torch.Tensor:
    """Return the matrix (size, count) of linear interpolation between so many evenly spaced values."""
    place = (torch.arange(size, dtype=torch.float64) + 0.5) / size * (count - 1)
    return (1 - (place[:, None] - torch.arange(count)).abs()).clamp(min=0)


@dataclass(frozen=True, eq=False)
class Snow(Sized):
    """Snow before the image, whose flakes are white and hide at most a share `eps` < 1 each: x' = 1 - t (1 - x).

    There is one flake in each field of `spacing` by `spacing` pixels, at a place that `seed` draws, in each of several
    `layers`. Points in [0, eps] are how much each flake hides at its middle, (batch, layers, rows, columns). A flake is
    a streak, a Gaussian of `length` pixels (two standard deviations) along the direction of its fall and a third of
    that across; `angle` is the direction's degrees below the horizontal, and layers differ from it by up to 15 degrees
    and are down to half as large. Flakes before one another hide as filters do: light passes t = prod_i (1 - p_i)^k_i,
    with k_i <= 1 the streak of flake i. Points of 0 are no snow.
    Source: Kang et al. 2019, "Testing robustness against unforeseen adversaries", section 4 (snow); Hendrycks and
    Dietterich 2019, section 3.
    """

    one_sided: ClassVar[bool] = True
    spacing: int = 6
    layers: int = 3
    length: float = 3.0
    angle: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_size(self.eps, most=1.0)
        if bool((torch.as_tensor(self.eps) == 1).any()):
            raise ValueError("eps must be less than 1: a flake that lets no light through has no gradient; got 1")
        if not (self.spacing >= 1 and self.layers >= 1 and 0 < self.length < math.inf and math.isfinite(self.angle)):
            raise ValueError(
                "snow needs spacing >= 1, layers >= 1, length > 0 and a finite angle; "
                f"got {self.spacing}, {self.layers}, {self.length} and {self.angle}"
            )

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return flakes that hide nothing."""
        check_pictures("snow", center)
        rows, columns = (-(-size // self.spacing) for size in center.shape[2:])
        return center.new_zeros(len(center), self.layers, rows, columns)

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the images behind the snow."""
        height, width = center.shape[2:]
        places = _places(center, self.seed, self.layers, self.spacing, height, width)
        empty = points.new_zeros(len(points), self.layers * height * width)
        middles = empty.index_copy(1, places, torch.log1p(-points).flatten(1))
        streaks = _streaks(center, self.layers, self.length, self.angle)
        fading = torch.nn.functional.conv2d(middles.unflatten(1, (-1, height, width)), streaks, padding="same")
        return (center - torch.expm1(fading) * (1 - center)).clamp(0, 1)


@constant
def _places(seed: int, layers: int, spacing: int, height: int, width: int) -> torch.Tensor:
    """Return where in (layers, height, width) the flakes are, one in each field; fields at the edge may be narrower."""
    down, across = (torch.arange(0, size, spacing) for size in (height, width))
    drawn = fl.ops.linf_sample(
        torch.zeros(layers, 2, len(down), len(across), dtype=torch.float64),
        eps=1.0,
        seed=seed,
        examples=torch.arange(layers),
        low=-1.0,
    )
    shift = drawn * 0.5 + 0.5
    rows = down[:, None] + (shift[:, 0] * (height - down).clamp(max=spacing)[:, None]).long()
    columns = across + (shift[:, 1] * (width - across).clamp(max=spacing)).long()
    layer = torch.arange(layers)[:, None, None]
    return ((layer * height + rows) * width + columns).flatten()


@constant
def _streaks(layers: int, length: float, angle: float) -> torch.Tensor:
    """Return the streaks (1, layers, size, size) of the flakes of each layer, 1 in their middles."""
    reach = math.ceil(1.5 * length)
    down = torch.arange(-reach, reach + 1, dtype=torch.float64)[:, None]
    spread = torch.linspace(-1, 1, layers, dtype=torch.float64) if layers > 1 else torch.zeros(1, dtype=torch.float64)
    streaks = []
    for lean in spread.tolist():
        turn, size = math.radians(angle + 15 * lean), 0.5 * length * (0.75 - 0.25 * lean)
        along = down.mT * math.cos(turn) + down * math.sin(turn)
        across = down * math.cos(turn) - down.mT * math.sin(turn)
        streaks.append(torch.exp(-0.5 * ((along / size) ** 2 + (3 * across / size) ** 2)))
    return torch.stack(streaks)[None]
