"""Attacks by way of other models: through a surrogate, and past an ensemble that is not to be fooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from featlab.attacks.gradient import Model, pgd, uphill
from featlab.averages import mean
from featlab.data import check_labels
from featlab.objectives import cross_entropy, misclassified
from featlab.problem import Problem
from featlab.rules import StepRule
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, PerExample, Seeds


def transfer(
    surrogates: Model | Sequence[Model],
    images: Images,
    labels: Labels,
    *,
    victim: Model | None = None,
    within: ThreatModel,
    steps: int,
    step_size: PerExample,
    loss: str = "cross_entropy",
    rule: StepRule | None = None,
    random_start: bool = False,
    restarts: int = 1,
    seed: int = 0,
    examples: Seeds | None = None,
) -> Problem:
    """Return an attack that climbs the mean loss of other models, whose images are then tried on the victim.

    Gradients are those of the surrogates alone. With a `victim` an image leaves as soon as the victim, asked once per
    step, does not answer `labels`; without, each ends with the surrogates' largest loss, and no victim is asked.
    Source: Papernot et al. 2017, "Practical black-box attacks against machine learning"; Liu et al. 2017 (ensembles).
    """
    models = [surrogates] if callable(surrogates) else list(surrogates)
    if not models:
        raise ValueError("a transfer attack needs at least one surrogate model, got none")
    plain = pgd(
        models[0],
        images,
        labels,
        within=within,
        steps=steps,
        step_size=step_size,
        loss=loss,
        rule=rule,
        random_start=random_start,
        restarts=restarts,
        seed=seed,
        examples=examples,
    )
    score = mean([uphill(model, labels, loss=loss) for model in models]) if len(models) > 1 else plain.objective
    return replace(plain, objective=score, done=None if victim is None else misclassified(victim, labels))


def non_transferable(
    model: Model,
    others: Sequence[Model],
    images: Images,
    labels: Labels,
    *,
    within: ThreatModel,
    steps: int,
    step_size: PerExample,
    targets: Labels | None = None,
    rule: StepRule | None = None,
    random_start: bool = False,
    seed: int = 0,
    examples: Seeds | None = None,
) -> Problem:
    """Return an attack on one model that other models withstand: away from `labels` for it, towards them for the rest.

    Uphill is L(f(x), y) - mean_i L(f_i(x), y) with the cross-entropy L, or -L(f(x), t) - mean_i L(f_i(x), y) where
    `targets` t are given: what it finds are bugs of one model, and no features of the data.
    Source: Nakkiran 2019, "Adversarial examples are just bugs, too", section "An attack that creates bugs".
    """
    if not others:
        raise ValueError("a non-transferable attack needs at least one other model, got none")
    if targets is not None:
        check_labels(targets, count=len(labels))
    mine = cross_entropy(model, labels) if targets is None else -cross_entropy(model, targets)
    plain = pgd(
        model,
        images,
        labels,
        within=within,
        steps=steps,
        step_size=step_size,
        rule=rule,
        random_start=random_start,
        seed=seed,
        examples=examples,
    )
    return replace(plain, objective=mine - mean([cross_entropy(other, labels) for other in others]))
