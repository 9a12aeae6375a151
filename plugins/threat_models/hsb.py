"""Another hue, saturation or brightness for the whole image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .offsets import Offsets, check_pictures, constant


@dataclass(frozen=True, eq=False)
class HSB(Offsets):
    """The hue turns by at most `hue` degrees, saturation and brightness change by at most a share each.

    Points are (batch, 3) shares h, s, b of the three limits, in [-eps, eps] with eps at most 1. With YIQ, the luminance
    and the two chrominances of a pixel,

        Y' = Y + brightness b,    (I', Q') = (1 + saturation s) R(hue h) (I, Q),

    R a rotation, and colours beyond [0, 1] are cut. Neither hue nor saturation changes the luminance of a pixel, nor a
    grey one at all: of images with one channel only the brightness changes. `hue` is in [0, 180], the others in [0, 1].
    Source: Hosseini and Poovendran 2018, "Semantic adversarial examples", whose shifts of hue and saturation in HSV
    these are, in a space where they are smooth; Bhattad et al. 2020 (colourisation).
    """

    eps: float | torch.Tensor = 1.0
    hue: float = 30.0
    saturation: float = 0.5
    brightness: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("hue", 180.0), ("saturation", 1.0), ("brightness", 1.0)):
            limit = getattr(self, name)
            if not 0 <= limit <= most:
                unit = " degrees" if name == "hue" else ""
                raise ValueError(f"{name} is a limit from 0 to {most:g}{unit}, got {limit}")

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return three zeros for each image."""
        check_pictures("hsb", center, channels=(1, 3))
        return center.new_zeros(len(center), 3)

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the images in their other colours."""
        hue, saturation, brightness = points.reshape(-1, 3, 1, 1, 1).unbind(dim=1)
        turn, scale, shift = math.radians(self.hue) * hue, self.saturation * saturation, self.brightness * brightness
        change = shift
        if center.shape[1] == 3:
            i, q = _mixed(_to_chroma(center), center).split(1, dim=1)
            # What is added to the chrominances, which is exactly nothing where nothing turns and nothing scales.
            along, across = (1 + scale) * turn.cos() - 1, (1 + scale) * turn.sin()
            other = torch.cat([along * i - across * q, across * i + along * q], dim=1)
            change = shift + _mixed(_from_chroma(center), other)
        return (center + change).clamp(0, 1)


_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
"""From red, green and blue to luminance and chrominances: the matrix of the NTSC standard (1953)."""


@constant
def _to_chroma() -> torch.Tensor:
    return torch.tensor(_YIQ, dtype=torch.float64)[1:]


@constant
def _from_chroma() -> torch.Tensor:
    inverse: torch.Tensor = torch.linalg.inv(torch.tensor(_YIQ, dtype=torch.float64))
    return inverse[:, 1:]


def _mixed(matrix: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Return the channels mixed by a matrix, pixel by pixel."""
    return torch.einsum("dc,bchw->bdhw", matrix, images)
