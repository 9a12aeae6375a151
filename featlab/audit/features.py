"""Which units are useful, which of them robustly so, and what they look like."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from featlab.audit.findings import Elsewhere, Feature, Features, Seen, Shown
from featlab.audit.radii import radii
from featlab.audit.subject import Subject
from featlab.features.extremes import Extremes, extremes, read
from featlab.features.portraits import Portrait, portraits
from featlab.features.resampling import Interval
from featlab.features.usefulness import Usefulness, agreement, summarise
from featlab.intervals import Estimate, ends, shares
from featlab.threat_models import ThreatModel

LEAST = 0.1
"""The usefulness below which a feature counts as useless."""

VERDICTS = ("robust", "non-robust", "unclear", "useless")


def features(subject: Subject) -> Features:
    """Return usefulness and robust usefulness of the units that tell the classes of training images apart best.

    They are picked on training images and measured on test images, so that being picked flatters none of them.
    """
    units, total, idle = _picked(subject)
    values, columns = read(subject.extract, subject.some, units=units, batch_size=subject.batch_size)
    found = [_measured(subject, values, columns, within) for within in subject.within]
    first, rho, gamma, pushed = found[0]
    return Features(
        layer=subject.address,
        total=total,
        idle=idle,
        n=first.n,
        least=LEAST,
        rows=_rows(first),
        counts=_counts(first),
        rho=rho,
        gamma=gamma,
        others=tuple(
            _elsewhere(first, other, spec, mean) for (other, _, mean, _), spec in zip(found[1:], subject.specs[1:])
        ),
        radii=radii(subject, columns.tolist(), values, pushed),
    )


def _picked(subject: Subject) -> tuple[list[int], int, int]:
    """Return the units that are most useful on training images, how many there are, and how many are constant.

    The classes take turns with the best unit that is left of those that are most useful for them.
    """
    values, _ = read(subject.extract, subject.known, batch_size=subject.batch_size, progress=subject.progress)
    found = summarise(values, subject.known.labels, None, units=torch.arange(values.shape[1]), resamples=0)
    best, labels = found.rho.value.max(dim=0)
    order = best.argsort(descending=True, stable=True)
    seen = torch.zeros(len(found.rho.value), dtype=torch.int64)
    turn = torch.empty_like(order)
    for unit in order.tolist():
        turn[unit] = seen[labels[unit]]
        seen[labels[unit]] += 1
    turn[best == 0] = len(best)
    chosen = order[turn[order].argsort(stable=True)][: subject.limits.units]
    return chosen.sort().values.tolist(), len(best), int((best == 0).sum())


def _measured(
    subject: Subject, values: Tensor, columns: Tensor, within: ThreatModel
) -> tuple[Usefulness, Estimate, Estimate, Extremes]:
    """Return what `fl.usefulness` does, the means over the units at their best classes, and the extremes."""
    found = extremes(
        subject.extract,
        subject.some,
        within=within,
        units=columns,
        batch_size=subject.batch_size,
        seed=subject.seed,
        follow=subject.follow,
        progress=subject.progress,
    )
    # The image itself lies in its set.
    found = Extremes(torch.minimum(found.low, values), torch.maximum(found.high, values))
    labels = subject.some.labels
    made = summarise(values, labels, found, units=columns, within=within, seed=subject.seed)
    best = made.best_class()
    sides = (2.0 * (labels[:, None] == best) - 1).double() * made.sign.gather(0, best[None])
    least = torch.where(sides > 0, found.low, -found.high)
    means = [mean_over_units(values, sides, each, seed=subject.seed) for each in (sides * values, least)]
    return made, means[0], means[1], found


def mean_over_units(values: Tensor, sides: Tensor, signed: Tensor, *, seed: int, resamples: int = 1000) -> Estimate:
    """Return the mean over units of E[y s f] (or of its infimum) / std, f less its mean, with a bootstrap interval.

    `sides` y s and `signed` y s f, or its infimum, are (examples, units) as `values` are. Every draw of the examples
    standardises anew, as for the single units. Constant units count as 0.
    """
    count = len(values)
    everyone = torch.full((1, count), 1 / count, dtype=torch.float64)
    alive = values.std(dim=0, correction=0) > 0
    clouds = []
    for weights in (everyone, shares(count, resamples, seed=seed)):
        mean = weights @ values
        std = (weights @ values.square() - mean.square()).clamp_min(0).sqrt()
        each = (weights @ signed - (weights @ sides) * mean) / torch.where(std > 0, std, 1.0)
        clouds.append((each * alive).mean(dim=1))
    low, high = ends(clouds[1])
    return Estimate(float(clouds[0]), float(low), float(high))


def _rows(found: Usefulness) -> tuple[Feature, ...]:
    """Return every feature at its best class, the most useful first."""
    verdicts = found.verdicts(least=LEAST)
    rows = [
        Feature(
            unit,
            label,
            int(found.sign[label, column]),
            Estimate(**found.rho.at(label, column)),
            Estimate(**_of(found.gamma).at(label, column)),
            verdicts[column],
        )
        for column, (unit, label) in enumerate(zip(found.units.tolist(), found.best_class().tolist(), strict=True))
    ]
    return tuple(sorted(rows, key=lambda row: -row.rho.value))


def _of(gamma: Interval | None) -> Interval:
    assert gamma is not None  # A threat model was given.
    return gamma


def _counts(found: Usefulness) -> Mapping[str, int]:
    verdicts: list[str] = [*found.verdicts(least=LEAST)]
    return {name: verdicts.count(name) for name in VERDICTS}


def _elsewhere(first: Usefulness, other: Usefulness, spec: str, gamma: Estimate) -> Elsewhere:
    alike = agreement(first, other, least=LEAST)
    return Elsewhere(spec, _counts(other), gamma, alike["jaccard"], alike["spearman"])


def seen(subject: Subject, found: Features) -> Seen:
    """Return pictures of the most useful robust units and of the most useful non-robust ones.

    Where there are none of either kind, the most useful of the others are shown too, so that there is something to see
    of every net.
    """
    most = subject.limits.seen
    kinds = [_various(found.rows, (kind,))[:most] for kind in VERDICTS[:2]]
    kinds.append([] if all(kinds) else _various(found.rows, VERDICTS[2:])[:most])
    chosen = [row for rows in kinds for row in rows]
    drawn = portraits(
        subject.model,
        subject.test,
        units=[row.unit for row in chosen],
        layer=subject.address,
        count=min(4, len(subject.test)),
        lowest=False,
        batch_size=subject.batch_size,
        seed=subject.seed,
        progress=subject.progress,
    )
    shown = [_shown(subject, row, each) for row, each in zip(chosen, drawn, strict=True)]
    robust, fragile = len(kinds[0]), len(kinds[0]) + len(kinds[1])
    made = tuple(f"made of {way}" for way in drawn[0].ways)
    return Seen(tuple(shown[:robust]), tuple(shown[robust:fragile]), tuple(shown[fragile:]), made)


def _shown(subject: Subject, row: Feature, drawn: Portrait) -> Shown:
    low = drawn.bottom[:2]
    return Shown(
        row,
        subject.test.images(drawn.top),
        tuple(drawn.top_labels.tolist()),
        subject.test.images(low),
        tuple(drawn.bottom_labels[:2].tolist()),
        drawn.highest,
    )


def _various(rows: tuple[Feature, ...], kinds: tuple[str, ...]) -> list[Feature]:
    """Return the features of some verdicts, the best of each class before the second best of any."""
    taken: list[int] = []
    turns = []
    for row in (row for row in rows if row.verdict in kinds):
        turns.append((taken.count(row.label), row))
        taken.append(row.label)
    return [row for _, row in sorted(turns, key=lambda pair: pair[0])]
