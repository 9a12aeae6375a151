"""Rationalising a mistake: what the model thinks it saw."""

from __future__ import annotations

import torch
from torch import nn

import featlab as fl


def rationalize(
    model: nn.Module,
    images: torch.Tensor,
    *,
    rank: int = 1,
    within: fl.ThreatModel | None = None,
    steps: int = 200,
    step_size: float = 0.1,
) -> fl.Problem:
    """Move each image until it shows more of the feature that did most for the model's answer to it.

    argmax_x' r_k(x') with k the unit of the penultimate layer whose w_answer,k r_k(x) is largest (`rank` 1), second
    (2), ...; beside images that k responds to, the result says why the model answered as it did, rightly or not. The
    images are (batch, ...) in [0, 1]. Source: Engstrom et al. 2019, section 4.3.
    """
    head = fl.head_of(model)
    if not 1 <= rank <= head.in_features:
        raise ValueError(f"rank must be from 1 to {head.in_features}, the number of features; got {rank}")
    units = responsible(model, images, rank)
    score = fl.activation(fl.Layer(model, "penultimate", pass_through=True), unit=units)
    return fl.Problem(score, images, within or fl.threat_model("box"), steps, step_size)


def responsible(model: nn.Module, images: torch.Tensor, rank: int) -> torch.Tensor:
    """Return for each image the unit whose contribution to the answer's logit is the `rank`-th largest, (batch,)."""
    weight = fl.head_of(model).weight.detach()
    with torch.no_grad(), fl.frozen(model):
        features = fl.Layer(model, "penultimate")(images)
        answers = model(images).argmax(dim=1)
    order = (weight.to(features)[answers] * features).argsort(dim=1, descending=True, stable=True)
    return order[:, rank - 1]
