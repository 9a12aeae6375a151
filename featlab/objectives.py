"""Objectives: what a batch of inputs moves uphill on.

An objective is a callable from images to one score per example, larger is better. Those of this module add, subtract
and scale, and follow examples that leave the batch (`rows`). Any plain callable serves as an objective too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from featlab import ops
from featlab.freezing import frozen
from featlab.types import Features, Images, Labels, Logits, Mask, Rows, Scores, Verdicts

Result_co = TypeVar("Result_co", bound=Tensor, covariant=True)


class Scored(NamedTuple):
    """Scores, and how they change with the images: the derivative of their sum is that of <slope, source>.

    Without a slope the source is the sum itself.
    """

    scores: Scores
    source: Tensor
    slope: Tensor | None = None


class Head(Protocol[Result_co]):
    """What turns a model's outputs into one value per example."""

    def __call__(self, outputs: Tensor, /) -> Result_co:
        """Return one value per example."""
        ...

    def rows(self, index: Rows, /) -> Head[Result_co]:
        """Return the head of some of the examples."""
        ...


class Objective(ABC):
    """A score per example, with algebra."""

    @abstractmethod
    def __call__(self, images: Images, /) -> Scores:
        """Return one score per image, larger is better; examples must not influence each other."""

    @abstractmethod
    def rows(self, index: Rows) -> Objective:
        """Return the objective of some of the examples."""

    @property
    def random(self) -> bool:
        """Whether the score draws random numbers, other ones at each evaluation."""
        return False

    def at(self, draw: int, /) -> Objective:
        """Return the objective of one evaluation, 0, 1, ...; random ones draw other numbers each time."""
        del draw
        return self

    def __add__(self, other: Callable[[Images], Scores]) -> Objective:
        return Sum(((1.0, self), (1.0, objective(other))))

    __radd__ = __add__

    def __sub__(self, other: Callable[[Images], Scores]) -> Objective:
        return Sum(((1.0, self), (-1.0, objective(other))))

    def __mul__(self, weight: float) -> Objective:
        return Sum(((float(weight), self),))

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return self * -1.0


@dataclass(frozen=True)
class Sum(Objective):
    """A weighted sum of objectives, sum_i w_i f_i(x)."""

    terms: tuple[tuple[float, Objective], ...]

    def __call__(self, images: Images, /) -> Scores:
        """Return the weighted sum of the terms' scores."""
        return torch.stack([weight * term(images) for weight, term in self.terms]).sum(dim=0)

    def rows(self, index: Rows) -> Sum:
        """Return the sum of the terms' rows."""
        return Sum(tuple((weight, term.rows(index)) for weight, term in self.terms))

    @property
    def random(self) -> bool:
        """Whether any of the terms does."""
        return any(term.random for _, term in self.terms)

    def at(self, draw: int, /) -> Sum:
        """Return the sum of the terms at this draw."""
        return Sum(tuple((weight, term.at(draw)) for weight, term in self.terms))


@dataclass(frozen=True)
class Plain(Objective):
    """A function of the user's, which knows nothing of rows."""

    function: Callable[[Images], Scores]

    def __call__(self, images: Images, /) -> Scores:
        """Return the function's scores."""
        return self.function(images)

    def rows(self, index: Rows) -> Objective:
        """Refuse: which of its arguments are per example is known to the function alone."""
        raise ValueError(
            f"the objective {self.function!r} is a plain function, which cannot follow examples that leave the batch; "
            "subclass featlab.Objective and define rows(index), or pass done=None"
        )


@dataclass(frozen=True)
class OnModel(Objective, Generic[Result_co]):
    """A head on the outputs of a model: head(model(images)), with the model frozen while it runs."""

    model: Callable[[Images], Tensor]
    head: Head[Result_co]

    def outputs(self, images: Images) -> Tensor:
        """Return the model's outputs, in at least float32."""
        with frozen(self.model):
            outputs = self.model(images)
        return outputs if outputs.dtype == torch.float64 else outputs.float()

    def __call__(self, images: Images, /) -> Result_co:  # type: ignore[override]
        """Return the head's value of each example."""
        return self.head(self.outputs(images))

    def scored(self, outputs: Tensor) -> Scored:
        """Return the scores of outputs with their slope, which a loss gives in the same pass."""
        if isinstance(self.head, _Loss):
            found = ops.judge(outputs, self.head.labels, loss=self.head.name, targets=self.head.targets)
            return Scored(found.value, outputs, found.cotangent)
        scores = self.head(outputs)
        return Scored(scores, scores.sum())

    def rows(self, index: Rows) -> OnModel[Result_co]:
        """Return the same model under the head's rows."""
        return OnModel(self.model, self.head.rows(index))


def objective(function: Callable[[Images], Scores]) -> Objective:
    """Return a callable as an objective with algebra; an objective is returned as it is."""
    return function if isinstance(function, Objective) else Plain(function)


@dataclass(frozen=True)
class _OfLabels:
    """A function of logits and labels as a head."""

    function: Callable[[Logits, Labels], Tensor]
    labels: Labels

    def __call__(self, outputs: Tensor, /) -> Tensor:
        return self.function(outputs, self.labels)

    def rows(self, index: Rows, /) -> _OfLabels:
        return _OfLabels(self.function, self.labels[index])


@dataclass(frozen=True)
class _Loss:
    """One of the losses that are computed with their derivative in one pass; see `featlab.ops.loss`."""

    name: str
    labels: Labels
    targets: Labels | None = None

    def __call__(self, outputs: Tensor, /) -> Scores:
        return ops.loss(outputs, self.labels, loss=self.name, targets=self.targets)

    def rows(self, index: Rows, /) -> _Loss:
        return _Loss(self.name, self.labels[index], None if self.targets is None else self.targets[index])


def cross_entropy(model: Callable[[Images], Logits], labels: Labels) -> OnModel[Scores]:
    """Return the cross-entropy against `labels`, log sum_j exp z_j - z_y.

    Uphill is away from `labels`; `-cross_entropy(model, targets)` is towards `targets`.
    """
    return OnModel(model, _Loss("cross_entropy", labels))


def margin(model: Callable[[Images], Logits], labels: Labels) -> OnModel[Scores]:
    """Return max_{j != y} z_j - z_y, positive exactly where the model does not answer `labels`.

    Source: Carlini and Wagner 2017, section V-A (f_6 without the cut).
    """
    return OnModel(model, _Loss("margin", labels))


def dlr(model: Callable[[Images], Logits], labels: Labels) -> OnModel[Scores]:
    """Return the difference-of-logits ratio, -(z_y - max_{j != y} z_j) / (z_(1) - z_(3)); needs three classes.

    It does not change when the logits are scaled or shifted.
    Source: Croce and Hein 2020 (AutoAttack), section 4.1.
    """
    return OnModel(model, _Loss("dlr", labels))


def dlr_targeted(model: Callable[[Images], Logits], labels: Labels, targets: Labels) -> OnModel[Scores]:
    """Return the targeted difference-of-logits ratio, -(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2); needs four classes.

    Uphill is from `labels` towards `targets`. It does not change when the logits are scaled or shifted.
    Source: Croce and Hein 2020 (AutoAttack), section 4.2.
    """
    return OnModel(model, _Loss("dlr_targeted", labels, targets))


@dataclass(frozen=True)
class _Gap:
    labels: Labels
    targets: Labels

    def __call__(self, outputs: Tensor, /) -> Scores:
        return (outputs.gather(1, self.targets[:, None]) - outputs.gather(1, self.labels[:, None]))[:, 0]

    def rows(self, index: Rows, /) -> _Gap:
        return _Gap(self.labels[index], self.targets[index])


def margin_targeted(model: Callable[[Images], Logits], labels: Labels, targets: Labels) -> OnModel[Scores]:
    """Return z_t - z_y: zero on the boundary between `labels` and `targets`, for any number of classes.

    Source: Croce and Hein 2020 (FAB), section 3.2 (the targeted form).
    """
    return OnModel(model, _Gap(labels, targets))


def log_ratio(model: Callable[[Images], Logits], labels: Labels) -> OnModel[Scores]:
    """Return the logarithm of the odds against `labels`, log((1 - p_y) / p_y) = log sum_{j != y} exp z_j - z_y.

    A smooth margin: unlike cross-entropy, its gradient does not vanish where the model is certain.
    Source: the logit scaling of Carlini et al. 2022 (LiRA), negated, in its stable form.
    """
    return OnModel(model, _Loss("log_ratio", labels))


def misclassified(model: Callable[[Images], Logits], labels: Labels) -> OnModel[Verdicts]:
    """Return the criterion that the model does not answer `labels`."""
    return OnModel(model, _OfLabels(_misclassified, labels))


def classified_as(model: Callable[[Images], Logits], labels: Labels) -> OnModel[Verdicts]:
    """Return the criterion that the model answers `labels`."""
    return OnModel(model, _OfLabels(_classified_as, labels))


def _misclassified(logits: Logits, labels: Labels) -> Verdicts:
    return logits.argmax(dim=1) != labels


def _classified_as(logits: Logits, labels: Labels) -> Verdicts:
    return logits.argmax(dim=1) == labels


@dataclass(frozen=True)
class _Unit:
    unit: int | Labels

    def __call__(self, outputs: Tensor, /) -> Scores:
        if isinstance(self.unit, int):
            return outputs[:, self.unit]
        return outputs.gather(1, self.unit[:, None])[:, 0]

    def rows(self, index: Rows, /) -> _Unit:
        return self if isinstance(self.unit, int) else _Unit(self.unit[index])


def activation(extractor: Callable[[Images], Features], *, unit: int | Labels = 0) -> OnModel[Scores]:
    """Return the activation of one unit of an extractor, the same for all examples or one each."""
    return OnModel(extractor, _Unit(unit))


@dataclass(frozen=True)
class _Match:
    features: Features
    size: Scores

    def __call__(self, outputs: Tensor, /) -> Scores:
        distance: Scores = torch.linalg.vector_norm(outputs - self.features, dim=1)
        return -distance / self.size

    def rows(self, index: Rows, /) -> _Match:
        return _Match(self.features[index], self.size[index])


def match(extractor: Callable[[Images], Features], features: Features, *, relative: bool = False) -> OnModel[Scores]:
    """Return how near the representation is to `features`, -|g(x) - features|_2, over |features|_2 if `relative`.

    Source: Ilyas et al. 2019, section 3.1 (absolute); Engstrom et al. 2019, section 4.1 (relative).
    """
    features = features.detach()
    size = features.norm(dim=1).clamp_min(1e-12) if relative else torch.ones_like(features[:, 0])
    return OnModel(extractor, _Match(features, size))


@dataclass(frozen=True)
class StayNear(Objective):
    """How little the images change where they should not; see `stay_near`."""

    images: Images
    weight: Mask

    def __call__(self, images: Images, /) -> Scores:
        """Return the negative weighted mean squared distance."""
        distance: Scores = (self.weight * (images - self.images)).square().flatten(1).mean(dim=1)
        return -distance

    def rows(self, index: Rows) -> StayNear:
        """Return the objective of some of the examples."""
        shared = self.weight.dim() < self.images.dim() or self.weight.shape[0] == 1
        return StayNear(self.images[index], self.weight if shared else self.weight[index])


def stay_near(images: Images, *, mask: Mask | None = None) -> StayNear:
    """Return -mean((1 - mask)^2 (x - images)^2): how little x changes outside the mask (everywhere without one).

    Source: Santurkar et al. 2019, appendix A.6 (the penalty of in-painting).
    """
    weight = torch.ones_like(images[:1]) if mask is None else 1 - mask.to(images)
    return StayNear(images.detach(), weight)
