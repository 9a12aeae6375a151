"""Attacks that search the smallest change."""

from __future__ import annotations

import math

from featlab.attacks.gradient import Model, towards, uphill
from featlab.averages import Turns
from featlab.data import check_images, check_labels
from featlab.objectives import Objective, margin, misclassified
from featlab.problem import Problem
from featlab.rules import StepRule
from featlab.smallest import DDN, FAB
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, PerExample, Seeds


def fab(
    model: Model,
    images: Images,
    labels: Labels,
    *,
    within: ThreatModel,
    steps: int = 100,
    targets: Labels | int = 9,
    enough: PerExample | None = None,
    overshoot: PerExample = 1.05,
    rule: StepRule | None = None,
    seed: int = 0,
    examples: Seeds | None = None,
) -> Problem:
    """Return the fast adaptive boundary attack: the smallest change, in the norm of `within`, that is misclassified.

    Each image ends with the nearest misclassified one that was found, or as it is where none was. The radius of
    `within` does not matter, unless it is passed as `enough`: an image leaves as soon as it is found that near. The
    boundary is that between `labels` and `targets`; a number of targets stands for so many wrong classes, the likeliest
    first, each of which is tried with all of the steps. With 0 it is the boundary to the wrong class that is likeliest
    where the search happens to be, which is quick and may miss a nearer one. A step goes `overshoot` times the way to
    where the boundary would be, if the model were linear.
    Source: Croce and Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary attack".
    """
    check_images(images)
    check_labels(labels, count=len(images))
    score = _boundary(model, images, labels, targets=targets, steps=steps)
    return Problem(
        score,
        images,
        within.resized(math.inf),
        steps,
        overshoot,
        rule=rule or FAB(),
        restarts=len(score.turns) if isinstance(score, Turns) else 1,
        done=misclassified(model, labels),
        keep="nearest",
        enough=enough,
        seed=seed,
        examples=examples,
    )


def _boundary(model: Model, images: Images, labels: Labels, *, targets: Labels | int, steps: int) -> Objective:
    """Return the score that is zero on the boundary."""
    if isinstance(targets, int) and targets == 0:
        return margin(model, labels)
    if isinstance(targets, int):
        return towards(model, images, labels, loss="margin_targeted", count=targets, length=steps + 1)
    return uphill(model, labels, loss="margin_targeted", targets=targets)


def ddn(
    model: Model,
    images: Images,
    labels: Labels,
    *,
    within: ThreatModel,
    steps: int = 100,
    step_size: PerExample = 1.0,
    targets: Labels | int = 9,
    enough: PerExample | None = None,
    rule: StepRule | None = None,
    seed: int = 0,
    examples: Seeds | None = None,
) -> Problem:
    """Return the attack that decouples direction and norm: the smallest change that is misclassified.

    `targets` and `enough` are those of `fab`; `step_size` is relative to the radius of the moment.
    Source: Rony et al. 2019, "Decoupling direction and norm for efficient gradient-based L2 adversarial attacks".
    """
    return fab(
        model,
        images,
        labels,
        within=within,
        steps=steps,
        targets=targets,
        enough=enough,
        overshoot=step_size,
        rule=rule or DDN(),
        seed=seed,
        examples=examples,
    )
