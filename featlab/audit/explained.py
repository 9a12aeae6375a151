"""Why the model answers so: saliency with its quality, and the worst mistakes with their reasons."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from featlab.audit.findings import Features, Mistake, Mistakes, Reason, Saliency
from featlab.audit.subject import Subject
from featlab.datasets import Dataset
from featlab.features.retrieval import nearest
from featlab.features.saliency import METHODS, Method, integrated_gradients, last_map, smoothgrad
from featlab.features.saliency_table import saliency_table
from featlab.intervals import Mean
from featlab.models import Layer, head_of
from featlab.plugins import task
from featlab.problem import maximize
from featlab.types import Images

DRAWN = 6
"""So many images are drawn with their maps."""

SAMPLES, POINTS = 12, 16
"""Of SmoothGrad and integrated gradients on large images, for 25 and 32: judging a method runs it ten times."""


def saliency(subject: Subject) -> Saliency:
    """Return maps by every method that the net allows, and their quality beside the two baselines."""
    data = subject.some.subset(min(subject.limits.saliency, len(subject.some)))
    device = subject.model.device
    images, labels = (each.to(device) for each in data.tensors())
    methods, notes = _methods(subject, images)
    table = saliency_table(
        subject.model, images, labels, methods=methods, means=_means(subject), progress=subject.progress
    )
    few = slice(min(DRAWN, len(data)))
    return Saliency(
        images=images[few].cpu(),
        labels=tuple(labels[few].tolist()),
        maps={name: method(subject.model, images[few], labels[few]).cpu() for name, method in methods.items()},
        table=table,
        n=len(data),
        notes=tuple(notes),
    )


def _methods(subject: Subject, images: Images) -> tuple[dict[str, Method], list[str]]:
    """Return the methods, in fewer samples for large images, and without Grad-CAM where the net has no map to read.

    And what is to be said of that.
    """
    methods, notes = dict(METHODS), []
    if subject.large:
        methods |= {
            "smoothgrad": partial(smoothgrad, count=SAMPLES),
            "integrated gradients": partial(integrated_gradients, count=POINTS),
        }
        notes = [
            f"The images are large, so SmoothGrad takes {SAMPLES} samples and integrated gradients {POINTS} points."
        ]
    try:
        name = last_map(subject.model, images[:1])
    except ValueError as error:
        del methods["grad-cam"]
        return methods, [*notes, f"Grad-CAM is left out: {error}."]
    return methods, [*notes, f"Grad-CAM reads {name}, the last layer with several positions."]


def _means(subject: Subject) -> Images | None:
    """Return the mean training image of each class; None where classes are missing there, or too many to hold."""
    data, count = subject.known, len(subject.model.classes)
    if len(data.labels.unique()) < count or count * data.images(torch.zeros(1, dtype=torch.int64)).numel() > 1 << 24:
        return None
    total = torch.zeros(count, *data.shape)
    for images, labels, _ in data.batches(subject.batch_size):
        total.index_add_(0, labels, images)
    number = torch.bincount(data.labels, minlength=count)
    return (total / number.reshape(-1, 1, 1, 1)).to(subject.model.device)


def mistakes(subject: Subject, found: Features) -> Mistakes:
    """Return the wrong answers to test images that the model was surest of, each with its reasons."""
    right, sure = subject.answers == subject.test.labels, subject.sure
    wrong = (~right).nonzero()[:, 0]
    worst = wrong[sure[wrong].argsort(descending=True, stable=True)][: subject.limits.mistakes]
    return Mistakes(
        wrong=len(wrong),
        total=len(right),
        sure=Mean.of(sure[~right]),
        sure_right=Mean.of(sure[right]),
        rows=_rows(subject, worst, found) if len(worst) else (),
    )


def _rows(subject: Subject, worst: Tensor, found: Features) -> tuple[Mistake, ...]:
    images = subject.test.images(worst).to(subject.model.device)
    index = _neighbours(subject, images)
    reasons = _reasons(subject, images, {row.unit: row.verdict for row in found.rows})
    shown = maximize(task("rationalize")(subject.model, images, steps=128)).cpu() if subject.has_head else None
    odds = subject.logits.softmax(dim=1)
    return tuple(
        Mistake(
            index=row,
            label=label,
            answer=int(subject.answers[row]),
            sure=float(subject.sure[row]),
            truth=float(odds[row, label]),
            reasons=reasons[place],
            image=images[place].cpu(),
            rationalized=None if shown is None else shown[place],
            nearest=subject.known.images(index[place]),
            nearest_labels=_labels(subject.known, index[place]),
        )
        for place, (row, label) in enumerate(zip(worst.tolist(), subject.test.labels[worst].tolist(), strict=True))
    )


def _neighbours(subject: Subject, images: Images) -> Tensor:
    """Return the four training images nearest to each image; none is its own, where data have one part for all."""
    shared = subject.test.split == "all"
    index, _ = nearest(
        subject.extract,
        images,
        subject.known,
        count=min(4 + shared, len(subject.known)),
        batch_size=subject.batch_size,
        progress=subject.progress,
    )
    if not shared:
        return index
    itself = torch.stack(
        [torch.tensor([_same(subject, image, row) for row in rows]) for image, rows in zip(images, index)]
    )
    # Where it is not among them the last one leaves.
    order = itself.long().argsort(dim=1, stable=True)[:, :-1].sort(dim=1).values
    return index.gather(1, order)


def _same(subject: Subject, image: Tensor, row: Tensor) -> bool:
    return torch.equal(image.cpu(), subject.known.images(row[None])[0])


def _labels(data: Dataset, rows: Tensor) -> tuple[int, ...]:
    return tuple(data.labels[rows].tolist())


def _reasons(subject: Subject, images: Images, verdicts: dict[int, str]) -> list[tuple[Reason, ...]]:
    """Return for each image the three units that added most to the answer's logit, by w_answer,k r_k(x)."""
    if not subject.has_head:
        return [() for _ in images]
    with torch.no_grad():
        values = Layer(subject.model, "penultimate")(images)
        weight = head_of(subject.model).weight.to(values)
        added = weight[subject.model(images).argmax(dim=1)] * values
    top = added.topk(min(3, added.shape[1]), dim=1)
    judged = verdicts if subject.splits else {}
    return [
        tuple(Reason(unit, size, judged.get(unit, "")) for unit, size in zip(units, sizes, strict=True))
        for units, sizes in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]
