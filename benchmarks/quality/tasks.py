"""The tasks of the table: what is asked of each net, the baselines, and the measures.

Each net gets the same options, the tasks' own defaults for pictures of 28 pixels, and the true classes, as the
published recipes do.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

import featlab as fl
from benchmarks.quality.study import ALONE, DATA, Indifferent, Measure, Shown, Study, likeness
from featlab.features.quality import blurred
from featlab.ops.random import normal, uniform
from featlab.synthesis.filling import hole_error, known_change
from featlab.synthesis.scaling import bicubic, inconsistency, shrunk

PLACE, NOISE = 60, 61
"""Purposes of random numbers."""
SIDE = 10
"""The side of the hole, in pixels."""
SIGMA = 0.2
"""The deviation of the noise that is to be removed."""


def generation(study: Study) -> Shown:
    """Images of every class as published, from noise of the class; beside the noise."""
    wanted = halves(study)[0]
    task = partial(fl.task("generate"), labels=wanted)
    made = study.made(lambda net: fl.maximize(task(model=net)), {"class noise": task(model=Indifferent()).center})
    return generated(study, "generation from class noise", made)


def generation_from_noise(study: Study) -> Shown:
    """Images of every class from uniform noise, which says nothing of a class, with room to become any image."""
    wanted = halves(study)[0]
    grey = torch.full_like(study.images, 0.5)
    noise = fl.ops.linf_sample(grey, eps=0.5, seed=0, examples=torch.arange(len(grey), device=grey.device))
    # Far from natural images there is farther to go than the other tasks' defaults allow.
    task = partial(fl.task("large-eps"), images=noise, labels=wanted, within=fl.threat_model("l2", eps=20.0), steps=100)
    made = study.made(lambda net: fl.maximize(task(net)), {"noise": noise})
    return generated(study, "generation from noise", made)


def halves(study: Study) -> tuple[Tensor, Tensor, Tensor]:
    """Return labels in order, and two halves of as many test images each with these labels."""
    images, labels = fl.load_data(DATA, train=False, count=2 * len(study.labels))
    order = labels.argsort(stable=True)
    found = labels[order[::2]], images[order[::2]], images[order[1::2]]
    return tuple(each.to(study.images.device) for each in found)


def generated(study: Study, title: str, made: Mapping[str, Tensor]) -> Shown:
    """Return the task with its measures, beside real images that no net was trained on."""
    wanted, real, held = halves(study)
    measures: dict[str, Measure] = {
        **study.judged(wanted),
        "judge's probability": study.confidence(wanted),
        **sets(study, real),
        "nearest training image, RMS": lambda _, images: fl.nearest_training(images, study.shown),
    }
    return Shown(title, {**made, "real images": held}, measures)


def sets(study: Study, real: Tensor) -> dict[str, Measure]:
    """Return the measures of whole sets, in the features of the judge."""
    extract = fl.extractor(study.judge, "penultimate")

    def features(images: Tensor) -> Tensor:
        with torch.no_grad():
            return extract(images)

    wanted = features(real)
    return {
        "Fréchet distance in the judge": lambda _, images: fl.frechet_distance(features(images), wanted),
        "kernel distance in the judge": lambda _, images: fl.kernel_distance(features(images), wanted),
        "precision in the judge": lambda _, images: fl.precision_recall(features(images), wanted).precision,
        "recall in the judge": lambda _, images: fl.precision_recall(features(images), wanted).recall,
    }


def super_resolution(study: Study, *, factor: int) -> Shown:
    """Images from the means of their blocks; beside the task without a net, and cubic interpolation."""
    small = shrunk(study.images, factor)

    def make(net: nn.Module) -> Tensor:
        return fl.maximize(fl.task("superres")(model=net, images=small, labels=study.labels, factor=factor))

    made = study.made(make, {ALONE: make(Indifferent()), "bicubic": bicubic(small, factor)})
    # HaarPSI and GMSD see means of 2 x 2 pixels only, and those are given.
    blind = {"HaarPSI", "GMSD"} if factor == 2 else set()
    measures = {
        **{name: measure for name, measure in likeness(study.images).items() if name not in blind},
        "inconsistency": lambda _, images: inconsistency(images, small),
        **study.judged(study.labels),
    }
    return Shown(f"super-resolution x{factor}", {"true": study.images, **made}, measures)


def in_painting(study: Study) -> Shown:
    """Images with a square hole somewhere; beside the task without a net, the mean, and the smoothest surface."""
    mask = holes(study.images)
    spoiled = torch.where(mask > 0, 0.5, study.images)

    def make(net: nn.Module) -> Tensor:
        return fl.maximize(fl.task("inpaint")(model=net, images=spoiled, mask=mask, labels=study.labels))

    fills = {"mean": fl.mean_fill(spoiled, mask), "biharmonic": fl.biharmonic_fill(spoiled, mask)}
    made = study.made(make, {ALONE: make(Indifferent()), **fills})
    # A black hole in black is often filled without any error, so that a mean of decibels would be infinite.
    measures = {
        "error in the hole, RMS": lambda _, images: hole_error(images, study.images, mask),
        **{name: measure for name, measure in likeness(study.images).items() if name in {"SSIM", "HaarPSI"}},
        "greatest change outside": lambda _, images: known_change(images, study.images, mask),
        **study.judged(study.labels),
    }
    return Shown("in-painting", {"true": study.images, **made}, measures)


def holes(images: Tensor) -> Tensor:
    """Return a mask for each image with one square hole, where depends on the image's number alone."""
    examples = torch.arange(len(images), device=images.device)
    height, width = images.shape[2:]
    corner = uniform(images.new_empty(len(images), 2), seed=0, examples=examples, purpose=PLACE)
    top, left = ((corner[:, k, None] * (size - SIDE + 1)).floor() for k, size in enumerate((height, width)))
    rows, columns = (torch.arange(size, device=images.device) for size in (height, width))
    inside = ((rows >= top) & (rows < top + SIDE))[:, :, None] & ((columns >= left) & (columns < left + SIDE))[:, None]
    return inside[:, None].to(images.dtype)


def translation(study: Study) -> Shown:
    """Images of the next class from images of one; beside the same way towards the next class's mean image."""
    wanted = (study.labels + 1) % len(study.judge.classes)

    def make(net: nn.Module) -> Tensor:
        return fl.maximize(fl.task("translate")(model=net, images=study.images, labels=wanted))

    radius = 5.0
    way = class_means(study)[wanted] - study.images
    ahead = fl.threat_model("l2", eps=radius).project(study.images + way, study.images)
    made = study.made(make, {"towards the class's mean": ahead, "unchanged": study.images})
    measures = {
        **{f"{name}, new class": measure for name, measure in study.judged(wanted).items()},
        **{f"{name}, old class": measure for name, measure in study.judged(study.labels).items()},
        "content distance, 1 - HaarPSI": lambda _, images: 1 - fl.haarpsi(images, study.images),
        "content distance, l2": lambda _, images: (images - study.images).flatten(1).norm(dim=1),
    }
    return Shown("translation", made, measures)


def class_means(study: Study) -> Tensor:
    """Return the mean training image of each class."""
    images, labels = study.shown.tensors()
    return torch.stack([images[labels == y].mean(dim=0) for y in range(len(study.judge.classes))]).to(study.images)


def restoration(study: Study) -> Shown:
    """Images from noisy ones; beside the task without a net, the noisy images, and a blur."""
    examples = torch.arange(len(study.images), device=study.images.device)
    noise = SIGMA * normal(study.images, seed=0, examples=examples, purpose=NOISE)
    noisy = (study.images + noise).clamp(0, 1)

    def make(net: nn.Module) -> Tensor:
        return fl.maximize(fl.task("restore")(model=net, images=noisy, labels=study.labels))

    made = study.made(make, {ALONE: make(Indifferent()), "noisy": noisy, "Gaussian blur": blurred(noisy, width=3)})
    measures = {**likeness(study.images), **study.judged(study.labels)}
    return Shown("restoration", {"true": study.images, **made}, measures)


TASKS = {
    "generation from class noise": generation,
    "generation from noise": generation_from_noise,
    "super-resolution x2": partial(super_resolution, factor=2),
    "super-resolution x4": partial(super_resolution, factor=4),
    "in-painting": in_painting,
    "translation": translation,
    "restoration": restoration,
}
