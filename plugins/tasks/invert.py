"""Representation inversion."""

from __future__ import annotations

import torch
from torch import nn

import featlab as fl


def invert(
    model: nn.Module,
    images: torch.Tensor,
    reference: torch.Tensor,
    *,
    layer: str = "penultimate",
    steps: int = 1000,
    step_size: float = 0.1,
) -> fl.Problem:
    """Move `images` until a layer sees in them what it sees in `reference`, anywhere in [0, 1].

    argmin_x' |g(x') - g(reference)|_2 / |g(reference)|_2. Both are (batch, ...) with values in [0, 1].
    Source: Engstrom et al. 2019, section 4.1.
    """
    extract = fl.extractor(model, layer)
    with torch.no_grad():
        wanted = extract(reference)
    return fl.Problem(fl.match(extract, wanted, relative=True), images, fl.threat_model("box"), steps, step_size)
