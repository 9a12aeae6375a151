"""Any image, described by numbers in which an ascent finds natural-looking ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

import featlab as fl

from .balls import normalized

DRAW = 33
"""The purpose of the random numbers of coefficients."""
MARGIN = 1e-3
"""The share of the sigmoid's range that is cut off at either end, so that black and white have finite numbers."""


@dataclass(frozen=True, eq=False)
class Decorrelated(fl.ThreatModel):
    """Any image in [0, 1], as real numbers of decorrelated colours, x = s(M z).

    s(v) = (sigmoid(v) - m) / (1 - 2 m), cut to [0, 1] with m = 0.001, so that 0 and 1 are within reach. M mixes the
    channels as natural images do (`fl.ops.imagenet_colours`) where there are three, and does nothing elsewhere. The
    points z have the shape of the images. There is no limit to where they go; steps follow the normalised gradient.
    `spread` is the standard deviation of random starts about the centre. The start stands for the centre up to
    rounding, about 1e-6 in float32.
    Source: Olah et al. 2017, "Feature Visualization", the section on preconditioning and parametrisation.
    """

    spread: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.spread < math.inf:
            raise ValueError(f"spread is the deviation of random starts, a number >= 0, got {self.spread}")

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the points: all are allowed."""
        return points.clone()

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return grad / |grad|, and 0 for a gradient of 0."""
        return normalized(grad)

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return the numbers that stand for the centre."""
        shown = MARGIN + (1 - 2 * MARGIN) * center.double()
        mixed = torch.logit(shown)
        return (_unmixed(mixed) if _is_rgb(center) else mixed).to(center.dtype)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return the start with normal random numbers of deviation `spread` added."""
        start = self.start(center)
        noise = fl.ops.random.normal(start, seed=key.seed, examples=key.examples, restart=key.restart, purpose=DRAW)
        return start + self.spread * noise

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the images that the numbers stand for."""
        if _is_rgb(center):
            shown = fl.ops.colour(points, mean=[MARGIN] * 3, std=[1 - 2 * MARGIN] * 3)
        else:
            shown = (points.sigmoid() - MARGIN) / (1 - 2 * MARGIN)
        return shown.clamp(0, 1)


@dataclass(frozen=True, eq=False)
class Fourier(Decorrelated):
    """Any image in [0, 1], as the spectrum of decorrelated colours, x = s(M F^-1(a_f c_f)).

    F is the orthonormal Fourier transform of each channel, and a_f ~ 1 / max(f, 1 / max(height, width)), the amplitude
    that natural images have at frequency f in cycles per pixel, scaled to a mean square of 1: a step as long as one in
    pixels, most of it in what is large. s and M are those of `decorrelated`. The points are the coefficients c_f,
    (batch, channels, height, width // 2 + 1, 2), with their real and imaginary parts last.
    Source: Olah et al. 2017, "Feature Visualization", the section on preconditioning and parametrisation.
    """

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return the coefficients that stand for the centre."""
        if center.dim() != 4:
            raise ValueError(
                f"spectra need pictures of shape (batch, channels, height, width), got {tuple(center.shape)}"
            )
        spectrum = torch.fft.rfft2(super().start(center.double()), norm="ortho")
        scale = amplitudes(center.shape[2], center.shape[3], device=center.device)
        return torch.view_as_real(spectrum / scale).to(center.dtype)

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the images that the coefficients stand for."""
        height, width = center.shape[2:]
        scale = amplitudes(height, width, device=points.device).to(points.dtype)
        spectrum = torch.view_as_complex(points.contiguous()) * scale
        return super().decode(torch.fft.irfft2(spectrum, s=(height, width), norm="ortho"), center)


def amplitudes(height: int, width: int, *, device: torch.device | None = None) -> torch.Tensor:
    """Return a_f for the frequencies of a real transform, (height, width // 2 + 1), in float64."""
    down = torch.fft.fftfreq(height, dtype=torch.float64, device=device)[:, None]
    across = torch.fft.fftfreq(width, dtype=torch.float64, device=device)[None, :]
    whole = 1 / torch.hypot(down, across).clamp_min(1 / max(height, width))
    return (whole / whole.square().mean().sqrt())[:, : width // 2 + 1]


def _is_rgb(images: torch.Tensor) -> bool:
    return images.dim() == 4 and images.shape[1] == 3


def _unmixed(values: torch.Tensor) -> torch.Tensor:
    """Return the decorrelated colours that `fl.ops.colour` would mix to these values."""
    return torch.einsum("dc,bchw->bdhw", fl.ops.imagenet_colours().to(values).inverse(), values)
