"""The published layout of constructed data sets: torch-saved lists of batches, `CIFAR_ims` and `CIFAR_lab`.

Source: the data release of Ilyas et al. 2019 (MadryLab constructed-datasets), where `torch.cat` joins what is loaded.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from featlab.data import check_images, check_labels
from featlab.datasets.constructed import ConstructedWriter
from featlab.datasets.dataset import CHUNK, Dataset, check_label_range, named
from featlab.datasets.layout import file_sha256
from featlab.datasets.sources import CIFAR10
from featlab.files import written_whole

IMAGES: Final = "CIFAR_ims"
LABELS: Final = "CIFAR_lab"


def import_constructed(source: Path, path: Path, *, classes: Sequence[str] = CIFAR10.classes) -> Dataset:
    """Write the set in the folder `source` (CIFAR_ims, CIFAR_lab) as a constructed set at `path`, and open it.

    Raises FileNotFoundError if a file is missing, ValueError if one is not as published. No pickle is executed.
    """
    images, labels = _load(source / IMAGES).float(), _load(source / LABELS).long()
    if images.dim() != 4:
        raise ValueError(
            f"{source / IMAGES} must hold images (count, channels, height, width); got {images.dim()} axes"
        )
    with named(str(source)):
        check_images(images)
        check_labels(labels, count=len(images))
    check_label_range(labels, classes=len(classes), name=str(source / LABELS))
    writer = ConstructedWriter(
        path,
        recipe={"imported": f"{IMAGES}, {LABELS}"},
        provenance={"sha256": {name: file_sha256(source / name) for name in (IMAGES, LABELS)}},
        total=len(images),
        shape=images.shape[1:],
        classes=classes,
    )
    for rows in writer.pending():
        here = slice(rows.start, rows.stop)
        writer.write(rows, images[here], labels[here])
    return writer.finish()


def export_constructed(data: Dataset, folder: Path) -> tuple[Path, Path]:
    """Write a data set as `CIFAR_ims` and `CIFAR_lab` into a folder, and return both paths.

    All images are in memory once, as this layout has no parts. Raises ValueError if one of the files is there already.
    """
    paths = (folder / IMAGES, folder / LABELS)
    for path in paths:
        if path.exists():
            raise ValueError(f"{path} is there already; move it away or choose another folder")
    batches = list(data.batches(CHUNK))
    for path, column in zip(paths, (0, 1), strict=True):
        with written_whole(path) as temporary:
            torch.save([batch[column] for batch in batches], temporary)
    return paths


def _load(path: Path) -> Tensor:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is no torch-saved tensor or list of tensors") from error
    parts = list(value) if isinstance(value, list | tuple) else [value]
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        raise ValueError(f"{path} must hold a tensor or a list of tensors; got {type(value).__name__}")
    try:
        return torch.cat(parts)
    except RuntimeError as error:
        raise ValueError(f"{path} holds batches that do not fit together ({error})") from error
