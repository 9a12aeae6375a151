"""The size of the main set at which each unit loses its use."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from featlab.audit.findings import Knot, Radii, Radius
from featlab.audit.strength import eps_of
from featlab.audit.subject import Subject
from featlab.datasets.ranks import balanced_rows
from featlab.features import radius
from featlab.features.extremes import Extremes
from featlab.intervals import Estimate


def radii(subject: Subject, units: list[int], values: Tensor, found: Extremes) -> Radii | None:
    """Return the radii of units whose features and extremes on the attacked images are known.

    None for a set without a size. They are searched on some of the images only, or on none: each size that is looked
    at is another ascent for every pair of image and unit.
    """
    if eps_of(subject.main) is None or subject.limits.radii == 0:
        return None
    count = min(subject.limits.radii, len(subject.some))
    kinds = subject.kind(subject.some)
    rows = torch.from_numpy(balanced_rows(kinds.numpy(), count=count, seed=0))
    if len(kinds[rows].unique()) < 2:
        return None
    made = radius.robustness_radius(
        subject.extract,
        (subject.some.images(rows), kinds[rows]),
        within=subject.main,
        units=units,
        refine=2,
        batch_size=subject.batch_size,
        seed=subject.seed,
        follow=subject.follow,
        known=(values[rows], Extremes(found.low[rows], found.high[rows])),
        progress=subject.progress,
    )
    return Radii(count, made.largest, tuple(_row(made, column) for column in range(len(units))))


def _row(made: radius.Radii, column: int) -> Radius:
    ends = {name: end if math.isfinite(end) else None for name, end in made.zero.at(column).items()}
    curve = tuple(Knot(eps, Estimate(**gamma)) for eps, gamma in made.curve(column))
    return Radius(unit=int(made.units[column]), **ends, curve=curve)
