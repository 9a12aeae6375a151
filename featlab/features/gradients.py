"""What each class would have an image become: its gradients, at the image or all over a set about it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from featlab.attacks import Model
from featlab.data import check_images
from featlab.features.saliency import slope
from featlab.freezing import frozen
from featlab.threat_models import Key, ThreatModel
from featlab.types import Images, Seeds


def class_gradients(
    model: Model,
    images: Images,
    *,
    classes: Sequence[int] | None = None,
    within: ThreatModel | None = None,
    draws: int = 16,
    seed: int = 0,
    examples: Seeds | None = None,
) -> Tensor:
    """Return d z_c / d x of every image for each class, all by default: (batch, classes, ...).

    Given a set it is the mean over random points of it, E_{x' ~ S(x)} [d z_c / d x'], of `draws` draws that depend on
    (seed, example) alone: what holds all over the set, rather than at one point. With a robust model these gradients
    show the class as people would draw it; with others, noise. Raw numbers; nothing is scaled.
    Raises ValueError for images outside [0, 1], for a class that the model does not have and for draws < 1.
    Source: Tsipras et al. 2019, section 3.1; Smilkov et al. 2017, section 3 (the mean over a neighbourhood).
    """
    check_images(images)
    if draws < 1:
        raise ValueError(f"draws must be 1 or more, got {draws}")
    chosen = _chosen(model, images, classes)
    identity = torch.arange(len(images)) if examples is None else examples
    total = images.new_zeros(len(images), len(chosen), *images.shape[1:])
    points = [images] if within is None else _points(images, within, draws, seed, identity.to(images.device))
    for each in points:
        for place, label in enumerate(chosen):
            total[:, place] += slope(model, each, torch.full((len(images),), label, device=images.device))
    return total / len(points)


def _points(images: Images, within: ThreatModel, draws: int, seed: int, examples: Seeds) -> list[Images]:
    """Return random images of the set, one batch for each draw."""
    keys = [Key(seed=seed, examples=examples, restart=number) for number in range(draws)]
    with torch.no_grad():
        sets = [within.at(number).drawn(key) for number, key in enumerate(keys)]
        return [each.decode(each.sample(images, key=key), images) for each, key in zip(sets, keys, strict=True)]


def _chosen(model: Model, images: Images, classes: Sequence[int] | None) -> list[int]:
    with frozen(model), torch.no_grad():
        count = model(images[:1]).shape[1]
    chosen = list(range(count)) if classes is None else list(classes)
    if not chosen or not all(0 <= label < count for label in chosen):
        raise ValueError(f"classes must be at least one from 0 to {count - 1}, got {chosen}")
    return chosen
