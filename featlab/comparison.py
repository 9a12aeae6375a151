"""Which set of perturbations is the right one? Models against threat models, and what each model is worth and cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from featlab.attacks import Attack, Model
from featlab.data import Data, as_data, batches, check_images
from featlab.engine import Engine
from featlab.evaluation import Accuracy, device_of, evaluate, robust_to_all
from featlab.freezing import frozen
from featlab.intervals import Mean
from featlab.objectives import margin
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, Progress, Scores, silent


@dataclass(frozen=True)
class Alignment:
    """How a model's input gradients lie to what people see; each beside its control.

    g is the gradient of the margin max_{j != y} z_j - z_y. `image` is |<x, g>| / (|x| |g|), `other_image` the same with
    the image of another example; `classes` is <m_j - m_y, g> / (|m_j - m_y| |g|) with the means m of the classes over
    the data, y the label and j the likeliest wrong class, `other_classes` the same with the pair of another example.
    Examples whose gradient is zero have none of them. Source: Etmann et al. 2019, section 2 (alignment).
    """

    image: Mean
    other_image: Mean
    classes: Mean
    other_classes: Mean

    def record(self) -> dict[str, object]:
        """Return the four means by name."""
        return {name: getattr(self, name).record() for name in ("image", "other_image", "classes", "other_classes")}


@dataclass(frozen=True)
class Training:
    """What a model was trained on, as far as its card says.

    `passes` is how often each image went through the net, forwards and backwards: epochs (1 + inner steps).
    """

    threat_model: str | None = None
    data: str | None = None
    images: int | None = None
    epochs: int | None = None
    passes: int | None = None
    seconds: float | None = None

    @staticmethod
    def of(card: Mapping[str, Any]) -> Training:
        """Read the card that `featlab train` writes; without a recipe nothing is known."""
        recipe = card.get("recipe")
        if not isinstance(recipe, Mapping):
            return Training()
        inner, schedule, data = map(_table, (recipe.get("inner"), recipe.get("schedule"), card.get("data")))
        epochs = schedule.get("epochs")
        within = inner.get("threat_model") or "none"
        passes = None if epochs is None else epochs * (1 + (inner.get("steps", 0) if within != "none" else 0))
        return Training(within, data.get("name"), data.get("train"), epochs, passes, card.get("seconds"))


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


@dataclass(frozen=True)
class Row:
    """What was found of one model: clean and robust accuracy, in each set and in all at once, alignment, training."""

    model: str
    clean: Accuracy
    robust: Mapping[str, Accuracy]
    union: Accuracy
    alignment: Alignment
    training: Training

    def record(self) -> dict[str, object]:
        """Return the row as plain values."""
        return {
            "model": self.model,
            "clean": self.clean.record(),
            "robust": {name: found.record() for name, found in self.robust.items()},
            "union": self.union.record(),
            "alignment": self.alignment.record(),
            "training": asdict(self.training),
        }


def compare_sets(
    models: Mapping[str, Model],
    data: Data | tuple[Images, Labels],
    *,
    within: Mapping[str, ThreatModel],
    suite: str | Sequence[Attack] = "pgd",
    engine: str | Engine = "auto",
    cards: Mapping[str, Mapping[str, Any]] | None = None,
    count: int = 500,
    batch_size: int = 512,
    seed: int = 0,
    folder: Path | None = None,
    progress: Progress = silent,
) -> list[Row]:
    """Return a row for each model: its robust accuracy in each threat model, and what else speaks for a set.

    `cards` are what the models' files say of their training, by the same names. Gradients are looked at for at most
    `count` examples. `folder` keeps the verdicts, from which the same call goes on.
    """
    if not models or not within:
        raise ValueError("to compare sets takes one model and one threat model, or more")
    data, rows = as_data(data), []
    for place, (name, model) in enumerate(models.items()):
        reports = {}
        for number, (spec, ball) in enumerate(within.items()):
            reports[spec] = evaluate(
                model,
                data,
                within=ball,
                suite=suite,
                engine=engine,
                batch_size=batch_size,
                seed=seed,
                checkpoint=None if folder is None else folder / f"{place}-{number}.safetensors",
                progress=lambda stage, done, total, at=f"{name} {spec}": progress(f"{at} {stage}", done, total),
            )
        found = list(reports.values())
        robust = {spec: report.robust for spec, report in reports.items()}
        looks = alignment(model, data, count=count, batch_size=batch_size)
        training = Training.of((cards or {}).get(name, {}))
        rows.append(Row(name, found[0].clean, robust, robust_to_all(found), looks, training))
    return rows


def alignment(
    model: Model, data: Data | tuple[Images, Labels], *, count: int = 500, batch_size: int = 512
) -> Alignment:
    """Return how the input gradients of at most `count` examples lie to the images and to the classes' means."""
    data = as_data(data)
    some = torch.linspace(0, len(data) - 1, min(count, len(data))).long()
    parts = []
    for index in some.split(batch_size):
        images, labels = data.images(index).to(device_of(model)), data.labels[index]
        wrong = _likeliest_wrong(model, images, labels)
        parts.append((images.cpu(), _gradient(model, images, labels).cpu(), wrong, labels))
    images, grads, wrong, labels = (torch.cat(each) for each in zip(*parts, strict=True))
    means = class_means(data, classes=1 + int(max(wrong.max(), data.labels.max())), batch_size=batch_size)
    images, grads, ways = (each.double().flatten(1) for each in (images, grads, means[wrong] - means[labels]))
    other = torch.arange(len(some)).roll(1)
    moves = ((grads != 0) & grads.isfinite()).any(dim=1)
    cosines = [
        _cosine(grads, what)[moves & (what != 0).any(dim=1)] for what in (images, images[other], ways, ways[other])
    ]
    return Alignment(
        image=Mean.of(cosines[0].abs()),
        other_image=Mean.of(cosines[1].abs()),
        classes=Mean.of(cosines[2]),
        other_classes=Mean.of(cosines[3]),
    )


def class_means(data: Data, *, classes: int, batch_size: int = 512) -> Tensor:
    """Return the mean image of each class, (classes, ...), in float64; that of a class without images is zero."""
    totals: Tensor | None = None
    for images, labels, _ in batches(data, batch_size):
        check_images(images)
        if totals is None:
            totals = torch.zeros(classes, *images.shape[1:], dtype=torch.float64)
        totals.index_add_(0, labels, images.double().cpu())
    assert totals is not None
    sizes = torch.bincount(data.labels, minlength=classes).clamp_min(1)
    return totals / sizes.reshape(-1, *[1] * (totals.dim() - 1))


def _likeliest_wrong(model: Model, images: Images, labels: Labels) -> Labels:
    """Return the wrong class that the model finds likeliest."""
    with frozen(model), torch.no_grad():
        logits = model(images).cpu()
    return logits.scatter(1, labels[:, None], -math.inf).argmax(dim=1)


def _gradient(model: Model, images: Images, labels: Labels) -> Images:
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        (grad,) = torch.autograd.grad(margin(model, labels.to(images.device))(images).sum(), images)
    return grad


def _cosine(left: Tensor, right: Tensor) -> Scores:
    cosine: Scores = torch.nn.functional.cosine_similarity(left, right, dim=1, eps=1e-300)
    return cosine
