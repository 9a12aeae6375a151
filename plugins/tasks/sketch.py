"""From a sketch to an image."""

from __future__ import annotations

import torch
from torch import nn

import featlab as fl
from featlab_plugins.tasks.shared import Rule, rule_of, smoothed


def sketch(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    invert: bool = False,
    variation: float = 1.0,
    within: fl.ThreatModel | None = None,
    rule: Rule = "adam",
    steps: int = 60,
    step_size: float = 0.03,
) -> fl.Problem:
    """Turn sketches, such as lines drawn by hand, into images of the classes `labels`.

    argmax_x' log p_y(x') - variation * TV(x') / size from the sketches, (batch, channels, height, width) in [0, 1].
    `invert` swaps black and white first, for models of bright things on black. The larger `variation` is, the smoother
    the result. `within` is the set about the sketches, l2:eps=10 by default. `rule` is adam, which comes to rest, or
    steepest as published.
    Published for 224 pixels: l2:eps=40, rule steepest, variation=0, step_size=1, steps=60; the defaults are for 28 to
    32 pixels.
    Source: Santurkar et al. 2019, section 3 and its code.
    """
    drawn = 1 - images if invert else images
    score = smoothed(-fl.cross_entropy(model, labels), images, variation)
    ball = within or fl.threat_model("l2", eps=10.0)
    return fl.Problem(score, drawn, ball, steps, step_size, rule=rule_of(rule))
