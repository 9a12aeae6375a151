"""Restoration: the most plausible image that explains a spoilt one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

import featlab as fl
from featlab_plugins.tasks.shared import Explains, Rule, answers, rule_of, smoothed


def restore(
    model: nn.Module,
    images: torch.Tensor,
    *,
    labels: torch.Tensor | None = None,
    blur: float = 0.0,
    weight: float | None = None,
    variation: float = 6.0,
    within: fl.ThreatModel | None = None,
    rule: Rule = "adam",
    steps: int = 60,
    step_size: float = 0.03,
) -> fl.Problem:
    """Take noise or blur out of `images`: the most plausible pictures of the classes `labels` that explain them.

    argmax_x' log p_y(x') - weight * mean((A(x') - x)^2) - variation * TV(x') / size, from x. A blurs with a Gaussian
    whose deviation is `blur` pixels; 0 stands for images with noise. `labels` are the model's answers to the images
    where there are none. Larger, `weight` trusts the images more: by default 30, for much noise, and 3000 where there
    is a blur. The larger `variation` is, the smoother the result. `within` is the set about the images, any image by
    default. `rule` is adam, which comes to rest, or steepest.
    The images are (batch, channels, height, width) in [0, 1].
    Source: the recipe of Santurkar et al. 2019, section 3 (maximise the class) under the data term of maximum a
    posteriori restoration (Geman and Geman 1984, section IX).
    """
    if not 0 <= blur < float("inf"):
        raise ValueError(f"blur is a deviation in pixels, a number >= 0; got {blur}")
    trust = (3000.0 if blur else 30.0) if weight is None else weight
    score = -fl.cross_entropy(model, answers(model, images, labels)) + trust * Explains(Blurred(blur), images)
    smooth, how = smoothed(score, images, variation), rule_of(rule)
    return fl.Problem(smooth, images, within or fl.threat_model("box"), steps, step_size, rule=how)


@dataclass(frozen=True)
class Blurred:
    """A Gaussian blur of `sigma` pixels; none for 0."""

    sigma: float

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the blurred images."""
        if self.sigma == 0:
            return images
        return fl.threat_model("blur", sigma=self.sigma).decode(images.new_ones(len(images), 1), images)
