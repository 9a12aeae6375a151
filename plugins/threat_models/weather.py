"""Fog and snow before the image, of which the adversary places every bank and every flake."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

import featlab as fl

from .offsets import Offsets, check_pictures, constant


@dataclass(frozen=True, eq=False)
class Fog(Offsets):
    """Fog of a density of at most `eps` before the image: x' = x + fog (light - x).

    The fog is a fractal, fog = sum_k w_k P_k: P_k is a grid of 2^k + 1 by 2^k + 1 random values, in [0, eps],
    interpolated bilinearly to the size of the image, for k = 0, 1, ... `octaves` - 1; w_k falls by `decay` from each
    grid to the next and has sum 1. Points are the values of all grids, (batch, values). `light` in [0, 1] is the fog's
    own brightness. Points of 0 are no fog: the set contains the image, unlike that of the source, where there is always
    fog.
    Source: Kang et al. 2019, "Testing robustness against unforeseen adversaries" (fog); Hendrycks and
    Dietterich 2019, section 4.1; fractal: Fournier, Fussell and Carpenter 1982 (midpoint displacement).
    """

    one_sided: ClassVar[bool] = True
    octaves: int = 5
    decay: float = 2.0
    light: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
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
class Snow(Offsets):
    """Snow before the image, whose flakes are white and hide at most a share `eps` each: x' = 1 - t (1 - x).

    There is one flake in each field of `spacing` by `spacing` pixels, at a place that `seed` draws, in each of several
    `layers`. Points in [0, eps] are how much each flake hides at its middle, (batch, layers, rows, columns). A flake is
    a streak, a Gaussian of `length` pixels (two standard deviations) along the direction of its fall and a third of
    that across; `angle` is the direction's degrees below the horizontal, and layers differ from it by up to 15 degrees
    and are down to half as large. Flakes before one another hide as filters do: light passes t = prod_i (1 - p_i)^k_i,
    with k_i <= 1 the streak of flake i. Points of 0 are no snow.
    Source: Kang et al. 2019, "Testing robustness against unforeseen adversaries" (snow); Hendrycks and
    Dietterich 2019, section 4.1.
    """

    one_sided: ClassVar[bool] = True
    most: ClassVar[float] = 0.999  # What lets no light through has no gradient.
    spacing: int = 6
    layers: int = 3
    length: float = 3.0
    angle: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
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
        rows, columns = points.shape[2:]
        patches = _patches(center, self.seed, self.layers, self.spacing, self.length, self.angle, height, width)
        # The logarithm of the light that passes, by what is in reach of each field, and by overlapping these.
        fading = torch.nn.functional.fold(
            torch.einsum("bln,lnp->bpn", torch.log1p(-points).flatten(2), patches),
            (rows * self.spacing, columns * self.spacing),
            kernel_size=self.spacing + 2 * _reach(self.length),
            padding=_reach(self.length),
            stride=self.spacing,
        )
        return (center - torch.expm1(fading[..., :height, :width]) * (1 - center)).clamp(0, 1)


def _reach(length: float) -> int:
    """Return how many pixels a flake may reach beyond its field: three standard deviations."""
    return math.ceil(1.5 * length)


@constant
def _patches(
    seed: int, layers: int, spacing: int, length: float, angle: float, height: int, width: int
) -> torch.Tensor:
    """Return the streak of each flake in the patch that its field can reach, (layers, fields, pixels)."""
    reach = _reach(length)
    place = torch.arange(-reach, spacing + reach, dtype=torch.float64)
    spread = torch.linspace(-1, 1, layers, dtype=torch.float64) if layers > 1 else torch.zeros(1, dtype=torch.float64)
    turn = torch.deg2rad(angle + 15 * spread).reshape(-1, 1, 1, 1)
    size = 0.5 * length * (0.75 - 0.25 * spread).reshape(-1, 1, 1, 1)
    rows, columns = _places(seed, layers, spacing, height, width)
    down, right = place[:, None] - rows[..., None, None], place - columns[..., None, None]
    along, across = right * turn.cos() + down * turn.sin(), down * turn.cos() - right * turn.sin()
    return torch.exp(-0.5 * ((along / size) ** 2 + (3 * across / size) ** 2)).flatten(2)


def _places(seed: int, layers: int, spacing: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the row and column of each flake in its field, (layers, fields); fields at the edge may be narrower."""
    room = [(size - torch.arange(0, size, spacing)).clamp(max=spacing) for size in (height, width)]
    drawn = fl.ops.linf_sample(
        torch.zeros(layers, 2, len(room[0]), len(room[1]), dtype=torch.float64),
        eps=1.0,
        seed=seed,
        examples=torch.arange(layers),
        low=-1.0,
    )
    rows, columns = (drawn * 0.5 + 0.5).unbind(dim=1)
    return (rows * room[0][:, None]).floor().flatten(1), (columns * room[1]).floor().flatten(1)
