"""How robust usefulness falls as the set grows, and the size of the set at which a feature has lost it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from featlab.data import Data, as_data
from featlab.features.extremes import Extremes, device_of, pushed, read
from featlab.features.resampling import Interval
from featlab.features.usefulness import refuse_one_class, summarise
from featlab.intervals import shares
from featlab.threat_models import ThreatModel
from featlab.types import FeatureExtractor, Images, Labels, Progress, silent


@dataclass(frozen=True, eq=False)
class Radii:
    """How far each feature stays useful: gamma over eps, and the eps at which it reaches 0.

    `zero` (features,) is that eps with its 95 % interval over the draw of the examples: infinite where gamma is above 0
    at the `largest` size that was tried. `eps` (knots, features) grows from 0 and is NaN behind the last knot that was
    measured; `gamma` is its interval there, at the class `label` that the feature is most useful for (so rho at eps 0),
    turned by `sign` as in `Usefulness`. Found by ascent, gamma and `zero` are estimates from above.
    """

    zero: Interval
    eps: Tensor
    gamma: Interval
    label: Labels
    sign: Tensor
    units: Tensor
    largest: float
    n: int
    threat_model: str
    seed: int

    def record(self) -> dict[str, Any]:
        """Return each feature's radius and curve as plain values; a radius beyond the largest size is None."""
        rows = []
        for column, unit in enumerate(self.units.tolist()):
            zero = {name: end if math.isfinite(end) else None for name, end in self.zero.at(column).items()}
            row = {"unit": unit, "class": int(self.label[column]), "sign": int(self.sign[column]), "zero": zero}
            rows.append({**row, "curve": [{"eps": eps, **gamma} for eps, gamma in self.curve(column)]})
        known = {"n": self.n, "threat_model": self.threat_model, "seed": self.seed, "largest": self.largest}
        return {**known, "features": rows}

    def curve(self, column: int) -> list[tuple[float, dict[str, float]]]:
        """Return eps and gamma of one feature, as far as it was measured."""
        sizes = self.eps[:, column].tolist()
        return [(eps, self.gamma.at(knot, column)) for knot, eps in enumerate(sizes) if not math.isnan(eps)]


def robustness_radius(
    extract: FeatureExtractor,
    data: Data | tuple[Images, Labels],
    *,
    within: ThreatModel,
    units: Sequence[int] | None = None,
    largest: float = 8.0,
    refine: int = 4,
    steps: int = 10,
    relative_step: float = 0.25,
    resamples: int = 1000,
    batch_size: int = 512,
    seed: int = 0,
    follow: FeatureExtractor | None = None,
    known: tuple[Tensor, Extremes] | None = None,
    progress: Progress = silent,
) -> Radii:
    """Return, for every feature, the size of the set at which its robust usefulness reaches 0.

    eps* = min{eps : gamma(eps) <= 0}, gamma(eps) = E[inf over x' in S_eps(x) of y f(x')] at the feature's best class.
    Each feature is measured at `within.radius`, then at growing sizes, up to `largest` times that, until gamma is below
    0 in every resample; then at `refine` sizes more, where the estimate and the ends of its interval lie by then.
    Between two sizes gamma is a straight line, and as the sets are nested it never grows. `known` are the features of
    the data and their extremes inside `within`, where they were measured before. The set must be one that can be
    `resized`; for the rest see `usefulness`. Source: Ilyas et al. 2019, section 2.
    """
    data = as_data(data)
    labels = data.labels.cpu()
    refuse_one_class(labels)
    first, last = _sizes(within, largest)
    values, columns = read(extract, data, units=units, batch_size=batch_size, progress=progress)
    search = _Search.begin(values if known is None else known[0], labels, resamples=resamples, seed=seed)
    ascents = _Ascents(extract, follow or extract, data, within, columns, steps, relative_step, batch_size, seed)
    if known is not None:
        search.add(torch.full_like(search.knots[0], first), search.least_of(known[1]))
    progress("radii", 0, GROWTH + refine)
    for number in range(GROWTH + refine):
        eps = search.farther(first, last) if number < GROWTH else search.nearer(number - GROWTH)
        search.add(eps, ascents.least(search.sides, eps))
        progress("radii", number + 1, GROWTH + refine)
    return search.found(columns, largest=last, threat_model=repr(within), seed=seed)


GROWTH = 4
"""So often at most the set is made larger."""


def linear_radius(
    weight: Tensor,
    data: Data | tuple[Images, Labels],
    *,
    within: ThreatModel,
    resamples: int = 1000,
    batch_size: int = 512,
    seed: int = 0,
) -> Radii:
    """Return the radii of linear features f = <w, x> in a ball, in closed form: eps* = rho std / |w|_dual.

    gamma(eps) = rho - eps |w|_dual / std with the dual norm of the ball's, for the rows w of `weight` (features, d).
    No attack is run, so this is a certificate: where a ball meets the box [0, 1], the truth is not smaller.
    Source: Goh 2019 (Distill, "Two Examples of Useful, Non-Robust Features").
    """
    if within.order not in (1, 2, math.inf):
        raise ValueError(f"linear features have a closed form in l1, l2 and linf balls; got {within!r}")
    data = as_data(data)
    refuse_one_class(data.labels)
    rows = weight.detach().double().cpu()
    values, columns = read(lambda images: images.flatten(1).double() @ rows.T, data, batch_size=batch_size)
    search = _Search.begin(values, data.labels.cpu(), resamples=resamples, seed=seed)
    order = {1.0: math.inf, 2.0: 2.0, math.inf: 1.0}[float(within.order)]
    lost = torch.linalg.vector_norm(rows, order, dim=1)
    # gamma is a straight line, so one more point gives all of it: where it is below 0 in every resample.
    far = torch.where(lost > 0, 2 * (search.clouds[0] * search.std).amax(dim=0).clamp_min(1e-12) / lost, torch.nan)
    search.add(far, search.sides * values - far * lost)
    largest = float(far.nan_to_num(0.0).max())
    return search.found(columns, largest=largest, threat_model=repr(within), seed=seed)


def _sizes(within: ThreatModel, largest: float) -> tuple[float, float]:
    """Return the set's own size and the largest to try, which is less where the set cannot have that."""
    radius = within.radius
    if not isinstance(radius, float | int) or not 0 < radius < math.inf:
        raise ValueError(f"a radius is searched in a set of one finite size > 0; got {within!r}")
    if not 1 <= largest < math.inf:
        raise ValueError(f"largest is a multiple of the set's own size, at least 1; got {largest}")
    within.resized(radius)
    while largest > 1:
        try:
            within.resized(largest * radius)
            break
        except ValueError:  # For instance a linf ball with eps > 1.
            largest = max(1.0, largest / 2)
    return float(radius), float(largest * radius)


@dataclass(frozen=True, eq=False)
class _Ascents:
    """How the infimum of a feature is sought for a pair of example and feature."""

    extract: FeatureExtractor
    follow: FeatureExtractor
    data: Data
    within: ThreatModel
    units: Tensor
    steps: int
    relative_step: float
    batch_size: int
    seed: int

    def least(self, sides: Tensor, eps: Tensor) -> Tensor:
        """Return the least `sides` f(x') found at each feature's own size, (examples, features); NaN where that is."""
        found = torch.full_like(sides, torch.nan)
        wanted = ~eps.isnan()
        for sign in (-1.0, 1.0):
            pairs = ((sides * sign < 0) & wanted).nonzero()
            for part in pairs.split(self.batch_size) if len(pairs) else ():
                example, column = part.T
                found[example, column] = -sign * self._pushed(example, column, sign, eps)
        return found

    def _pushed(self, example: Tensor, column: Tensor, sign: float, eps: Tensor) -> Tensor:
        """Return the features of pairs where ascent left them, each in a set of its own size."""
        device = device_of(self.extract)
        sizes = eps[column].to(device)
        return pushed(
            self.extract,
            self.data.images(example).to(device),
            self.units[column],
            sign,
            within=self.within.rows(example.to(device)).resized(sizes),
            steps=self.steps,
            relative_step=self.relative_step,
            seed=self.seed,
            examples=example,
            follow=self.follow,
        )


@dataclass(eq=False)
class _Search:
    """What is known of gamma so far: at knots (features,), for the data and every resample (1 + draws, features)."""

    values: Tensor
    sides: Tensor
    weights: Tensor
    mean: Tensor
    std: Tensor
    alive: Tensor
    label: Labels
    sign: Tensor
    knots: list[Tensor] = field(default_factory=list)
    clouds: list[Tensor] = field(default_factory=list)

    @staticmethod
    def begin(values: Tensor, labels: Labels, *, resamples: int, seed: int) -> _Search:
        """Return the search with its first knot, rho at eps 0."""
        plain = summarise(values, labels, None, units=torch.arange(values.shape[1]), resamples=0)
        label = plain.best_class()
        sign = plain.sign.gather(0, label[None])[0]
        sides = (2.0 * (labels[:, None] == label) - 1).double() * sign
        everyone = torch.full((1, len(values)), 1 / len(values), dtype=torch.float64)
        weights = torch.cat([everyone, shares(len(values), resamples, seed=seed)])
        mean = weights @ values
        std = (weights @ values.square() - mean.square()).clamp_min(0).sqrt()
        alive = plain.rho.value.amax(dim=0) > 0
        search = _Search(values, sides, weights, mean, torch.where(std > 0, std, 1.0), alive, label, sign)
        search.add(torch.zeros(values.shape[1], dtype=torch.float64), sides * values)
        return search

    def add(self, eps: Tensor, signed: Tensor) -> None:
        """Take note of the infimum of y s f at one size per feature; NaN where it was not measured."""
        gamma = (self.weights @ signed - (self.weights @ self.sides) * self.mean) / self.std
        self.knots.append(eps)
        self.clouds.append(torch.where(self.alive | eps.isnan(), gamma, 0.0))

    def least_of(self, found: Extremes) -> Tensor:
        """Return the infimum of y s f where both extremes of f are known."""
        return torch.where(self.sides > 0, found.low, -found.high)

    def farther(self, first: float, last: float) -> Tensor:
        """Return the next larger size of each feature; NaN where gamma is lost in every resample, or at the largest.

        Somewhat beyond the point at which a straight line through the last two knots reaches 0.
        """
        eps, clouds = self.sorted()
        if len(eps) == 1:
            return torch.full_like(eps[0], first).where(self.alive, torch.nan)
        place = eps.isfinite().sum(dim=0, keepdim=True) - 1  # The last knot that was measured.
        right, left = (eps.gather(0, each)[0] for each in (place, (place - 1).clamp_min(0)))
        gamma, before = (clouds[:, 0].gather(0, each)[0] for each in (place, (place - 1).clamp_min(0)))
        ahead = gamma.clamp_min(0) * (right - left) / (before - gamma).clamp_min(1e-300)
        size = torch.minimum(torch.maximum(1.25 * (right + ahead), 1.5 * right), 4 * right).clamp_max(last)
        still_open = self.alive & (clouds[-1] > 0).any(dim=0) & (right < last)
        return size.where(still_open, torch.nan)

    def nearer(self, number: int) -> Tensor:
        """Return where to look next, in turn: twice at the estimate, then at the low and the high end."""
        value, low, high = self.ends()
        eps = (value, value, low, high)[number % 4]
        return eps.where((eps > 0) & eps.isfinite(), torch.nan)

    def sorted(self) -> tuple[Tensor, Tensor]:
        """Return the knots in growing order, infinite where not measured, and gamma, which never grows with them."""
        eps, clouds = (torch.stack(each).nan_to_num(torch.inf) for each in (self.knots, self.clouds))
        order = eps.argsort(dim=0, stable=True)
        clouds = clouds.gather(0, order[:, None].expand_as(clouds))
        return eps.gather(0, order), clouds.cummin(dim=0).values

    def crossing(self) -> Tensor:
        """Return the eps at which gamma reaches 0 by straight lines between the knots, (1 + draws, features)."""
        eps, clouds = self.sorted()
        last = (clouds > 0).sum(dim=0)  # The first knot at which gamma is not above 0: it never grows.
        after = last.clamp(1, len(eps) - 1)
        upper, lower = (clouds.gather(0, each[None])[0] for each in (after - 1, after))
        left, right = (eps.gather(0, each.clamp_max(len(eps) - 1)) for each in (after - 1, after))
        share = upper / (upper - lower).clamp_min(1e-300)
        inside = left + share * (torch.where(right.isfinite(), right, left) - left)
        return torch.where(last == 0, 0.0, torch.where(last == len(eps), torch.inf, inside))

    def ends(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the estimate of the crossing and the ends of its 95 % interval, (features,) each."""
        crossing = self.crossing()
        return (crossing[0], *_quantiles(crossing[1:]))

    def found(self, units: Tensor, *, largest: float, threat_model: str, seed: int) -> Radii:
        """Return what is known now."""
        eps, clouds = self.sorted()
        low, high = zip(*(_quantiles(cloud[1:]) for cloud in clouds))
        unknown = eps.isinf()
        gamma = (clouds[:, 0], torch.stack(low), torch.stack(high))
        return Radii(
            zero=Interval(*self.ends()),
            eps=torch.where(unknown, torch.nan, eps),
            gamma=Interval(*(torch.where(unknown, torch.nan, each) for each in gamma)),
            label=self.label,
            sign=self.sign,
            units=units,
            largest=largest,
            n=len(self.values),
            threat_model=threat_model,
            seed=seed,
        )


def _quantiles(cloud: Tensor) -> tuple[Tensor, Tensor]:
    """Return the 2.5 % and 97.5 % quantiles of resamples some of which may be infinite; NaN where there are none."""
    if len(cloud) == 0:
        unknown = torch.full(cloud.shape[1:], torch.nan, dtype=cloud.dtype)
        return unknown, unknown
    ordered = cloud.sort(dim=0).values
    # Outwards to the next resample: between a finite and an infinite one there is nothing to interpolate.
    low, high = math.floor(0.025 * (len(cloud) - 1)), math.ceil(0.975 * (len(cloud) - 1))
    return ordered[low], ordered[high]
