"""Changes of the kind that JPEG makes: of the coefficients of 8 x 8 blocks, in steps of its tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from .cosines import cosines
from .offsets import Offsets, check_pictures, constant

_BLOCK = 8


@dataclass(frozen=True, eq=False)
class JPEG(Offsets):
    """The JPEG coefficients of an image change by at most `eps` steps of the quantisation at a `quality`, 1 to 100.

    Points are those changes in steps, one for each coefficient of each 8 x 8 block, first of the luminance, then of the
    two chrominances, which have half the resolution where `subsample` says so, as is usual; grey images have luminance
    alone. x' = x + RGB(IDCT(points * table)), cut to [0, 1]. Nothing is rounded, so points of 0 are the image itself,
    all of this can be differentiated, and eps = 1/2 is as far as the rounding of JPEG itself leads. Images are covered
    by whole blocks, of which what lies outside is cut off.
    Source: Shin and Song 2017, "JPEG-resistant adversarial images"; Kang et al. 2019, "Testing robustness against
    unforeseen adversaries" (JPEG); tables: ITU-T T.81 (1992), annex K.
    """

    most: ClassVar[float] = 2040.0  # A coefficient of values in [-1, 1] is at most 8, and a step at least 1 / 255.
    quality: int = 75
    subsample: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality must be a whole number from 1 to 100, got {self.quality}")

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return no change of any coefficient, (batch, coefficients)."""
        check_pictures("jpeg", center, channels=(1, 3))
        return center.new_zeros(len(center), sum(math.prod(shape) for shape in self._planes(center)))

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the images with their coefficients changed."""
        shapes = self._planes(center)
        parts = points.split([math.prod(shape) for shape in shapes], dim=1)
        tables = _table(center, self.quality, 0), _table(center, self.quality, 1)
        planes = [
            _pixels(part.unflatten(1, shape) * table) for part, shape, table in zip(parts, shapes, tables, strict=False)
        ]
        change = self._joined(planes, center)
        return (center + change[..., : center.shape[2], : center.shape[3]]).clamp(0, 1)

    def _planes(self, center: torch.Tensor) -> list[tuple[int, ...]]:
        """Return the shapes (channels, rows, columns, 8, 8) of the blocks of luminance, and of chrominance if any."""
        height, width = center.shape[2:]
        luminance = (1, *_blocks(height, width, 1), _BLOCK, _BLOCK)
        if center.shape[1] == 1:
            return [luminance]
        return [luminance, (2, *_blocks(height, width, self._coarse()), _BLOCK, _BLOCK)]

    def _coarse(self) -> int:
        return 2 if self.subsample else 1

    def _joined(self, planes: list[torch.Tensor], center: torch.Tensor) -> torch.Tensor:
        """Return the change of the channels of the image, or of the grey values."""
        luminance, *chrominances = planes
        if not chrominances:
            return luminance
        (chrominance,) = chrominances
        for axis in (2, 3):
            chrominance = chrominance.repeat_interleave(self._coarse(), dim=axis)
        height, width = center.shape[2:]
        whole = [plane[..., :height, :width] for plane in (luminance, chrominance)]
        return torch.einsum("dc,bchw->bdhw", _to_rgb(center), torch.cat(whole, dim=1))


def _blocks(height: int, width: int, coarse: int) -> tuple[int, int]:
    return -(-height // (_BLOCK * coarse)), -(-width // (_BLOCK * coarse))


def _pixels(blocks: torch.Tensor) -> torch.Tensor:
    """Return the planes (batch, channels, 8 rows, 8 columns) that blocks of coefficients stand for."""
    wave = cosines(blocks, _BLOCK, _BLOCK)
    tiles: torch.Tensor = wave.mT @ blocks @ wave
    return tiles.transpose(3, 4).flatten(2, 3).flatten(3, 4)


@constant
def _to_rgb() -> torch.Tensor:
    """Return the matrix from luminance and chrominances to RGB (ITU-T T.871, JFIF)."""
    return torch.tensor([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], dtype=torch.float64)


@constant
def _table(quality: int, which: int) -> torch.Tensor:
    """Return the steps (8, 8) of luminance (0) or chrominance (1) at a quality, for values in [0, 1].

    The standard's tables are those of quality 50; the scale for others is that of the Independent JPEG Group.
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = torch.tensor(_STEPS[which], dtype=torch.int64)
    scaled = ((steps * scale + 50) // 100).clamp(1, 255)
    return scaled.double() / 255


_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
_STEPS = (_LUMINANCE, _CHROMINANCE)
