"""Broken data sets, each caught by the name of the law that it breaks."""

import itertools
from dataclasses import dataclass, replace

import pytest
import torch

import featlab as fl
from featlab.testing import DATASET_LAWS, check_dataset, name_of, text_of

PIXELS = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def data(**options):
    chosen = {"pixels": PIXELS.clone(), "labels": torch.arange(6) % 2, "classes": ("a", "b"), "name": "dots"}
    return fl.Dataset(**{**chosen, **options})


@dataclass
class Reader:
    """Stored images whose rows are read by a function of the rows."""

    read: object
    shape: torch.Size = PIXELS.shape
    dtype: torch.dtype = torch.float32

    def __getitem__(self, index):
        return self.read(index)


class Shared(fl.Dataset):
    """Rows that are the stored ones."""

    def images(self, index, /):
        return self.pixels.flip(0) if index[0] else self.pixels


def drawn():
    count = itertools.count()
    return lambda: data(pixels=(PIXELS * 0.9 + 0.01 * next(count)).clamp(0, 1))


BROKEN = [
    ("data-set", lambda: PIXELS),
    ("data-set", lambda: data(pixels=PIXELS[:0], labels=torch.arange(0))),
    ("images-range", lambda: data(pixels=Reader(lambda index: PIXELS[index] * 255))),
    ("images-range", lambda: data(pixels=Reader(lambda index: PIXELS[index, :, :2]))),
    ("images-range", lambda: data(pixels=Reader(lambda index: PIXELS[index].double()))),
    ("labels-named", lambda: data(classes=("a", "a"))),
    ("labels-named", lambda: data(labels=torch.zeros(6, dtype=torch.int64))),
    ("rows-apart", lambda: data(pixels=Reader(lambda index: PIXELS[index.sort().values]))),
    ("rows-apart", lambda: Shared(**{**vars(data()), "pixels": PIXELS.clone()})),
    ("deterministic", drawn()),
]


@pytest.mark.parametrize(("law", "make"), BROKEN, ids=[f"{n}-{law}" for n, (law, _) in enumerate(BROKEN)])
def test_broken_data_are_caught_by_the_name_of_their_law(law, make):
    with pytest.raises(AssertionError, match=rf"^{law}: "):
        check_dataset(make)


def test_every_law_is_broken_by_some_data():
    assert {law for law, _ in BROKEN} == {name_of(law) for law in DATASET_LAWS}
    assert all(text_of(law).endswith(".") for law in DATASET_LAWS)


def test_featlabs_own_hold_the_kit():
    check_dataset(lambda: fl.open_data("fashion-mini", train=False))
    check_dataset(lambda: replace(data(), name="other"))
