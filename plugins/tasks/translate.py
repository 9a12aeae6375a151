"""Translation: the same picture, as another class."""

from __future__ import annotations

import torch
from torch import nn

import featlab as fl


def translate(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    weight: float = 0.0,
    within: fl.ThreatModel | None = None,
    steps: int = 40,
    step_size: float = 0.25,
) -> fl.Problem:
    """Turn `images` into the classes (or domains) `labels`, from where they are: horses into zebras.

    argmax_x' log p_y(x') - weight * mean((x' - x)^2). Larger, `weight` keeps the result nearer to the image. `within`
    is the set about the images, l2:eps=7 by default. They are (batch, channels, height, width) in [0, 1].
    Published for models of two domains at 224 pixels: l2:eps=80, step_size=0.5, steps=200, weight=0; the defaults are
    for 28 to 32 pixels. Source: Santurkar et al. 2019, section 3 and its code.
    """
    score = -fl.cross_entropy(model, labels) + weight * fl.stay_near(images)
    return fl.Problem(score, images, within or fl.threat_model("l2", eps=7.0), steps, step_size)
