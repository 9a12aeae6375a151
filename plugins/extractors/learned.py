"""Extractors that look at a data set first: principal directions, tangent-kernel features, sparse dictionaries."""

from __future__ import annotations

from pathlib import Path

from torch import nn

import featlab as fl


def principal(
    model: nn.Module, *, where: str = "penultimate", count: int = 10, data: str = "fashion-mini", examples: int = 1000
) -> fl.FeatureExtractor:
    """Return the first `count` principal directions of a layer over `examples` training images of a data set."""
    source = fl.open_data(data, train=True, count=examples)
    return fl.principal_directions(fl.extractor(model, where), source, count=count)


def kernel(
    model: nn.Module, *, unit: int = 0, count: int = 10, data: str = "fashion-mini", examples: int = 100
) -> fl.FeatureExtractor:
    """Return the first `count` tangent-kernel features of one logit over `examples` training images of a data set."""
    images, labels = fl.load_data(data, train=True, count=examples)
    return fl.kernel_features(model, images, labels, unit=unit, count=count)


def dictionary(model: nn.Module, *, path: Path, where: str = "penultimate") -> fl.FeatureExtractor:
    """Return the codes of a layer under a sparse dictionary that was trained and saved before."""
    return fl.load_dictionary(fl.extractor(model, where), path)
