"""Random and exhaustive search."""

from __future__ import annotations

import torch
from torch import nn

import featlab as fl


def worst_of(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    within: fl.ThreatModel,
    tries: int = 10,
    loss: str = "cross_entropy",
    stop: bool = False,
    seed: int = 0,
    examples: torch.Tensor | None = None,
) -> fl.Problem:
    """Try random points of a set, for each image by itself, and end with the one of the largest loss.

    argmax over `tries` points p_k, drawn from `within`, of loss(f(decode(p_k)), y): forward passes only. Where `within`
    is a grid, `rigid:grid=5:5:31`, its points are tried one after the other, and `tries=within.poses` tries all.
    With `stop` an image leaves as soon as it is misclassified. `labels` are the right classes.
    Source: Engstrom et al. 2019, section 4 (worst-of-k, grid search).
    """
    return fl.pgd(
        model,
        images,
        labels,
        within=within,
        steps=0,
        step_size=0.0,
        loss=loss,
        stop=stop,
        random_start=True,
        restarts=tries,
        seed=seed,
        examples=examples,
    )
