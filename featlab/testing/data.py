"""The laws of data sets, and the check that asks them all."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch

from featlab.datasets import Dataset
from featlab.testing.laws import Law, Trial, Verdict, demand

MOST: Final = 512
"""So many rows are looked at, spread over the data."""


@dataclass(frozen=True, eq=False)
class Opening:
    """What opens one part of a data set."""

    make: Callable[[], Dataset]

    @cached_property
    def data(self) -> Dataset:
        """The data set, opened once."""
        return self.make()

    @cached_property
    def rows(self) -> torch.Tensor:
        """The rows that are looked at."""
        count = len(self.data)
        return torch.linspace(0, count - 1, min(count, MOST), dtype=torch.float64).long()


def data_set(case: Opening) -> None:
    """What opens a data set returns a featlab.Dataset with at least one row."""
    assert isinstance(case.data, Dataset), f"it must return a featlab.Dataset, got {type(case.data).__name__}"
    assert len(case.data) > 0, "a data set must have rows"


def images_range(case: Opening) -> None:
    """Images are float32 of the stated shape, with values in [0, 1]."""
    images = case.data.images(case.rows)
    assert images.dtype == torch.float32, f"images must be read as float32, got {images.dtype}"
    wanted = (len(case.rows), *case.data.shape)
    assert tuple(images.shape) == wanted, f"images must have shape {wanted}, got {tuple(images.shape)}"
    assert bool(((images >= 0) & (images <= 1)).all()), "images must have values in [0, 1]"


def labels_named(case: Opening) -> None:
    """Every label is the index of a class, each class has a name of its own, and there is more than one label."""
    labels, classes = case.data.labels, case.data.classes
    assert len(labels) == case.data.pixels.shape[0], "there must be one label per image"
    assert bool(((labels >= 0) & (labels < len(classes))).all()), f"labels must lie in 0 to {len(classes) - 1}"
    assert len(set(classes)) == len(classes), "two classes have the same name"
    assert len(labels.unique()) > 1, "all labels are the same, so there is nothing to classify"


def rows_apart(case: Opening) -> None:
    """A row is the same image whichever rows are asked for with it, and is the reader's own to change."""
    images = case.data.images(case.rows)
    kept, backwards = images.clone(), case.data.images(case.rows.flip(0))
    assert torch.equal(backwards.flip(0), kept), "a row must not depend on the order in which rows are asked for"
    images.zero_()
    assert torch.equal(case.data.images(case.rows), kept), "images must be copies: a reader may write to them"


def deterministic(case: Opening) -> None:
    """Opened again, the data are the same."""
    again = case.make()
    assert again.classes == case.data.classes, "opened again, the classes must be the same"
    assert torch.equal(again.labels, case.data.labels), "opened again, the labels must be the same"
    equal = torch.equal(again.images(case.rows), case.data.images(case.rows))
    assert equal, "opened again, the images must be the same"


DATASET_LAWS: Final[tuple[Law, ...]] = (data_set, images_range, labels_named, rows_apart, deterministic)


def check_dataset(make: Callable[[], Dataset], *, exempt: Collection[str] = ()) -> None:
    """Check the laws of data sets on the part that `make` opens; AssertionError names the first that is broken.

    At most 512 rows are looked at, spread over the data. `exempt` names laws that the data do not claim to hold.
    """
    demand(judge_dataset(make, exempt=exempt))


def judge_dataset(make: Callable[[], Dataset], *, exempt: Collection[str] = ()) -> list[Verdict]:
    """Return what became of every law; the arguments are those of `check_dataset`."""
    trial = Trial(DATASET_LAWS, exempt)
    trial.ask(Opening(make))
    return trial.verdicts
