"""The names of the field's values: each says what a tensor holds and which shape it has."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

Images = Float[Tensor, "batch *shape"]
"""Inputs of a classifier, each value in [0, 1]. Pictures are (batch, channels, height, width); any shape is allowed."""

Points = Float[Tensor, "batch *point"]
"""What a threat model moves. The images themselves for a pixel ball; poses, flows or spectra for others."""

Labels = Integer[Tensor, "batch"]
"""Class indices."""

Logits = Float[Tensor, "batch classes"]
"""Unnormalised class scores."""

Features = Float[Tensor, "batch features"]
"""What an extractor reads off a classifier."""

Scores = Float[Tensor, "batch"]
"""One number per example; larger is better."""

Verdicts = Bool[Tensor, "batch"]
"""One truth value per example."""

Mask = Float[Tensor, "..."]
"""1 where something may change, 0 where it may not; broadcasts against images."""

Rows = Integer[Tensor, "rows"]
"""Indices into the batch dimension."""

PerExample = float | Float[Tensor, "batch"]
"""One value for all examples, or one each."""

Counts = int | Integer[Tensor, "batch"]
"""One whole number for all examples, or one each."""

Seeds = Integer[Tensor, "batch"]
"""The identity of each example, which keys its random numbers whatever the batch that it happens to be in."""


@runtime_checkable
class FeatureExtractor(Protocol):
    """Any callable from images to (batch, features)."""

    def __call__(self, images: Images, /) -> Features:
        """Return one row of features per image."""
        ...


def rows_of(value: PerExample, index: Rows) -> PerExample:
    """Return the rows of a per-example value; a value shared by all examples is returned as it is."""
    return value[index] if isinstance(value, torch.Tensor) else value


LogitsHead = Callable[[Logits], Scores]


class Progress(Protocol):
    """What is told of long work: a stage, and how much of it is done."""

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        """Take note."""
        ...


def silent(stage: str, done: int, total: int, /) -> None:
    """Take no note."""
