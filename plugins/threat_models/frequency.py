"""Changes whose frequencies lie in a band."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch

import featlab as fl

from .balls import normalized
from .cosines import cosines
from .offsets import at_most, check_size, constant, each, settled

_SWEEPS = 8
_FAR = 1e6
_INSIDE = 1 - 1e-5
"""How far a change is scaled into the max-norm ball, so that rounding does not lead out of it."""


@dataclass(frozen=True, eq=False)
class Frequency(fl.ThreatModel):
    """Changes made of the cosines between `low` and `high`, with Euclidean length or largest value at most `eps`.

    Points have the shape of the images and are the coefficients of the change in the orthonormal DCT-II, over the last
    axis of signals (batch, length) and (batch, channels, length), and over the last two of pictures (batch, channels,
    height, width). They are 0 but where low <= max(u / height, v / width) < high for u and v half waves: `low` and
    `high` are shares of the highest frequency, from 0 to 1, and bands that meet hold every frequency once.

    x' = x + IDCT(points), cut to [0, 1]. What holds exactly: x' in [0, 1], and |x' - x| <= eps in the norm. The change
    lies in the band up to rounding until the cut, which adds other frequencies where it acts, as it must.
    In the max norm, the projection cuts to the ball and to the band in turn and then scales into both; the result lies
    in both, but is not the very nearest such point.
    Source: Guo, Frank and Weinberger 2019, "Low frequency adversarial perturbation"; Sharma, Ding and Brubaker 2019,
    "On the effectiveness of low frequency perturbations"; Yin et al. 2019, "A Fourier perspective on model robustness".
    """

    eps: float | torch.Tensor
    low: float = 0.0
    high: float = 0.25
    norm: Literal["l2", "linf"] = "l2"

    def __post_init__(self) -> None:
        if self.norm not in {"l2", "linf"}:
            raise ValueError(f"norm must be 'l2' or 'linf', got {self.norm!r}")
        most, unit = (1.0, "; write 8 steps of 255 as 8/255") if self.norm == "linf" else (math.inf, "")
        check_size(self.eps, most=most, unit=unit)
        if not 0 <= self.low < self.high <= 1:
            given = f"got {self.low} and {self.high}"
            raise ValueError(f"low and high are shares of the highest frequency, 0 <= low < high <= 1; {given}")

    @property
    def radius(self) -> float | torch.Tensor:
        """The radius eps."""
        return self.eps

    def resized(self, radius: float | torch.Tensor) -> Frequency:
        """Return the set with another eps, which becomes larger than any change of an image where it is infinite."""
        return replace(self, eps=at_most(radius, 1.0 if self.norm == "linf" else _FAR))

    def distance(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the length of the change in the norm."""
        change = (self.decode(points, center).double() - center.double()).flatten(1)
        length: torch.Tensor = change.norm(dim=1, p=2 if self.norm == "l2" else math.inf)
        return length

    def rows(self, index: torch.Tensor) -> Frequency:
        """Return the threat model of some of the examples."""
        return replace(self, eps=self.eps.to(index.device)[index]) if isinstance(self.eps, torch.Tensor) else self

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return no change."""
        if not 2 <= center.dim() <= 4:
            raise ValueError(
                "frequency needs signals (batch, length) or (batch, channels, length), or images (batch, channels, "
                f"height, width), got shape {tuple(center.shape)}; reshape them"
            )
        if not bool(self._band(center).any()):
            size = "x".join(str(length) for length in _size(center))
            raise ValueError(f"no frequency of {size} values lies from {self.low:g} to {self.high:g}; widen the band")
        return torch.zeros_like(center)

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the images with the change."""
        moved = (center + self._signal(points)).clamp(0, 1)
        project = fl.ops.l2_project if self.norm == "l2" else fl.ops.linf_project
        return settled(moved, project(moved, center, eps=self.eps))

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the nearest points of the l2 ball, or points of the max-norm ball near by."""
        del center
        points = torch.where(self._band(points), points, 0.0)
        if self.norm == "l2":
            return fl.ops.l2_project(points, torch.zeros_like(points), eps=self.eps, low=-math.inf, high=math.inf)
        size, near = points.new_ones(1) * each(self.eps, points), points
        for _ in range(_SWEEPS):
            near = self._coefficients(self._signal(near).clamp(-size, size))
        peak = self._peak(near)
        scaled = near * torch.where(peak > size, _INSIDE * size / peak, 1.0)
        return torch.where(self._peak(points) <= size, points, scaled)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return grad / |grad|; in the max norm, the part of sign(IDCT(grad)) in the band.

        It gains the most of all parts in the band of signals with values in [-1, 1], though its own may be larger.
        """
        within = torch.where(self._band(grad), grad, 0.0)
        if self.norm == "l2":
            return normalized(within)
        return self._coefficients(self._signal(within).nan_to_num(0.0).sign())

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return points uniform in the l2 ball; in the max norm, the part of noise in the band, as large as eps."""
        points, band = self.start(center), self._band(center)
        free = points[..., band]
        draw = fl.ops.l2_sample if self.norm == "l2" else fl.ops.linf_sample
        drawn = draw(
            free,
            eps=self.eps if self.norm == "l2" else 1.0,
            seed=key.seed,
            examples=key.examples,
            restart=key.restart,
            low=-math.inf,
            high=math.inf,
        )
        points[..., band] = drawn
        return points if self.norm == "l2" else points * (_INSIDE * each(self.eps, points) / self._peak(points))

    def _band(self, like: torch.Tensor) -> torch.Tensor:
        """Return which coefficients are in the band, (length,) or (height, width)."""
        mask: torch.Tensor = _band(like, self.low, self.high, *_size(like))
        return mask

    def _signal(self, points: torch.Tensor) -> torch.Tensor:
        """Return the inverse transform, with the cosines below `high` alone."""
        waves = [cosines(points, size, math.ceil(self.high * size)) for size in _size(points)]
        for axis, wave in zip((-1, -2), reversed(waves)):
            points = points.narrow(axis, 0, len(wave))
        return points @ waves[-1] if len(waves) == 1 else waves[0].mT @ points @ waves[1]

    def _coefficients(self, signal: torch.Tensor) -> torch.Tensor:
        """Return the transform, with 0 outside the band."""
        waves = [cosines(signal, size, size) for size in _size(signal)]
        points = signal @ waves[-1].mT
        points = points if len(waves) == 1 else waves[0] @ points
        return torch.where(self._band(signal), points, 0.0)

    def _peak(self, points: torch.Tensor) -> torch.Tensor:
        """Return the largest value of each example's change, (batch, 1, ...)."""
        largest: torch.Tensor = self._signal(points).flatten(1).abs().amax(dim=1)
        return largest.reshape(-1, *[1] * (points.dim() - 1))


def _size(like: torch.Tensor) -> tuple[int, ...]:
    """Return the sizes of the axes that are transformed."""
    return tuple(like.shape[-2:] if like.dim() == 4 else like.shape[-1:])


@constant
def _band(low: float, high: float, *size: int) -> torch.Tensor:
    """Return which waves are in the band: those whose quickest axis is."""
    within = torch.zeros(size, dtype=torch.bool)
    within[tuple(slice(math.ceil(high * length)) for length in size)] = True
    within[tuple(slice(math.ceil(low * length)) for length in size)] = False
    return within
