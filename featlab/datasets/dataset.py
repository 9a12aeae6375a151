"""A data set: rows of images that need not fit into memory, and their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Literal, Protocol

import torch
from torch import Tensor

from featlab.data import batches, check_images, check_labels
from featlab.datasets.ranks import balanced_rows
from featlab.types import Images, Labels, Rows

Split = Literal["train", "test", "all"]
"""Which part of its source a data set is; "all" where the source has one part only."""

CHUNK = 1024
"""Rows that are read at a time where all rows pass through memory."""


class Pixels(Protocol):
    """Stored images (count, channels, height, width), uint8 or float32. A tensor is one; so is anything on a disk."""

    @property
    def shape(self) -> torch.Size:
        """The shape (count, channels, height, width)."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """torch.uint8 (0 to 255) or torch.float32 (0 to 1)."""
        ...

    def __getitem__(self, index: Tensor, /) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Selection:
    """Some rows of stored images, read when they are asked for."""

    pixels: Pixels
    rows: Rows

    @property
    def shape(self) -> torch.Size:
        """The shape (count, channels, height, width)."""
        return torch.Size((len(self.rows), *self.pixels.shape[1:]))

    @property
    def dtype(self) -> torch.dtype:
        """The type of the stored images."""
        return self.pixels.dtype

    def __getitem__(self, index: Tensor, /) -> Tensor:
        return self.pixels[self.rows[index]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Labelled images, stored as uint8 or float32 and read by rows as float32 in [0, 1].

    `columns` holds further whole numbers per row (for instance `source_index`), `facts` what is known about the origin.
    A column `group`, whose names are `facts["groups"]`, sorts classes into few groups: an audit then asks features to
    tell these apart, where there are too few images of each class.
    Raises ValueError where shapes, types, labels or values in memory are not as they should be.
    """

    pixels: Pixels
    labels: Labels
    classes: tuple[str, ...]
    name: str
    split: Split = "all"
    columns: Mapping[str, Tensor] = field(default_factory=lambda: MappingProxyType({}))
    facts: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        check_pixels(self.pixels, name=self.name)
        with named(self.name):
            check_labels(self.labels, count=self.pixels.shape[0])
        check_label_range(self.labels, classes=len(self.classes), name=self.name)
        for column, values in self.columns.items():
            if values.dtype != torch.int64 or values.shape != self.labels.shape:
                raise ValueError(
                    f"{self.name}: column {column!r} must be int64 of shape ({len(self)},), one number per image; "
                    f"got {values.dtype} of shape {tuple(values.shape)}"
                )

    def __repr__(self) -> str:
        shape = " x ".join(str(size) for size in self.shape)
        return (
            f"Dataset({self.name!r}, split={self.split!r}, {len(self)} images of {shape}, {len(self.classes)} classes)"
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image: channels, height, width."""
        return tuple(self.pixels.shape[1:])

    def images(self, index: Rows, /) -> Images:
        """Return some rows as float32 images in [0, 1], a new tensor; a byte b becomes b / 255."""
        rows = self.pixels[torch.as_tensor(index, device="cpu")]
        return rows.float().div_(255) if rows.dtype == torch.uint8 else rows

    def batches(self, size: int) -> Iterator[tuple[Images, Labels, Rows]]:
        """Yield the images, labels and indices of consecutive batches of at most `size` rows, in order."""
        if size < 1:
            raise ValueError(f"a batch must have at least 1 row; got {size}")
        yield from batches(self, size)

    def tensors(self) -> tuple[Images, Labels]:
        """Return all images as float32 in [0, 1], and all labels; everything is in memory then."""
        return self.images(torch.arange(len(self))), self.labels.clone()

    def select(self, rows: Rows) -> Dataset:
        """Return some rows, in the order given, without reading their images."""
        return replace(
            self,
            pixels=Selection(self.pixels, rows),
            labels=self.labels[rows],
            columns={name: values[rows] for name, values in self.columns.items()},
        )

    def subset(self, count: int, seed: int = 0) -> Dataset:
        """Return `count` rows, spread over the classes as evenly as the data allow.

        A function of the labels, `count` and `seed` alone; a smaller subset is part of a larger one of the same seed.
        """
        return self.select(torch.from_numpy(balanced_rows(self.labels.numpy(), count=count, seed=seed)))

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the decoded arrays as they are stored: type and shape, then bytes, of images and labels."""
        return digest(self.pixels, self.labels)


def digest(pixels: Pixels, labels: Labels) -> str:
    """Return the SHA-256 of images and labels: of each, type and shape as text, then its little-endian bytes."""
    sha = hashlib.sha256(_header(pixels.shape, pixels.dtype))
    for first in range(0, pixels.shape[0], CHUNK):
        last = min(first + CHUNK, pixels.shape[0])
        rows = pixels[first:last] if isinstance(pixels, Tensor) else pixels[torch.arange(first, last)]
        sha.update(rows.contiguous().numpy().data)
    sha.update(_header(labels.shape, labels.dtype))
    sha.update(labels.contiguous().numpy().data)
    return sha.hexdigest()


def check_pixels(pixels: Pixels, *, name: str) -> None:
    """Refuse stored images that are not (count, channels, height, width) in uint8, or in float32 within [0, 1].

    Values are looked at only where they are in memory already; a file's were checked when it was written.
    """
    if pixels.dtype not in (torch.uint8, torch.float32) or len(pixels.shape) != 4:
        raise ValueError(
            f"{name}: images must be uint8 or float32 of shape (count, channels, height, width); "
            f"got {pixels.dtype} of shape {tuple(pixels.shape)}"
        )
    if isinstance(pixels, Tensor) and pixels.dtype == torch.float32:
        with named(name):
            check_images(pixels)


def check_label_range(labels: Labels, *, classes: int, name: str) -> None:
    """Refuse labels outside 0 to classes - 1."""
    if labels.numel() == 0:
        return
    low, high = (int(value) for value in torch.aminmax(labels))
    if low < 0 or high >= classes:
        raise ValueError(
            f"{name}: labels must lie between 0 and {classes - 1}, as there are {classes} classes; "
            f"got labels from {low} to {high}"
        )


@contextmanager
def named(name: str) -> Iterator[None]:
    """Put the name of the data before what a check complains of."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _header(shape: torch.Size, dtype: torch.dtype) -> bytes:
    return f"{dtype} {tuple(shape)}\n".encode()
