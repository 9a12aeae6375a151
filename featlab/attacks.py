"""Attacks: short functions that return a Problem, and the suites made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from featlab.data import check_images, check_labels
from featlab.names import lookup
from featlab.objectives import OnModel, classified_as, cross_entropy, dlr, margin, misclassified
from featlab.problem import Problem
from featlab.rules import Momentum, Steepest, StepRule
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, Logits, PerExample, Scores, Seeds

Model = Callable[[Images], Logits]

LOSSES: dict[str, Callable[[Model, Labels], OnModel[Scores]]] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
    "dlr": dlr,
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
    Source: Madry et al. 2018, section 2.1.
    """
    check_images(images)
    check_labels(labels, count=len(images))
    away = lookup("loss", loss, LOSSES)(model, labels)
    criterion = (classified_as if targeted else misclassified)(model, labels)
    return Problem(
        -away if targeted else away,
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


@dataclass(frozen=True)
class Attack:
    """One attack of a suite. The step size is `relative_step * within.radius`, so a multiple of eps for a ball."""

    name: str
    loss: str = "cross_entropy"
    steps: int = 20
    relative_step: float = 0.125
    random_start: bool = False
    restarts: int = 1
    rule: StepRule = field(default_factory=Steepest)

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
            stop=True,
            rule=self.rule,
            random_start=self.random_start,
            restarts=self.restarts,
            detect_cycles=detect_cycles,
            seed=seed,
            examples=examples,
        )


@dataclass(frozen=True)
class Adversary:
    """The inner maximisation of robust training: PGD that ends with its last point.

    Source: Madry et al. 2018, section 2.1, equation 2.1.
    """

    within: ThreatModel
    steps: int
    step_size: float
    random_start: bool = True

    def __call__(self, model: Model, images: Images, labels: Labels, *, seed: int, examples: Seeds) -> Problem:
        """Return the problem of one training batch."""
        return Problem(
            cross_entropy(model, labels),
            images,
            self.within,
            self.steps,
            self.step_size,
            random_start=self.random_start,
            keep="last",
            seed=seed,
            examples=examples,
        )


SUITES: dict[str, tuple[Attack, ...]] = {
    "quick": (Attack("pgd-ce"),),
    "pgd": (
        Attack("pgd-ce", steps=40, relative_step=2.5 / 40),
        Attack("pgd-margin", loss="margin", steps=40, relative_step=2.5 / 40, random_start=True, restarts=2),
        Attack("mi-fgsm", steps=20, relative_step=0.125, rule=Momentum()),
    ),
}


def suite(name: str) -> tuple[Attack, ...]:
    """Return the attacks of a suite by its name."""
    return lookup("suite", name, SUITES)
