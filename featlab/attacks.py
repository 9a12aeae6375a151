"""Attacks: short functions that return a Problem, and the suites made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from featlab.adaptive import APGD
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
    misclassified,
)
from featlab.problem import Problem
from featlab.rules import Momentum, Steepest, StepRule
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, Logits, PerExample, Scores, Seeds

Model = Callable[[Images], Logits]

LOSSES: dict[str, Callable[[Model, Labels], OnModel[Scores]]] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
    "dlr": dlr,
    "log_ratio": log_ratio,
}


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
    detect_cycles: bool = False,
    seed: int = 0,
    examples: Seeds | None = None,
) -> Problem:
    """Return projected gradient ascent on a loss, away from `labels`, or towards them if `targeted`.

    x' = P(x + step_size * steepest(grad loss(f(x), y))), for every image in [0, 1] by itself. With `stop` an image
    leaves as soon as the model answers otherwise (with `targeted`: as `labels` say); without, each ends with its
    largest loss. With `detect_cycles`, for models without random parts, it leaves too when it goes round in circles.
    The loss `dlr_targeted` goes from `labels` towards `targets`, which go with no other.
    Source: Madry et al. 2018, section 2.1.
    """
    check_images(images)
    check_labels(labels, count=len(images))
    criterion = (classified_as if targeted else misclassified)(model, labels)
    return Problem(
        _uphill(model, labels, loss=loss, targeted=targeted, targets=targets),
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


def _uphill(model: Model, labels: Labels, *, loss: str, targeted: bool, targets: Labels | None) -> Objective:
    """Return what an attack climbs."""
    if (loss == "dlr_targeted") != (targets is not None) or (targeted and targets is not None):
        raise ValueError(
            "the loss 'dlr_targeted' and `targets` go together, and without `targeted`; "
            "to climb towards `labels` by another loss, pass targeted=True and no targets"
        )
    if targets is not None:
        check_labels(targets, count=len(labels))
        return dlr_targeted(model, labels, targets)
    away = lookup("loss", loss, LOSSES)(model, labels)
    return -away if targeted else away


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
    seed: int = 0,
    examples: Seeds | None = None,
) -> Problem:
    """Return Auto-PGD: ascent with momentum on a loss, whose step size starts at 2 * within.radius and adapts itself.

    `loss`, `targeted`, `targets` and `stop` are those of `pgd`. There is no step size to choose.
    Source: Croce and Hein 2020 (AutoAttack), section 3; losses: section 4.
    """
    return pgd(
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
        seed=seed,
        examples=examples,
    )


@dataclass(frozen=True)
class Attack:
    """One attack of a suite. The step size is `relative_step * within.radius`, so a multiple of eps for a ball.

    `target` is the wrong class to aim at, counted by how likely the model finds it at the image itself, from 1.
    """

    name: str
    loss: str = "cross_entropy"
    steps: int = 20
    relative_step: float = 0.125
    random_start: bool = False
    restarts: int = 1
    rule: StepRule = field(default_factory=Steepest)
    target: int | None = None

    def problem(
        self,
        model: Model,
        images: Images,
        labels: Labels,
        *,
        within: ThreatModel,
        seed: int = 0,
        examples: Seeds | None = None,
        detect_cycles: bool = False,
    ) -> Problem:
        """Return the attack on a batch; images leave as soon as they are misclassified."""
        return pgd(
            model,
            images,
            labels,
            within=within,
            steps=self.steps,
            step_size=self.relative_step * within.radius,
            loss=self.loss,
            targets=None if self.target is None else _likely(model, images, labels, rank=self.target),
            stop=True,
            rule=self.rule,
            random_start=self.random_start,
            restarts=self.restarts,
            detect_cycles=detect_cycles,
            seed=seed,
            examples=examples,
        )


def _likely(model: Model, images: Images, labels: Labels, *, rank: int) -> Labels:
    """Return the wrong class that the model finds most likely (`rank` 1), second (2), ..."""
    with frozen(model), torch.no_grad():
        logits = model(images)
    if not 1 <= rank < logits.shape[1]:
        raise ValueError(
            f"there is no wrong class of rank {rank}, the model has {logits.shape[1]} classes; "
            f"pass suite=featlab.attacks.apgd_targeted({logits.shape[1] - 1})"
        )
    wrong = logits.scatter(1, labels[:, None], -torch.inf)
    return wrong.argsort(dim=1, descending=True, stable=True)[:, rank - 1]


def apgd_targeted(count: int) -> tuple[Attack, ...]:
    """Return APGD on the targeted DLR loss, once towards each of the `count` most likely wrong classes.

    Source: Croce and Hein 2020 (AutoAttack), section 4.2 (there with 9).
    """
    return tuple(replace(_APGD, name=f"apgd-t{n}", loss="dlr_targeted", target=n) for n in range(1, count + 1))


@dataclass(frozen=True)
class Adversary:
    """The inner maximisation of robust training: PGD that ends with its last point, or the best of several restarts.

    No steps and ten restarts are training on the worst of ten random points (Engstrom et al. 2019, section 5).
    Source: Madry et al. 2018, section 2.1, equation 2.1.
    """

    within: ThreatModel
    steps: int
    step_size: float
    random_start: bool = True
    restarts: int = 1

    def __call__(self, model: Model, images: Images, labels: Labels, *, seed: int, examples: Seeds) -> Problem:
        """Return the problem of one training batch."""
        return Problem(
            cross_entropy(model, labels),
            images,
            self.within,
            self.steps,
            self.step_size,
            random_start=self.random_start,
            restarts=self.restarts,
            keep="last" if self.restarts == 1 else "best",
            seed=seed,
            examples=examples,
        )


_APGD = Attack("apgd-ce", steps=100, relative_step=2.0, random_start=True, rule=APGD())

SUITES: dict[str, tuple[Attack, ...]] = {
    "quick": (Attack("pgd-ce"),),
    "pgd": (
        Attack("pgd-ce", steps=40, relative_step=2.5 / 40),
        Attack("pgd-margin", loss="margin", steps=40, relative_step=2.5 / 40, random_start=True, restarts=2),
        Attack("mi-fgsm", steps=20, relative_step=0.125, rule=Momentum()),
    ),
    "apgd": (_APGD, replace(_APGD, name="apgd-dlr", loss="dlr")),
    "apgd-t": apgd_targeted(9),
}


def suite(name: str) -> tuple[Attack, ...]:
    """Return the attacks of a suite by its name."""
    return lookup("suite", name, SUITES)
