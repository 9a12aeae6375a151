"""What training and evaluation need of data: rows of images, and labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from featlab.types import Images, Labels, Rows


class Data(Protocol):
    """Labelled images that need not fit into memory."""

    @property
    def labels(self) -> Labels:
        """The class index of every example."""
        ...

    def images(self, index: Rows, /) -> Images:
        """Return some rows as float images in [0, 1]."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class TensorData:
    """Images and labels in memory."""

    pixels: Images
    labels: Labels

    def images(self, index: Rows, /) -> Images:
        """Return some rows of the images."""
        return self.pixels[index]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of data, read when they are asked for."""

    data: Data
    index: Rows

    @property
    def labels(self) -> Labels:
        """Their labels."""
        return self.data.labels[self.index]

    def images(self, index: Rows, /) -> Images:
        """Return some of them."""
        return self.data.images(self.index[index])

    def __len__(self) -> int:
        return len(self.index)


def as_data(data: Data | tuple[Images, Labels]) -> Data:
    """Return a pair of tensors as data, after checking it; data is returned as it is."""
    if not isinstance(data, tuple):
        return data
    images, labels = data
    check_images(images)
    check_labels(labels, count=len(images))
    return TensorData(images, labels)


def batches(data: Data, size: int) -> Iterator[tuple[Images, Labels, Rows]]:
    """Yield images, labels and indices of consecutive batches, in order."""
    for first in range(0, len(data), size):
        index = torch.arange(first, min(first + size, len(data)))
        yield data.images(index), data.labels[index], index


def check_images(images: Images) -> None:
    """Refuse images that are not floating-point, finite and in [0, 1]."""
    if not images.is_floating_point() or images.dim() < 2:
        raise ValueError(
            f"images must be floating-point of shape (batch, ...), got {images.dtype} of shape {tuple(images.shape)}; "
            "convert uint8 images with images.float() / 255"
        )
    if images.numel() == 0:
        return
    low, high = (float(value) for value in torch.aminmax(images))
    if not (low >= 0 and high <= 1):  # Written so that NaN is refused too.
        raise ValueError(
            f"images must lie in [0, 1], got values from {low:g} to {high:g}; "
            "pass unnormalised images: the classifier normalises by itself"
        )


def check_labels(labels: Labels, *, count: int) -> None:
    """Refuse labels that are not one class index per image."""
    if labels.dtype != torch.int64 or tuple(labels.shape) != (count,):
        raise ValueError(
            f"labels must be int64 of shape ({count},), one per image; got {labels.dtype} of shape "
            f"{tuple(labels.shape)}"
        )
