"""Accuracy, and accuracy under attack over the size of the set."""

from __future__ import annotations

import math

import torch

from featlab.attacks import suite as suite_of
from featlab.audit.findings import Left, Sanity, Strength
from featlab.audit.subject import Subject
from featlab.distortion import Distortions, minimal_distortion
from featlab.evaluation import Accuracy, Evaluation, described, evaluate
from featlab.sanity import symptoms
from featlab.threat_models import ThreatModel
from featlab.types import Verdicts

POINTS = 9
"""So many sizes the curve has, from 0 to twice the eps that was asked for."""


def strength(subject: Subject) -> Strength:
    """Return the accuracy, and the curve over eps in one pass.

    The suite says which images hold at the eps that was asked for; how far each must be changed is searched for by
    the quick suite, and an image counts as lost from the smaller of the two on.
    """
    within, text = subject.main, subject.specs[0]
    found = _evaluated(subject, within)
    eps = eps_of(within)
    largest = None if eps is None else _larger(within, eps)
    moved = None if largest is None else _searched(subject, largest)
    held = found.held if moved is None else found.held & (moved.found > (eps or 0.0))
    return Strength(
        clean=Accuracy.of(subject.answers == subject.test.labels),
        before=found.clean,
        robust=Accuracy.of(held),
        eps=None if moved is None else eps,
        curve=() if moved is None or eps is None else _curve(moved, held, eps=eps, spec=text),
        others=tuple(_other(subject, spec, each) for spec, each in zip(subject.specs[1:], subject.within[1:])),
        median=None if moved is None else moved.median(),
        largest=None if moved is None else moved.largest,
        attacks=tuple(map(described, suite_of(subject.suite))),
    )


def _evaluated(subject: Subject, within: ThreatModel) -> Evaluation:
    return evaluate(
        subject.model,
        subject.some,
        within=within,
        suite=subject.suite,
        engine=subject.quick[0],
        batch_size=subject.batch_size,
        seed=subject.seed,
        progress=subject.progress,
    )


def eps_of(within: ThreatModel) -> float | None:
    """Return the size of a set that can have another, as a single number."""
    eps = within.radius
    if not isinstance(eps, float | int) or not 0 < eps < math.inf:
        return None
    try:
        within.resized(eps)
    except ValueError:
        return None
    return float(eps)


def _larger(within: ThreatModel, eps: float) -> ThreatModel:
    """Return the set in twice its size, or in its own where it ends there."""
    try:
        return within.resized(2 * eps)
    except ValueError:
        return within


def _searched(subject: Subject, largest: ThreatModel) -> Distortions:
    return minimal_distortion(
        subject.model,
        subject.some,
        within=largest,
        suite="quick",
        tolerance=float(largest.radius) / 32,
        engine=subject.quick[0],
        batch_size=subject.batch_size,
        seed=subject.seed,
        progress=subject.progress,
    )


def _curve(moved: Distortions, held: Verdicts, *, eps: float, spec: str) -> tuple[Left, ...]:
    """Return what is left at sizes from 0 to the largest, eps itself among them; what is lost stays lost."""
    even = [moved.largest * place / (POINTS - 1) for place in range(POINTS)]
    sizes = sorted({eps, *(size for size in even if not math.isclose(size, eps))})
    return tuple(
        Left(size, spec, Accuracy.of((moved.found > size) & (held if size >= eps else torch.ones_like(held))))
        for size in sizes
    )


def _other(subject: Subject, spec: str, within: ThreatModel) -> Left:
    """Return the accuracy that is left in one of the other threat models."""
    return Left(eps_of(within), spec, _evaluated(subject, within).robust)


def sanity(subject: Subject) -> Sanity:
    """Return what makes attacks lie, looked for on a few images."""
    found = symptoms(
        subject.model,
        subject.some,
        within=subject.main,
        suite=subject.suite,
        count=min(32, len(subject.some)),
        seed=subject.seed,
        progress=subject.progress,
    )
    return Sanity(found)
