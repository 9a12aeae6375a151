"""Saliency methods side by side: every quality of every method on the same images, with intervals and baselines."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from featlab.data import check_images, check_labels
from featlab.features import quality
from featlab.features.saliency import METHODS, Maps, Method
from featlab.intervals import Mean
from featlab.types import Images, Labels, Progress, silent

QUALITIES: Mapping[str, str] = {
    "deletion": "low",
    "insertion": "high",
    "road": "high",
    "infidelity": "low",
    "max sensitivity": "low",
    "randomisation": "near 0",
    "alignment": "high",
    "class alignment": "high",
}
"""The qualities, and which values are good."""


def saliency_table(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    methods: Mapping[str, Method] = METHODS,
    means: Images | None = None,
    progress: Progress = silent,
) -> dict[str, dict[str, Mean]]:
    """Return for each method the mean of each quality over the images: {method: {quality: mean}}.

    `means` (classes, ...), the mean images of the classes, add the alignment with m_y - x.
    """
    check_images(images)
    check_labels(labels, count=len(images))
    table: dict[str, dict[str, Mean]] = {}
    progress("saliency", 0, len(methods))
    for number, (name, method) in enumerate(methods.items()):
        table[name] = {key: Mean.of(scores) for key, scores in _row(model, images, labels, method, means).items()}
        progress("saliency", number + 1, len(methods))
    return table


def _row(model: nn.Module, images: Images, labels: Labels, method: Method, means: Images | None) -> dict[str, Tensor]:
    """Return every quality of one method, per image."""
    maps: Maps = method(model, images, labels)
    with torch.no_grad():
        row = {
            "deletion": quality.deletion(model, images, labels, maps).area(),
            "insertion": quality.deletion(model, images, labels, maps, baseline="blurred", kept=True).area(),
            "road": quality.road(model, images, labels, maps),
            "infidelity": quality.infidelity(model, images, labels, maps),
            "alignment": quality.alignment(maps, images),
        }
    row["max sensitivity"] = quality.max_sensitivity(method, model, images, labels)
    row["randomisation"] = quality.randomisation(method, model, images, labels)
    if means is not None:
        row["class alignment"] = quality.class_alignment(maps, images, labels, means)
    return row
