"""In-painting: what stood in the hole?"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

import featlab as fl
from featlab_plugins.tasks.paint import cover_of
from featlab_plugins.tasks.shared import Rule, answers, rule_of, smoothed


def inpaint(
    model: nn.Module,
    images: torch.Tensor,
    mask: torch.Tensor,
    *,
    labels: torch.Tensor | None = None,
    fill: Literal["mean", "grey", "noise", "keep"] = "mean",
    weight: float = 300.0,
    variation: float = 5.0,
    hard: bool = False,
    within: fl.ThreatModel | None = None,
    rule: Rule = "adam",
    steps: int = 60,
    step_size: float = 0.03,
    seed: int = 0,
    examples: torch.Tensor | None = None,
) -> fl.Problem:
    """Fill the hole of each image, where `mask` is 1, so that the model sees the class `labels` in the whole.

    argmax_x' log p_y(x') - weight * mean(((1 - mask) (x' - x))^2) - variation * TV(x') / size, from x with the hole
    filled. `labels` are the model's answers to the filled images where there are none. Larger, `weight` lets less
    change outside the hole. The larger `variation` is, the smoother the result. With `hard` nothing changes outside the
    hole, to the bit, and the mask has values 0 and 1. `fill` is what fills the hole first: the mean of the rest of the
    image by channel, the grey 0.5, uniform noise, or what is there already. `within` is the set about the filled
    images, any image by default. `rule` is adam, which comes to rest, or steepest as published.
    The images are (batch, channels, height, width) in [0, 1], the mask (batch or 1, 1, height, width) in [0, 1].
    Published for holes of 60 in 224 pixels: l2:eps=21.6, rule steepest, step_size=0.1, steps=720, weight=10,
    variation=0, filled with the mean; the defaults are for pictures of 28 to 32 pixels.
    Source: Santurkar et al. 2019, section 3, appendix A.6 and its code.
    """
    cover = cover_of(mask, images)
    who = torch.arange(len(images), device=images.device) if examples is None else examples
    start = images.lerp(filling(images, cover, fill, fl.Key(seed=seed, examples=who)), cover)
    wanted = answers(model, start, labels)
    score = -fl.cross_entropy(model, wanted) + weight * fl.stay_near(start, mask=cover)
    around = within or fl.threat_model("box")
    inside = fl.threat_model("masked", inside=around, mask=cover) if hard else around
    smooth, how = smoothed(score, images, variation), rule_of(rule)
    return fl.Problem(smooth, start, inside, steps, step_size, rule=how, seed=seed, examples=examples)


def filling(images: torch.Tensor, cover: torch.Tensor, fill: str, key: fl.Key) -> torch.Tensor:
    """Return what fills the hole of each image, as whole images."""
    if fill == "keep":
        return images
    if fill == "grey":
        return torch.full_like(images, 0.5)
    if fill == "noise":
        return fl.ops.linf_sample(torch.full_like(images, 0.5), eps=0.5, seed=key.seed, examples=key.examples)
    if fill != "mean":
        raise ValueError(f"fill must be mean, grey, noise or keep; got {fill!r}")
    rest = 1 - cover
    known = rest.sum(dim=(2, 3), keepdim=True)
    mean = (rest * images).sum(dim=(2, 3), keepdim=True) / known.clamp_min(1e-12)
    return torch.where(known > 0, mean, 0.5).expand_as(images)
