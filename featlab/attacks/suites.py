"""Attacks with all their options, and the suites that an evaluation runs one after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from featlab.adaptive import APGD
from featlab.attacks.gradient import NEEDS, Model, fitting, sparsely, towards, uphill
from featlab.averages import Turns, expectation
from featlab.data import check_images, check_labels
from featlab.freezing import frozen
from featlab.names import lookup
from featlab.objectives import Objective, misclassified
from featlab.problem import Problem
from featlab.random_search import Square
from featlab.rules import Momentum, Steepest, StepRule
from featlab.smallest import FAB
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, Seeds


@dataclass(frozen=True)
class Attack:
    """One attack of a suite. The step size is `relative_step * within.radius`, so a multiple of eps for a ball.

    With `targets` it runs once towards each of that many wrong classes, those first that the model finds likeliest at
    the image itself; where the model has fewer, towards all of them. Where a loss needs more classes than there are,
    the difference of two logits stands in for it. An attack that `searches` "anywhere" looks for the smallest change,
    and its images leave when it is within the radius. `draws` is the number of random gradients of which a step takes
    the mean. In an l1 ball Auto-PGD has at least `sparse_restarts` random starts: where its sparse steps begin decides
    more of where they end (Croce and Hein 2021, section 4).
    """

    name: str
    loss: str = "cross_entropy"
    steps: int = 20
    relative_step: float = 0.125
    random_start: bool = False
    restarts: int = 1
    sparse_restarts: int = 1
    rule: StepRule = field(default_factory=Steepest)
    targets: int = 0
    searches: Literal["inside", "anywhere"] = "inside"
    draws: int = 1

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
        sparse = within.order == 1 and isinstance(self.rule, APGD)
        restarts = max(self.restarts, self.sparse_restarts) if sparse else self.restarts
        score = self._score(model, images, labels, within=within, restarts=restarts, seed=seed, examples=examples)
        problem = Problem(
            score,
            images,
            within,
            self.steps,
            self.relative_step * within.radius,
            rule=self.rule,
            random_start=self.random_start,
            restarts=restarts * (len(score.turns) if isinstance(score, Turns) else 1),
            done=misclassified(model, labels),
            detect_cycles=detect_cycles,
            seed=seed,
            examples=examples,
        )
        if self.searches == "anywhere":
            anywhere = within.resized(math.inf)
            return replace(problem, within=anywhere, step_size=self.relative_step, keep="nearest", enough=within.radius)
        return sparsely(problem) if sparse else problem

    def _score(
        self,
        model: Model,
        images: Images,
        labels: Labels,
        *,
        within: ThreatModel,
        restarts: int,
        seed: int,
        examples: Seeds | None,
    ) -> Objective:
        """Return what the attack climbs: one loss, or one towards each of the likeliest wrong classes in turn."""
        check_images(images)
        check_labels(labels, count=len(images))
        if self.targets:
            # A threat model with several variants has each of them in each turn.
            length = restarts * getattr(within, "variants", 1) * (self.steps + 1)
            turns = towards(model, images, labels, loss=self.loss, count=self.targets, length=length)
            return replace(turns, turns=tuple(self._drawn(turn, seed, examples) for turn in turns.turns))
        loss = self.loss
        if loss in NEEDS:
            with frozen(model), torch.no_grad():
                loss = fitting(loss, model(images[:1]).shape[1])
        return self._drawn(uphill(model, labels, loss=loss), seed, examples)

    def _drawn(self, score: Objective, seed: int, examples: Seeds | None) -> Objective:
        return score if self.draws == 1 else expectation(score, draws=self.draws, seed=seed, examples=examples)


def apgd_targeted(count: int, *, loss: str = "dlr_targeted") -> tuple[Attack, ...]:
    """Return APGD on a targeted loss, once towards each of the `count` most likely wrong classes.

    Source: Croce and Hein 2020 (AutoAttack), section 4.2 (there with 9, and the DLR loss).
    """
    return (replace(_APGD, name="apgd-t", loss=loss, targets=count, sparse_restarts=1),)


_APGD = Attack("apgd-ce", steps=100, relative_step=2.0, random_start=True, sparse_restarts=5, rule=APGD())
_FAB = Attack(
    "fab-t",
    loss="margin_targeted",
    steps=100,
    relative_step=1.05,
    rule=FAB(),
    targets=9,
    searches="anywhere",
)
_SQUARE = Attack("square", loss="margin", steps=5000, relative_step=0.0, rule=Square())

SUITES: dict[str, tuple[Attack, ...]] = {
    "quick": (Attack("pgd-ce"),),
    "pgd": (
        Attack("pgd-ce", steps=40, relative_step=2.5 / 40),
        Attack("pgd-margin", loss="margin", steps=40, relative_step=2.5 / 40, random_start=True, restarts=2),
        Attack("mi-fgsm", steps=20, relative_step=0.125, rule=Momentum()),
    ),
    "apgd": (_APGD, replace(_APGD, name="apgd-dlr", loss="dlr")),
    "apgd-t": apgd_targeted(9),
    "standard": (_APGD, *apgd_targeted(9, loss="margin_targeted"), _FAB, _SQUARE),
    "random": (replace(_APGD, draws=20), replace(_APGD, name="apgd-dlr", loss="dlr", draws=20)),
}
"""Attacks by the name of their suite.

"standard" is the ensemble of AutoAttack (Croce and Hein 2020, section 5), "random" its form for models with random
parts. Its targeted Auto-PGD climbs the difference of two logits rather than their DLR: no step of it depends on the
scale of the logits either, and fewer images hold (Gao et al. 2022, "Minimum-Margin Attack"; benchmarks/README.md).
Strong and cheap attacks come first, as an image leaves with the first that has it.
"""


def suite(name: str) -> tuple[Attack, ...]:
    """Return the attacks of a suite by its name."""
    return lookup("suite", name, SUITES)
