"""Data by name."""

from __future__ import annotations

from pathlib import Path

from featlab.datasets.dataset import Dataset
from featlab.datasets.fashion_mini import open_fashion_mini
from featlab.names import lookup
from featlab.types import Images, Labels


def open_data(name: str, *, train: bool, root: Path | None = None, count: int | None = None) -> Dataset:
    """Return a data set by name, with `count` rows spread evenly over the classes if given."""
    data = lookup("data", name, {"fashion-mini": open_fashion_mini})(train=train, root=root)
    return data if count is None else data.subset(count)


def load_data(name: str, *, train: bool, count: int | None = None, root: Path | None = None) -> tuple[Images, Labels]:
    """Return the images (float32 in [0, 1]) and labels of a data set, in memory; `open_data` does not load all."""
    return open_data(name, train=train, root=root, count=count).tensors()
