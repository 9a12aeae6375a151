"""Layers of a model as extractors."""

from __future__ import annotations

from torch import nn

import featlab as fl


def penultimate(model: nn.Module, *, pass_through: bool = False) -> fl.FeatureExtractor:
    """Return what the last linear layer reads: the representation of Engstrom et al. 2019, section 2.

    With `pass_through` the ReLU before it passes gradients where it is off.
    """
    return fl.Layer(model, "penultimate", pass_through=pass_through)


def logits(model: nn.Module) -> fl.FeatureExtractor:
    """Return the class scores."""
    return fl.Layer(model, "logits")


def layer(model: nn.Module, where: str, *, pool: bool = False, pass_through: bool = False) -> fl.FeatureExtractor:
    """Return a layer or unit by its address, such as layer4.1, layer4.1:768 or layer4.1:768@3,5.

    With `pool` each channel's mean over positions; with `pass_through` the ReLU before the layer passes gradients where
    it is off.
    """
    return fl.Layer(model, where, pool=pool, pass_through=pass_through)
