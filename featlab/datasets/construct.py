"""Constructed data sets: what a classifier's robust and non-robust features look like as training data.

Every construction is a function of row numbers alone, so a set may be built in any batches, in any order, and a build
that was killed goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from featlab.attacks import Model, non_transferable, pgd
from featlab.data import Data
from featlab.datasets.constructed import ConstructedWriter
from featlab.evaluation import device_of, predict
from featlab.objectives import match
from featlab.problem import Problem, maximize
from featlab.threat_models import ThreatModel, spread
from featlab.types import FeatureExtractor, Features, Images, Labels, Rows, Scores


@dataclass(frozen=True, eq=False)
class Built:
    """Some rows of a constructed set: images, the labels that they get, and whole numbers worth keeping."""

    images: Images
    labels: Labels
    columns: Mapping[str, Tensor] = field(default_factory=dict)


class Construction(Protocol):
    """How rows of a constructed set are made."""

    def __call__(self, index: Rows, /) -> Built:
        """Return some rows; each a function of its own number."""
        ...


def random_targets(labels: Labels, *, classes: int, seed: int) -> Labels:
    """Return a class for each example, uniform over ALL classes (also its own). Source: Ilyas et al. 2019, sec. 3.2."""
    return torch.randint(classes, labels.shape, generator=torch.Generator().manual_seed(seed))


def next_targets(labels: Labels, *, classes: int) -> Labels:
    """Return the class after each example's own, y + 1 mod classes. Source: Ilyas et al. 2019, section 3.2."""
    return (labels + 1) % classes


@dataclass(frozen=True, eq=False)
class Perturbed:
    """D_rand and D_det: images moved towards a target class inside a small set, and labelled as that class.

    x_adv = argmin over x' in S(x) of L_C(x', t), with C a standard classifier: to people the pair (x_adv, t) looks
    mislabelled; only non-robust features connect the two. Source: Ilyas et al. 2019, section 3.2.
    With `others` the perturbation is one that these models withstand, as far as it can be found: they keep to the
    original labels, so that it carries nothing that they have learned too. Source: Nakkiran 2019 ("Adversarial
    examples are just bugs, too").
    """

    model: Model
    data: Data
    targets: Labels
    within: ThreatModel
    steps: int
    step_size: float
    others: Sequence[Model] = ()

    def __call__(self, index: Rows, /) -> Built:
        """Return the perturbed images under their targets, and whether the model now answers the target."""
        targets = self.targets[index]
        moved = maximize(self._problem(index, targets))
        reached = predict(self.model, moved).cpu() == targets
        columns = {"source_index": index, "original_label": self.data.labels[index], "reached": reached.long()}
        return Built(moved.cpu(), targets, columns)

    def _problem(self, index: Rows, targets: Labels) -> Problem:
        """Return the attack on some rows."""
        device = device_of(self.model)
        images, towards = self.data.images(index).to(device), targets.to(device)
        within, steps, step_size = self.within.rows(index.to(device)), self.steps, self.step_size
        if not self.others:
            return pgd(self.model, images, towards, within=within, steps=steps, step_size=step_size, targeted=True)
        return non_transferable(
            self.model,
            self.others,
            images,
            self.data.labels[index].to(device),
            within=within,
            steps=steps,
            step_size=step_size,
            targets=towards,
        )


@dataclass(frozen=True, eq=False)
class Represented:
    """D_R and D_NR: other images moved until a classifier's representation of them is that of x; labelled as x.

    x_r = argmin over z in [0, 1]^d of |g(z) - g(x)|_2, from an unrelated image x', so that z carries those features of
    x that g uses, and of the others those of x'. With g of a robust classifier this is D_R, of a standard one D_NR.
    Source: Ilyas et al. 2019, section 3.1.
    """

    extractor: FeatureExtractor
    data: Data
    starts: Rows
    within: ThreatModel
    steps: int
    step_size: float
    device: torch.device

    def __call__(self, index: Rows, /) -> Built:
        """Return the moved images under the labels whose representation they have."""
        wanted = self._features(self.data.images(index).to(self.device))
        start = self.data.images(self.starts[index]).to(self.device)
        problem = Problem(match(self.extractor, wanted), start, self.within, self.steps, self.step_size)
        columns = {"source_index": index, "start_index": self.starts[index]}
        return Built(maximize(problem).cpu(), self.data.labels[index], columns)

    def _features(self, images: Images) -> Features:
        with torch.no_grad():
            return self.extractor(images)


def unrelated_rows(count: int, *, seed: int) -> Rows:
    """Return another row for each row, each used once: a random cyclic order, in which no row follows itself."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    other = torch.empty_like(order)
    other[order] = order.roll(1)
    return other


@dataclass(frozen=True, eq=False)
class Noised:
    """The control of `Perturbed`: noise of the same length in place of the perturbation, the same labels.

    x + s n with n Gaussian, cut to [0, 1], and s such that the cut noise has the given Euclidean length. If a set
    teaches more than this control does, its perturbations did it, not their size.
    """

    data: Data
    lengths: Scores
    targets: Labels
    seed: int

    def __call__(self, index: Rows, /) -> Built:
        """Return the noisy images under the targets."""
        images, lengths = self.data.images(index), self.lengths[index]
        noise = torch.stack(
            [torch.randn(images.shape[1:], generator=_generator(self.seed, row)) for row in index.tolist()]
        )
        low, high = torch.zeros_like(lengths), torch.full_like(lengths, 1e3)
        for _ in range(60):  # Bisection: the length of the cut noise grows with its scale.
            middle = (low + high) / 2
            short = _length((images + spread(middle, images) * noise).clamp(0, 1) - images) < lengths
            low, high = torch.where(short, middle, low), torch.where(short, high, middle)
        noisy = (images + spread(low, images) * noise).clamp(0, 1)
        columns = {"source_index": index, "original_label": self.data.labels[index]}
        return Built(noisy, self.targets[index], columns)


@dataclass(frozen=True, eq=False)
class Relabelled:
    """The second control: the unperturbed images under the labels of the constructed set."""

    data: Data
    targets: Labels

    def __call__(self, index: Rows, /) -> Built:
        """Return the original images under the targets."""
        columns = {"source_index": index, "original_label": self.data.labels[index]}
        return Built(self.data.images(index), self.targets[index], columns)


def lengths_of(built: Data, data: Data, *, batch_size: int = 1024) -> Scores:
    """Return how far each constructed image is from its original, |x' - x|_2."""
    chunks = torch.arange(len(data)).split(batch_size)
    return torch.cat([_length(built.images(index) - data.images(index)) for index in chunks])


def _length(difference: Images) -> Scores:
    length: Scores = torch.linalg.vector_norm(difference.flatten(1), dim=1)
    return length


def _generator(seed: int, row: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 1_000_003 + row) % 2**63)


def construct(construction: Construction, writer: ConstructedWriter, *, batch_size: int) -> Iterator[int]:
    """Build what a set still lacks, and yield how many rows are on the disk after each shard."""
    yield writer.done
    for rows in writer.pending():
        parts = [construction(index) for index in torch.arange(rows.start, rows.stop).split(batch_size)]
        columns = {name: torch.cat([part.columns[name] for part in parts]) for name in parts[0].columns}
        writer.write(
            rows,
            torch.cat([part.images for part in parts]),
            torch.cat([part.labels for part in parts]),
            columns=columns,
        )
        yield writer.done
