"""What an image looks like that has the representation of another: inversion beside its source."""

from __future__ import annotations

import math

import torch

from featlab.audit.findings import Inverted, Nearness
from featlab.audit.subject import Subject
from featlab.features.inversion import MEASURES, inversion_distances
from featlab.types import Rows

STEPS, DRAWN = 100, 6
"""So many steps are taken, and so many images are drawn."""


def _various(labels: list[int], count: int) -> Rows:
    """Return the first `count` rows, those of a class that was not seen yet before the others."""
    turns = [labels[:place].count(label) for place, label in enumerate(labels)]
    return torch.tensor(turns).argsort(stable=True)[:count].sort().values


def inverted(subject: Subject) -> Inverted:
    """Return how near inversions of test images come to their sources, each begun at another random one of them."""
    data = subject.test.subset(min(subject.limits.inversions, len(subject.test)))
    found = inversion_distances(
        subject.model,
        data,
        layer=subject.address,
        steps=STEPS,
        step_size=0.3 * math.sqrt(math.prod(subject.test.shape) / 784),  # Larger images have farther to go.
        batch_size=subject.batch_size,
        seed=subject.seed,
        progress=subject.progress,
    )
    near, baseline = found.means(seed=subject.seed), found.baseline_means(seed=subject.seed)
    few = min(DRAWN, len(data))
    rows = _various(data.labels.tolist(), few)
    images, labels = data.select(rows).tensors()
    return Inverted(
        layer=subject.address,
        n=len(data),
        steps=STEPS,
        measures=tuple(Nearness(name, MEASURES[name], near[name], baseline[name]) for name in near),
        labels=tuple(labels.tolist()),
        source=images,
        start=found.start[rows],
        found=found.found[rows],
    )
