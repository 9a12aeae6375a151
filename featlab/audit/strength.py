"""Accuracy, and accuracy under attack over the size of the set."""

from __future__ import annotations

import math

from featlab.attacks import suite as suite_of
from featlab.audit.findings import Left, Sanity, Strength
from featlab.audit.subject import Subject
from featlab.distortion import minimal_distortion, options, resized
from featlab.evaluation import Accuracy, correct, curve, described
from featlab.sanity import symptoms
from featlab.threat_models import ThreatModel

SIZES = (0.25, 0.5, 1.0, 1.5, 2.0)
"""The sizes of the curve, in units of the eps that was asked for."""


def strength(subject: Subject) -> Strength:
    """Return the accuracy, the curve over eps in one pass, and the least change that half of the images need."""
    model, data, within = subject.model, subject.some, subject.main
    sizes = _sizes(within)
    before = Accuracy.of(correct(model, data, batch_size=subject.batch_size))
    points = curve(
        model,
        data,
        along=[each for _, each in sizes] or [within],
        suite=subject.suite,
        batch_size=subject.batch_size,
        seed=subject.seed,
        progress=subject.progress,
    )
    eps = float(options(within)["eps"]) if sizes else None
    text = subject.specs[0]
    made = [Left(size, text, left) for (size, _), left in zip(sizes, points)]
    robust = next((row.left for row in made if row.eps == eps), points[-1])
    median, largest = _median(subject, sizes[-1][1]) if sizes else (None, None)
    return Strength(
        clean=Accuracy.of(subject.answers == subject.test.labels),
        before=before,
        robust=robust,
        eps=eps,
        curve=(Left(0.0, text, before), *made) if made else (),
        others=tuple(_other(subject, spec, each) for spec, each in zip(subject.specs[1:], subject.within[1:])),
        median=median,
        largest=largest,
        attacks=tuple(map(described, suite_of(subject.suite))),
    )


def _sizes(within: ThreatModel) -> list[tuple[float, ThreatModel]]:
    """Return the same set in growing sizes, as far as it allows them; none where it has no size."""
    eps = options(within).get("eps")
    if not (isinstance(eps, float | int) and 0 < eps < math.inf):
        return []
    made = []
    for factor in SIZES:
        try:
            made.append((factor * eps, resized(within, factor * eps)))
        except ValueError:  # Some sets end at a size of their own.
            break
    return made


def _median(subject: Subject, largest: ThreatModel) -> tuple[float | None, float]:
    found = minimal_distortion(
        subject.model,
        subject.some,
        within=largest,
        suite="quick",
        tolerance=options(largest)["eps"] / 32,
        batch_size=subject.batch_size,
        seed=subject.seed,
        progress=subject.progress,
    )
    return found.median(), found.largest


def _other(subject: Subject, spec: str, within: ThreatModel) -> Left:
    """Return the accuracy that is left in one of the other threat models."""
    (left,) = curve(
        subject.model,
        subject.some,
        along=[within],
        suite=subject.suite,
        batch_size=subject.batch_size,
        seed=subject.seed,
    )
    eps = options(within).get("eps")
    return Left(float(eps) if isinstance(eps, float | int) else None, spec, left)


def sanity(subject: Subject) -> Sanity:
    """Return what makes attacks lie, looked for on a few images."""
    found = symptoms(
        subject.model,
        subject.some,
        within=subject.main,
        suite=subject.suite,
        count=min(48, len(subject.some)),
        seed=subject.seed,
        progress=subject.progress,
    )
    return Sanity(found)
