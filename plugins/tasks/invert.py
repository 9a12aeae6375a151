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
    pass_through: bool = False,
    within: fl.ThreatModel | None = None,
    steps: int = 1000,
    step_size: float = 0.1,
) -> fl.Problem:
    """Move `images` until a layer sees in them what it sees in `reference`.

    argmin_x' |g(x') - g(reference)|_2 / |g(reference)|_2. Both are (batch, ...) with values in [0, 1]. `within` is the
    set about the images, any image by default. With `pass_through` gradients pass the last ReLU before the layer where
    it is off too. Published, from noise or from other images: step_size=1 at 224 pixels, step_size=0.1 for CIFAR-10,
    steps=10000, pass_through; the defaults are for 28 to 32 pixels.
    Source: Engstrom et al. 2019, section 4.1.
    """
    extract = fl.Layer(model, layer, pass_through=True) if pass_through else fl.extractor(model, layer)
    with torch.no_grad():
        wanted = extract(reference)
    around = within or fl.threat_model("box")
    return fl.Problem(fl.match(extract, wanted, relative=True), images, around, steps, step_size)
