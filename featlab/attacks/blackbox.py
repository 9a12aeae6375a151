"""Attacks that see nothing of a model but its outputs."""

from __future__ import annotations

from featlab.attacks.gradient import Model, pgd
from featlab.problem import Problem
from featlab.random_search import Square
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, Seeds


def square(
    model: Model,
    images: Images,
    labels: Labels,
    *,
    within: ThreatModel,
    steps: int = 5000,
    loss: str = "margin",
    stop: bool = True,
    share: float = 0.8,
    seed: int = 0,
    examples: Seeds | None = None,
) -> Problem:
    """Return the Square attack: random search with windows, one query of the model per step and no gradients.

    The first windows cover the `share` of the picture. `loss` and `stop` are those of `pgd`.
    Source: Andriushchenko et al. 2020, "Square attack: a query-efficient black-box adversarial attack".
    """
    return pgd(
        model,
        images,
        labels,
        within=within,
        steps=steps,
        step_size=0.0,
        loss=loss,
        stop=stop,
        rule=Square(share=share),
        seed=seed,
        examples=examples,
    )
