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
