"""Super-resolution: a larger image that the model finds more plausible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

import featlab as fl
from featlab_plugins.tasks.shared import Explains, Rule, answers, rule_of, smoothed


def superres(
    model: nn.Module,
    images: torch.Tensor,
    *,
    labels: torch.Tensor | None = None,
    factor: int = 2,
    start: Literal["nearest", "bicubic"] = "nearest",
    weight: float = 1000.0,
    variation: float = 5.0,
    within: fl.ThreatModel | None = None,
    rule: Rule = "adam",
    steps: int = 100,
    step_size: float = 0.03,
) -> fl.Problem:
    """Enlarge small `images` and make them more plausible as the classes `labels`.

    argmax_x' log p_y(x') - weight * mean((down(x') - x)^2) - variation * TV(x') / size, from x enlarged, with down the
    mean over blocks of factor x factor pixels. The model takes images whose sides are `factor` times those of the small
    ones, 2 to 8 times and more. `labels` are the model's answers to the enlarged images where there are none. `start`
    enlarges by repeating pixels or by cubic interpolation, which ends nearer to the truth. Larger, `weight` makes the
    result shrink to what it was. The larger `variation` is, the smoother the result. `within` is the set about the
    enlarged images, any image by default. `rule` is adam, which comes to rest, or steepest as published. The images are
    (batch, channels, height, width) in [0, 1].
    Published, with rule steepest, weight=0 and variation=0: factor 7, l2:eps=15, step_size=1, steps=50 from CIFAR-10
    to 224 pixels; factor 8, l2:eps=8, step_size=1, steps=40 from 28 to 224 pixels. The defaults are for results of 28
    to 32 pixels.
    Raises ValueError for a factor below 2. Source: Santurkar et al. 2019, section 3 and its code.
    """
    if factor < 2 or images.dim() != 4:
        raise ValueError(
            f"images of shape (batch, channels, height, width) are enlarged by a factor >= 2; got factor {factor} and "
            f"shape {tuple(images.shape)}"
        )
    large = enlarged(images, factor, start)
    score = -fl.cross_entropy(model, answers(model, large, labels)) + weight * Explains(Shrink(factor), images)
    smooth, how = smoothed(score, large, variation), rule_of(rule)
    return fl.Problem(smooth, large, within or fl.threat_model("box"), steps, step_size, rule=how)


@dataclass(frozen=True)
class Shrink:
    """The mean over blocks of factor x factor pixels."""

    factor: int

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the small images."""
        return F.avg_pool2d(images, self.factor)


def enlarged(images: torch.Tensor, factor: int, how: str) -> torch.Tensor:
    """Return images `factor` times as wide and high."""
    if how == "nearest":
        return images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    if how != "bicubic":
        raise ValueError(f"start must be nearest or bicubic; got {how!r}")
    return F.interpolate(images, scale_factor=factor, mode="bicubic", align_corners=False).clamp(0, 1)
