"""The laws of extractors, and the check that asks them all."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from torch import Tensor, nn

from featlab.testing.laws import Law, NotAsked, Trial, Verdict, demand, same, unchanged
from featlab.testing.models import Kept
from featlab.testing.strategies import arrangements
from featlab.types import FeatureExtractor, Features, Images


@dataclass(frozen=True, eq=False)
class Extraction:
    """What makes an extractor, the images to ask it about, and the model that it may read."""

    make: Callable[[], FeatureExtractor]
    images: Images
    model: nn.Module | None

    @cached_property
    def extract(self) -> FeatureExtractor:
        """The extractor, made once."""
        return self.make()

    @cached_property
    def features(self) -> Features:
        """What the extractor says of the images."""
        return self.extract(self.images.clone()).detach()


def features_shape(case: Extraction) -> None:
    """There is one row of features per image, (batch, features), of a floating type."""
    features = case.features
    assert features.dim() == 2, f"features must be (batch, features), got shape {tuple(features.shape)}"
    assert len(features) == len(case.images), f"there must be one row of features per image, got {len(features)}"
    assert features.is_floating_point(), f"features must have a floating type, got {features.dtype}"


def features_finite(case: Extraction) -> None:
    """Features are finite."""
    assert bool(torch.isfinite(case.features).all()), "features must be finite"


def arguments_unchanged(case: Extraction) -> None:
    """An extractor does not change the images."""
    with unchanged("an extractor", case.images):
        case.extract(case.images)


def deterministic(case: Extraction) -> None:
    """Features are a function of the images alone: the same when asked again, and of an extractor made again."""
    again = case.extract(case.images.clone())
    assert torch.equal(again, case.features), "features must be a function of the images alone"
    assert torch.equal(case.make()(case.images.clone()), case.features), "an extractor made again must say the same"


def model_kept(case: Extraction) -> None:
    """An extractor leaves the model as it found it: modes, gradient flags, gradients, weights, buffers and hooks."""
    if case.model is None:
        raise NotAsked("asked where the model is given, with model=")
    for training in (False, True):
        with Kept(case.model, training=training):
            case.make()(case.images.clone())


def examples_apart(case: Extraction) -> None:
    """The features of an image do not depend on the other images, nor does their gradient."""
    rule = "images must not influence each other"
    for some in ([1], [len(case.images) - 1, 0]):
        _near(rule, case.extract(case.images[some]), case.features[some])
    points = case.images.clone().requires_grad_()
    mine = case.extract(points)[0].sum()
    if mine.requires_grad:
        (grad,) = torch.autograd.grad(mine, points, allow_unused=True)
        assert grad is None or not bool((grad[1:] != 0).any()), rule


def features_gradient(case: Extraction) -> None:
    """Features have a finite gradient with respect to their image, which is not zero everywhere."""
    points = case.images.clone().requires_grad_()
    total = case.extract(points).sum()
    assert total.requires_grad, "the features must have a gradient with respect to their image"
    (grad,) = torch.autograd.grad(total, points, allow_unused=True)
    has_grad = grad is not None and bool((grad != 0).any())
    assert has_grad, "the features must have a gradient with respect to their image"
    assert bool(torch.isfinite(grad).all()), "the gradient of the features must be finite"


def layouts(case: Extraction) -> None:
    """How the images lie in memory (channels last, transposed, strided) does not change the features."""
    for name, layout in arrangements(case.images.dim()):
        _near(f"features of images in the layout {name}", case.extract(layout(case.images)), case.features)


def _near(rule: str, got: Tensor, wanted: Tensor) -> None:
    same(rule, got.detach(), wanted, rtol=1e-4, atol=1e-5)


EXTRACTOR_LAWS: Final[tuple[Law, ...]] = (
    features_shape,
    features_finite,
    arguments_unchanged,
    deterministic,
    model_kept,
    features_gradient,
    examples_apart,
    layouts,
)


def check_extractor(
    make: Callable[[], FeatureExtractor],
    *,
    images: Images,
    model: nn.Module | None = None,
    exempt: Collection[str] = (),
) -> None:
    """Check the laws of extractors on at least two images; AssertionError names the first that is broken.

    `make` is called anew where an extractor must be new. Given the `model` that the extractor reads, its hooks, modes,
    weights and gradients must be as they were. `exempt` names laws that this extractor does not claim to hold.
    """
    demand(judge_extractor(make, images=images, model=model, exempt=exempt))


def judge_extractor(
    make: Callable[[], FeatureExtractor],
    *,
    images: Images,
    model: nn.Module | None = None,
    exempt: Collection[str] = (),
) -> list[Verdict]:
    """Return what became of every law; the arguments are those of `check_extractor`."""
    if len(images) < 2:
        raise ValueError(f"an extractor is checked on at least 2 images, got {len(images)}")
    trial = Trial(EXTRACTOR_LAWS, exempt)
    trial.ask(Extraction(make, images, model))
    return trial.verdicts
