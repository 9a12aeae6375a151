"""The embedded data: a real, class-balanced subset of Fashion-MNIST.

Fashion-MNIST: Xiao, Rasul and Vollgraf 2017, MIT licence (embedded/LICENSE). Training images come from its training
set, test images from its test set; `fashion-mini.json` records which.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from featlab.datasets.dataset import Dataset
from featlab.datasets.mosaic import read_mosaic, write_mosaic
from featlab.datasets.ranks import balanced_rows

NAME: Final = "fashion-mini"
COUNTS: Final = {"train": 12_000, "test": 2_000}
SEED: Final = 0
ROWS_PER_PICTURE: Final = 6_000
SIDE: Final = 28
CLASSES: Final = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True)
class Part:
    """What is recorded of the training or the test part."""

    pictures: tuple[str, ...]
    source_index: NDArray[np.int64]
    labels: NDArray[np.int64]
    sha256: str


def open_fashion_mini(*, train: bool, root: Path | None = None) -> Dataset:
    """Return the embedded subset: 12,000 training or 2,000 test images, 1 x 28 x 28, equally many per class.

    Column `source_index` is each image's row in the full Fashion-MNIST part. `root` is not used: nothing is on disk.
    Raises ValueError where the installed files are not those that were released.
    """
    del root
    split = "train" if train else "test"
    part = read_part(embedded(), split)
    images = np.concatenate([read_mosaic(embedded() / name, height=SIDE, width=SIDE) for name in part.pictures])
    data = Dataset(
        pixels=torch.from_numpy(images[:, None]),
        labels=torch.from_numpy(part.labels),
        classes=CLASSES,
        name=NAME,
        split="train" if train else "test",
        columns={"source_index": torch.from_numpy(part.source_index)},
        facts={"licence": "MIT", "citation": "Xiao, Rasul and Vollgraf 2017"},
    )
    if data.sha256 != part.sha256:
        raise ValueError(f"the embedded {NAME} {split} images are damaged; install featlab again")
    return data


def embedded() -> Path:
    """Return the folder of the embedded files."""
    return Path(str(files("featlab.datasets"))) / "embedded"


def read_part(folder: Path, split: str) -> Part:
    """Return what `fashion-mini.json` records of a part."""
    part = json.loads((folder / f"{NAME}.json").read_text(encoding="utf-8"))["parts"][split]
    return Part(
        pictures=tuple(part["pictures"]),
        source_index=np.array(part["source_index"], dtype=np.int64),
        labels=np.array([int(digit) for digit in part["labels"]], dtype=np.int64),
        sha256=part["sha256"],
    )


def choose(full: Dataset) -> Dataset:
    """Return the rows of a full Fashion-MNIST part that belong to the subset."""
    rows = balanced_rows(full.labels.numpy(), count=COUNTS[full.split], seed=SEED)
    return full.select(torch.from_numpy(rows))


def write_embedded(train: Dataset, test: Dataset, folder: Path) -> None:
    """Write the subset's pictures and `fashion-mini.json`, from the full training and test parts."""
    parts = {full.split: _write_part(full, folder) for full in (train, test)}
    record = {"name": NAME, "source": "fashion-mnist", "seed": SEED, "classes": list(CLASSES), "parts": parts}
    (folder / f"{NAME}.json").write_text(json.dumps(record) + "\n", encoding="utf-8")


def _write_part(full: Dataset, folder: Path) -> dict[str, object]:
    chosen = choose(full)
    rows = balanced_rows(full.labels.numpy(), count=COUNTS[full.split], seed=SEED)
    images = chosen.pixels[torch.arange(len(chosen))].numpy()[:, 0]
    names = []
    for first in range(0, len(images), ROWS_PER_PICTURE):
        names.append(f"{NAME}-{full.split}-{first // ROWS_PER_PICTURE}.png")
        write_mosaic(images[first : first + ROWS_PER_PICTURE], folder / names[-1])
    return {
        "pictures": names,
        "source_index": rows.tolist(),
        "labels": "".join(str(label) for label in chosen.labels.tolist()),
        "sha256": chosen.sha256,
    }
