"""Bootstrap intervals of usefulness: the examples are drawn anew, everything else follows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from featlab.features.extremes import Extremes
from featlab.intervals import ends, shares

CHUNK = 1 << 24
"""So many numbers of one kind are held at a time."""


@dataclass(frozen=True, eq=False)
class Interval:
    """Estimates with the ends of their 95 % intervals, all of one shape such as (classes, features)."""

    value: Tensor
    low: Tensor
    high: Tensor

    def at(self, *place: int) -> dict[str, float]:
        """Return one estimate with its interval."""
        return {name: float(getattr(self, name)[place]) for name in ("value", "low", "high")}


def resample(
    values: Tensor, found: Extremes | None, members: Tensor, sign: Tensor, *, resamples: int, seed: int
) -> tuple[Interval, Interval | None]:
    """Return rho and gamma of standardised features with percentile intervals over `resamples` draws of the examples.

    `values` (examples, features), `members` (examples, classes) with 1 for an example's class, `sign` (classes,
    features). Every draw standardises by its own mean and variance; the signs stay. Source: Efron 1979.
    """
    draws = shares(len(values), resamples, seed=seed)
    everyone = torch.full((1, len(values)), 1 / len(values), dtype=torch.float64)
    width = max(1, CHUNK // (max(resamples, 1) * members.shape[1]))
    parts = []
    for columns in torch.arange(values.shape[1]).split(width):
        some = None if found is None else Extremes(found.low[:, columns], found.high[:, columns])
        each = [_measure(weights, values[:, columns], some, members, sign[:, columns]) for weights in (everyone, draws)]
        parts.append([_interval(point, cloud) for point, cloud in zip(*each, strict=True)])
    whole = [Interval(*(torch.cat(ends, dim=1) for ends in zip(*_ends(each), strict=True))) for each in zip(*parts)]
    return whole[0], whole[1] if len(whole) > 1 else None


def _ends(intervals: tuple[Interval, ...]) -> list[tuple[Tensor, Tensor, Tensor]]:
    return [(each.value, each.low, each.high) for each in intervals]


def _measure(
    weights: Tensor, values: Tensor, found: Extremes | None, members: Tensor, sign: Tensor
) -> tuple[Tensor, ...]:
    """Return rho, and gamma where extremes are known, under each row of weights: (draws, classes, features)."""
    mean = weights @ values
    std = (weights @ values.square() - mean.square()).clamp_min(0).sqrt()
    std = torch.where(std > 0, std, 1.0)
    per_class = [_of_class(weights, values, found, member, sign[label]) for label, member in enumerate(members.T)]
    # E[y s (f - mean)] / std, and the same with the infimum of y s f: the mean enters by E[y s] alone.
    balance = torch.stack(
        [(weights @ (2 * member - 1))[:, None] * sign[label] for label, member in enumerate(members.T)], 1
    )
    shift = balance * mean[:, None]
    return tuple((torch.stack(each, 1) - shift) / std[:, None] for each in zip(*per_class, strict=True))


def _of_class(
    weights: Tensor, values: Tensor, found: Extremes | None, member: Tensor, sign: Tensor
) -> tuple[Tensor, ...]:
    """Return E[y s f] and E[inf y s f] for one class under each row of weights, (draws, features) each."""
    inside, outside = weights * member, weights * (1 - member)
    plain = sign * (inside @ values - outside @ values)
    if found is None:
        return (plain,)
    upright = inside @ found.low - outside @ found.high
    turned = outside @ found.low - inside @ found.high
    return plain, torch.where(sign > 0, upright, turned)


def _interval(point: Tensor, cloud: Tensor) -> Interval:
    """Return an estimate with the 2.5 % and 97.5 % quantiles of its resamples."""
    if len(cloud) == 0:
        unknown = torch.full_like(point[0], torch.nan)
        return Interval(point[0], unknown, unknown)
    return Interval(point[0], *ends(cloud))
