"""The adversary that a net is trained against."""

from __future__ import annotations

from dataclasses import dataclass

from featlab.attacks.gradient import Model
from featlab.objectives import cross_entropy
from featlab.problem import Problem
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, Seeds


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
