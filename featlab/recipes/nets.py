"""Nets from recipes: build one for its data, train it, and write it with its card."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from featlab import models
from featlab.attacks import Adversary
from featlab.datasets.dataset import Dataset
from featlab.evaluation import accuracy
from featlab.models import Classifier
from featlab.plugins import threat_model
from featlab.training import Epoch, Schedule, train


@dataclass(frozen=True, kw_only=True)
class Net:
    """An architecture by name, with its arguments."""

    architecture: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Inner:
    """The inner problem of robust training; without `threat_model` training is standard."""

    threat_model: str = ""
    steps: int = 0
    step_size: float = 0.0

    def adversary(self) -> Adversary | None:
        """Return what `train` takes."""
        return Adversary(threat_model(self.threat_model), self.steps, self.step_size) if self.threat_model else None


@dataclass(frozen=True, kw_only=True)
class NetRecipe:
    """Everything that a trained net is a function of, besides its seed."""

    data: str
    net: Net
    schedule: Schedule
    inner: Inner = field(default_factory=Inner)

    def with_epochs(self, epochs: int | None) -> NetRecipe:
        """Return the recipe with another number of epochs, where one is given."""
        return self if epochs is None else replace(self, schedule=replace(self.schedule, epochs=epochs))


def fresh(net: Net, *, like: Dataset, seed: int, title: str) -> Classifier:
    """Return a classifier with random weights for images like those of a data set."""
    mean, std = mean_and_std(like)
    return models.build(
        net.architecture,
        arguments=net.arguments,
        mean=mean,
        std=std,
        classes=like.classes,
        shape=like.shape,
        seed=seed,
        title=title,
    )


def mean_and_std(data: Dataset) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel over all images."""
    total = torch.zeros(2, data.shape[0], dtype=torch.float64)
    for images, _, _ in data.batches(4096):
        pixels = images.double().transpose(0, 1).flatten(1)
        total += torch.stack([pixels.sum(1), pixels.square().sum(1)])
    mean, square = total / (len(data) * data.shape[1] * data.shape[2])
    return mean.tolist(), (square - mean.square()).sqrt().tolist()


def make(
    recipe: NetRecipe,
    train_data: Dataset,
    test_data: Dataset,
    *,
    out: Path,
    device: torch.device,
    seed: int,
    note: Callable[[Epoch], None],
) -> dict[str, Any]:
    """Train a net and write it to `out` with its card, which is returned; `out.checkpoint` holds what is unfinished."""
    begun = time.monotonic()
    net = fresh(recipe.net, like=train_data, seed=seed, title=out.stem).to(device)
    checkpoint = out.with_suffix(".checkpoint")
    for epoch in train(
        net, train_data, schedule=recipe.schedule, inner=recipe.inner.adversary(), seed=seed, checkpoint=checkpoint
    ):
        note(epoch)
    card = {
        "recipe": asdict(recipe),
        "data": {"name": train_data.name, "train": len(train_data), "sha256": train_data.sha256},
        "clean": accuracy(net, test_data).record(),
        "seed": seed,
        "seconds": round(time.monotonic() - begun, 1),
        "torch": torch.__version__,
    }
    models.save(net, out, card=card)
    checkpoint.unlink(missing_ok=True)
    return card
