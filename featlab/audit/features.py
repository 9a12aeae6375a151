"""Which units are useful, which of them robustly so, and what they look like."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from featlab.audit.findings import Elsewhere, Feature, Features, Seen, Shown
from featlab.audit.subject import Subject
from featlab.features.extremes import read
from featlab.features.layers import Estimate
from featlab.features.resampling import Interval
from featlab.features.retrieval import activating
from featlab.features.usefulness import Usefulness, agreement, summarise, usefulness
from featlab.plugins import task, threat_model
from featlab.problem import maximize
from featlab.types import Images, Labels

LEAST = 0.1
"""The usefulness below which a feature counts as useless."""

VERDICTS = ("robust", "non-robust", "unclear", "useless")


def features(subject: Subject) -> Features:
    """Return usefulness and robust usefulness of the units that tell the classes of training images apart best.

    They are picked on training images and measured on test images, so that being picked flatters none of them.
    """
    units, total, idle = _picked(subject)
    found = [_measured(subject, units, number) for number in range(len(subject.within))]
    first = found[0]
    counts = _counts(first)
    return Features(
        layer=subject.address,
        total=total,
        idle=idle,
        n=first.n,
        least=LEAST,
        rows=_rows(first),
        counts=counts,
        rho=_mean(first.rho, first.best_class()),
        gamma=_mean(first.gamma, first.best_class()),
        others=tuple(_elsewhere(first, other, spec) for other, spec in zip(found[1:], subject.specs[1:])),
    )


def _picked(subject: Subject) -> tuple[list[int], int, int]:
    """Return the units that are most useful on training images, how many there are, and how many are constant."""
    values, _ = read(subject.extract, subject.known, batch_size=subject.batch_size, progress=subject.progress)
    labels = subject.known.labels
    found = summarise(values, labels, None, units=torch.arange(values.shape[1]), resamples=0)
    best = found.rho.value.amax(dim=0)
    order = best.argsort(descending=True, stable=True)[: subject.limits.units]
    return order.sort().values.tolist(), len(best), int((best == 0).sum())


def _measured(subject: Subject, units: Sequence[int], number: int) -> Usefulness:
    return usefulness(
        subject.extract,
        subject.some,
        within=subject.within[number],
        units=units,
        batch_size=subject.batch_size,
        seed=subject.seed,
        progress=subject.progress,
    )


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


def _mean(found: Interval | None, best: Labels) -> Estimate:
    """Return the mean over the features at their best classes, between the means of their intervals' ends."""
    each = (getattr(_of(found), name).gather(0, best[None]).mean() for name in ("value", "low", "high"))
    return Estimate(*map(float, each))


def _elsewhere(first: Usefulness, other: Usefulness, spec: str) -> Elsewhere:
    alike = agreement(first, other, least=LEAST)
    return Elsewhere(spec, _counts(other), _mean(other.gamma, first.best_class()), alike["jaccard"], alike["spearman"])


MADE = ("made of pixels", "made of waves")
"""The two ways in which images are made: pixel by pixel, and as a spectrum of natural proportions."""


def seen(subject: Subject, found: Features) -> Seen:
    """Return pictures of the most useful robust units, and of the most useful non-robust ones."""
    kinds = [[row for row in found.rows if row.verdict == kind][: subject.limits.seen] for kind in VERDICTS[:2]]
    chosen = [row for rows in kinds for row in rows]
    if not chosen:
        return Seen((), (), MADE)
    tops = activating(
        subject.extract,
        subject.test,
        units=[row.unit for row in chosen],
        count=min(4, len(subject.test)),
        batch_size=subject.batch_size,
        progress=subject.progress,
    )
    shown = []
    subject.progress("pictures", 0, len(chosen))
    for row, top in zip(chosen, tops.top, strict=True):
        labels = tuple(subject.test.labels[top].tolist())
        shown.append(Shown(row, subject.test.images(top), labels, _made(subject, row.unit)))
        subject.progress("pictures", len(shown), len(chosen))
    count = len(kinds[0])
    return Seen(tuple(shown[:count]), tuple(shown[count:]), MADE)


def _made(subject: Subject, unit: int) -> Tensor:
    """Return images that were driven from grey until the unit responds strongly, in each of the two ways."""
    grey = torch.full((1, *subject.test.shape), 0.5, device=subject.model.device)
    size = 0.1 * math.sqrt(grey.numel() / 784)  # Larger images have farther to go.
    ways = ((threat_model("box"), size), (threat_model("fourier"), 4 * size))
    return torch.cat([_driven(subject, grey, unit, *way) for way in ways])


def _driven(subject: Subject, grey: Images, unit: int, within: object, size: float) -> Images:
    problem = task("visualize")(
        subject.model,
        grey,
        f"{subject.address}:{unit}",
        within=within,
        noise=0.05,
        pass_through=True,
        steps=128,
        step_size=size,
        seed=subject.seed,
    )
    made: Images = maximize(problem).cpu()
    return made
