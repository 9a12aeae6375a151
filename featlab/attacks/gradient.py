"""Attacks that climb a loss inside the set: projected gradient ascent, and Auto-PGD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from featlab.adaptive import APGD
from featlab.averages import RandomMap, Turns, expectation
from featlab.data import check_images, check_labels
from featlab.freezing import frozen
from featlab.names import lookup
from featlab.objectives import (
    Objective,
    OnModel,
    classified_as,
    cross_entropy,
    dlr,
    dlr_targeted,
    log_ratio,
    margin,
    margin_targeted,
    misclassified,
)
from featlab.problem import Problem
from featlab.rules import Steepest, StepRule
from featlab.sparse_adaptive import SparseAPGD
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, Logits, PerExample, Scores, Seeds

Model = Callable[[Images], Logits]

LOSSES: dict[str, Callable[[Model, Labels], OnModel[Scores]]] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
    "dlr": dlr,
    "log_ratio": log_ratio,
}

TARGETED: dict[str, Callable[[Model, Labels, Labels], OnModel[Scores]]] = {
    "dlr_targeted": dlr_targeted,
    "margin_targeted": margin_targeted,
}
"""Losses that go from one class to another."""


def pgd(
    model: Model,
    images: Images,
    labels: Labels,
    *,
    within: ThreatModel,
    steps: int,
    step_size: PerExample,
    loss: str = "cross_entropy",
    targeted: bool = False,
    targets: Labels | None = None,
    stop: bool = False,
    rule: StepRule | None = None,
    random_start: bool = False,
    restarts: int = 1,
    draws: int = 1,
    through: RandomMap | None = None,
    detect_cycles: bool = False,
    seed: int = 0,
    examples: Seeds | None = None,
) -> Problem:
    """Return projected gradient ascent on a loss, away from `labels`, or towards them if `targeted`.

    x' = P(x + step_size * steepest(grad loss(f(x), y))), for every image in [0, 1] by itself. With `stop` an image
    leaves as soon as the model answers otherwise (with `targeted`: as `labels` say); without, each ends with its
    largest loss. With `detect_cycles`, for models without random parts, it leaves too when it goes round in circles.
    The losses `dlr_targeted` and `margin_targeted` go from `labels` towards `targets`, which go with no other.
    For models with random parts, or images that are moved at random by `through(images, key)` on their way to the
    model, the gradient is the mean of `draws` of them at every step (see `expectation`).
    Source: Madry et al. 2018, section 2.1.
    """
    check_images(images)
    check_labels(labels, count=len(images))
    criterion = (classified_as if targeted else misclassified)(model, labels)
    score = uphill(model, labels, loss=loss, targeted=targeted, targets=targets)
    if draws != 1 or through is not None:
        score = expectation(score, draws=draws, through=through, seed=seed, examples=examples)
    return Problem(
        score,
        images,
        within,
        steps,
        step_size,
        rule=rule or Steepest(),
        random_start=random_start,
        restarts=restarts,
        done=criterion if stop else None,
        detect_cycles=detect_cycles,
        seed=seed,
        examples=examples,
    )


def uphill(
    model: Model, labels: Labels, *, loss: str, targeted: bool = False, targets: Labels | None = None
) -> Objective:
    """Return what an attack climbs."""
    if (loss in TARGETED) != (targets is not None) or (targeted and targets is not None):
        raise ValueError(
            f"the losses {', '.join(TARGETED)} and `targets` go together, and without `targeted`; "
            "to climb towards `labels` by another loss, pass targeted=True and no targets"
        )
    if targets is not None:
        check_labels(targets, count=len(labels))
        return TARGETED[loss](model, labels, targets)
    away = lookup("loss", loss, LOSSES)(model, labels)
    return -away if targeted else away


def towards(model: Model, images: Images, labels: Labels, *, loss: str, count: int, length: int) -> Turns:
    """Return a targeted loss towards each of `count` wrong classes in turn, for `length` evaluations each.

    The classes come in the order in which the model finds them likely at the image itself; where it has fewer, it is
    all of them, and where it has too few for the loss it is the difference of two logits.
    """
    with frozen(model), torch.no_grad():
        logits = model(images)
    classes = logits.shape[1]
    if classes < 2 or count < 1:
        raise ValueError(f"there is no wrong class to aim at: the model has {classes} classes, and {count} are wanted")
    wrong = logits.scatter(1, labels[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
    name = fitting(loss, classes)
    ranks = range(min(count, classes - 1))
    return Turns(tuple(uphill(model, labels, loss=name, targets=wrong[:, rank]) for rank in ranks), length)


NEEDS: dict[str, tuple[int, str]] = {"dlr": (3, "margin"), "dlr_targeted": (4, "margin_targeted")}
"""How many classes a loss needs, and the loss that stands in where there are fewer."""


def fitting(loss: str, classes: int) -> str:
    """Return the loss, or the one that stands in where there are too few classes for it."""
    least, other = NEEDS.get(loss, (0, loss))
    return loss if classes >= least else other


def apgd(
    model: Model,
    images: Images,
    labels: Labels,
    *,
    within: ThreatModel,
    steps: int = 100,
    loss: str = "cross_entropy",
    targeted: bool = False,
    targets: Labels | None = None,
    stop: bool = False,
    random_start: bool = True,
    restarts: int = 1,
    draws: int = 1,
    seed: int = 0,
    examples: Seeds | None = None,
) -> Problem:
    """Return Auto-PGD: ascent on a loss whose step size starts large (2 * within.radius) and adapts itself.

    `loss`, `targeted`, `targets`, `stop` and `draws` are those of `pgd`. There is no step size to choose. In the l1
    ball steps are sparse and without momentum, and begin at the radius; with `stop` they begin in the ball of three
    times the radius and come back to it.
    Source: Croce and Hein 2020 (AutoAttack), section 3; losses: section 4; l1: Croce and Hein 2021, "Mind the box".
    """
    plain = pgd(
        model,
        images,
        labels,
        within=within,
        steps=steps,
        step_size=2 * within.radius,
        loss=loss,
        targeted=targeted,
        targets=targets,
        stop=stop,
        rule=APGD(),
        random_start=random_start,
        restarts=restarts,
        draws=draws,
        seed=seed,
        examples=examples,
    )
    return sparsely(plain) if within.order == 1 else plain


def sparsely(plain: Problem) -> Problem:
    """Return Auto-PGD's problem in the l1 ball: sparse steps, from three times the radius down where images may leave.

    What is found outside the ball on the way does not count, so without a criterion the way is not taken.
    """
    within, radius = plain.within, plain.within.radius
    if plain.done is None:
        return replace(plain, rule=SparseAPGD(), step_size=radius)
    return replace(
        plain,
        within=within.resized(3 * radius),
        rule=SparseAPGD(radii=(3.0, 2.0, 1.0)),
        step_size=3 * radius,
        keep="nearest",
        enough=radius,
    )
