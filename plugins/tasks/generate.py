"""Generation: new images of a class."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

import featlab as fl


def generate(
    model: nn.Module,
    labels: torch.Tensor,
    *,
    data: str = "fashion-mini",
    root: Path | None = None,
    grain: int = 7,
    seeds: fl.ClassSeeds | None = None,
    within: fl.ThreatModel | None = None,
    steps: int = 40,
    step_size: float = 0.25,
    seed: int = 0,
    examples: torch.Tensor | None = None,
) -> fl.Problem:
    """Make an image of each of the classes `labels`, from noise that has no more than a class's mean and covariance.

    argmax_x' log p_y(x') from x_0 ~ N(mean_y, covariance_y + 1e-4 I), fitted to the training part of `data`. The noise
    has blocks of `grain` times `grain` pixels. Data of your own are fitted with featlab.fit_seeds and given as seeds.
    `within` is the set about the noise, l2:eps=5 by default. Fetched data live in `root`.
    Published: grain=4, l2:eps=40, step_size=1, steps=60 for ImageNet and its subsets at 224 pixels; grain=1, l2:eps=30,
    step_size=0.5, steps=60 for CIFAR-10; the defaults are for grey pictures of 28 pixels.
    Source: Santurkar et al. 2019, section 3 and its code.
    """
    fitted = seeds or seeds_of(data, root, grain)
    shape = getattr(model, "shape", fitted.shape)
    if tuple(shape) != tuple(fitted.shape):
        raise ValueError(
            f"the model takes images of shape {tuple(shape)}, and the seeds are of shape {fitted.shape}; "
            f"give data of the model's kind instead of {data!r}, or seeds that are fitted to it"
        )
    who = torch.arange(len(labels), device=labels.device) if examples is None else examples
    start = fitted(labels, key=fl.Key(seed=seed, examples=who))
    ball = within or fl.threat_model("l2", eps=5.0)
    return fl.Problem(-fl.cross_entropy(model, labels), start, ball, steps, step_size, seed=seed, examples=examples)


@lru_cache(maxsize=4)
def seeds_of(data: str, root: Path | None, grain: int) -> fl.ClassSeeds:
    """Return the seeds of a data set, fitted once."""
    return fl.fit_seeds(fl.open_data(data, train=True, root=root), grain=grain)
