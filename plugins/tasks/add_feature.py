"""Feature addition: the same image, with one more feature in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

import featlab as fl
from featlab_plugins.tasks.visualize import one_unit


@dataclass(frozen=True)
class UpTo(fl.Objective):
    """min(score - level, 0): another score, which stops to count at `level`."""

    score: fl.Objective
    level: float

    def __call__(self, images: torch.Tensor, /) -> torch.Tensor:
        """Return how far each score is below the level, as a negative number, or 0."""
        return (self.score(images) - self.level).clamp_max(0)

    def rows(self, index: torch.Tensor) -> UpTo:
        """Return the objective of some of the examples."""
        return UpTo(self.score.rows(index), self.level)


def add_feature(
    model: nn.Module,
    images: torch.Tensor,
    unit: str,
    *,
    level: float = 1.0,
    within: fl.ThreatModel | None = None,
    steps: int = 800,
    step_size: float = 0.1,
) -> fl.Problem:
    """Move `images` until one unit of the model, such as `layer4.1:768`, is at `level` in them, and no further.

    argmax_x' min(a(x') - level, 0), which the last step may leap over. A unit behind a ReLU is reached through it. The
    images, (batch, ...) in [0, 1], move anywhere in [0, 1] unless `within` says where. A larger `level` shows more of
    it. Published at 224 pixels: level=1, steps=800, step_size=0.1, from test images.
    Source: Engstrom et al. 2019, section 4.2 ("stripes").
    """
    score = UpTo(fl.activation(one_unit(model, unit, images, pass_through=True)), level)
    return fl.Problem(score, images, within or fl.threat_model("box"), steps, step_size)
