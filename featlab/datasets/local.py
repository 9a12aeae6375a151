"""Data of one's own: a folder of pictures with one folder per class, or an .npz file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from featlab.datasets.dataset import Dataset, Split

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".pgm", ".gif", ".tif", ".tiff"})
MODES: Final = {1: "L", 3: "RGB"}
DEEP_MODES: Final = ("I", "F")
TEST_FOLDERS: Final = ("test", "val")
ARRAY_NAMES: Final = (("images", "labels"), ("x", "y"))


@dataclass(frozen=True, eq=False)
class PictureFiles:
    """Pictures that are decoded when they are asked for."""

    files: Sequence[Path]
    height: int
    width: int
    channels: int
    resize: bool

    @property
    def shape(self) -> torch.Size:
        """The shape (count, channels, height, width)."""
        return torch.Size((len(self.files), self.channels, self.height, self.width))

    @property
    def dtype(self) -> torch.dtype:
        """Pictures are bytes."""
        return torch.uint8

    def __getitem__(self, index: Tensor, /) -> Tensor:
        rows = np.empty((len(index), *self.shape[1:]), dtype=np.uint8)
        for row, number in zip(rows, index.tolist(), strict=True):
            row[:] = self._decode(self.files[number])
        return torch.from_numpy(rows)

    def _decode(self, file: Path) -> NDArray[np.uint8]:
        try:
            with Image.open(file) as stored:
                picture = stored.convert(MODES[self.channels])
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{file} cannot be decoded ({error}); mend or remove it") from error
        if self.resize:
            picture = _cover(picture, self.width, self.height)
        if picture.size != (self.width, self.height):
            raise ValueError(f"{file} has {picture.size} pixels now, it had {(self.width, self.height)} before")
        pixels = np.asarray(picture)
        return pixels[None] if self.channels == 1 else pixels.transpose(2, 0, 1)


def open_folder(
    path: Path, *, train: bool, size: int | None = None, channels: int = 3, root: Path | None = None
) -> Dataset:
    """Return the pictures of a folder with one folder per class; classes are in the order of their names.

    If the folder holds `train` and `test` (or `val`), `train` says which is meant; otherwise there is one part only.
    With `size` the shorter side becomes `size` pixels and the middle square is kept; without, all must have one size.
    Files that are no pictures by their name are left out. An orientation note in a picture is not followed.
    """
    del root
    if channels not in MODES:
        raise ValueError(f"channels must be 1 (grey) or 3 (colour); got {channels}")
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1 pixel; got {size}")
    folder, split, classes = _part_folder(Path(path), train=train)
    files, labels = _list_pictures(folder, classes)
    width, height = (size, size) if size is not None else _common_size(files)
    return Dataset(
        pixels=PictureFiles(files, height, width, channels, resize=size is not None),
        labels=torch.tensor(labels, dtype=torch.int64),
        classes=classes,
        name=f"folder:{path}",
        split=split,
    )


def open_npz(path: Path, *, train: bool, root: Path | None = None) -> Dataset:
    """Return the data of an .npz file: arrays `images`, `labels` or `x`, `y`, or those with `_train` and `_test` added.

    Images are uint8, or floats in [0, 1]; (count, height, width), channels second, or channels last. Labels are whole
    numbers; `classes` may name them. Raises ValueError for anything else; pickled objects are never loaded.
    """
    del root
    file = Path(path)
    arrays = _read_npz(file)
    images, labels, split = _pick_arrays(arrays, file, train=train)
    return Dataset(
        pixels=_channels_second(images, file),
        labels=torch.from_numpy(_whole_labels(labels, file)),
        classes=_class_names(arrays, file),
        name=f"npz:{path}",
        split=split,
    )


def _part_folder(folder: Path, *, train: bool) -> tuple[Path, Split, tuple[str, ...]]:
    """Return the folder of a part, which part it is, and the classes, which are those of the training part for both."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    tests = [folder / name for name in TEST_FOLDERS if (folder / name).is_dir()]
    if not (folder / "train").is_dir() or not tests:
        return folder, "all", _class_folders(folder)
    classes = _class_folders(folder / "train")
    if strange := set(_class_folders(tests[0])) - set(classes):
        raise ValueError(
            f"{tests[0]} has a class {min(strange)!r} that {folder / 'train'} does not have; add or remove it"
        )
    return (folder / "train", "train", classes) if train else (tests[0], "test", classes)


def _class_folders(folder: Path) -> tuple[str, ...]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise ValueError(f"{folder} must hold one folder of pictures per class; it holds no folder")
    return tuple(names)


def _list_pictures(folder: Path, classes: Sequence[str]) -> tuple[list[Path], list[int]]:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(file for file in (folder / name).rglob("*") if _is_picture(file))
        if not found:
            raise ValueError(f"class folder {folder / name} holds no picture ({', '.join(sorted(SUFFIXES))}); add some")
        files += found
        labels += [label] * len(found)
    return files, labels


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _common_size(files: Sequence[Path]) -> tuple[int, int]:
    first = _picture_size(files[0])
    for file in files[1:]:
        if (size := _picture_size(file)) != first:
            raise ValueError(
                f"all pictures must have one size; {files[0]} has {first[0]} x {first[1]} pixels and {file} has "
                f"{size[0]} x {size[1]}: give a common one, as in folder:PATH?size=64"
            )
    return first


def _picture_size(file: Path) -> tuple[int, int]:
    try:
        with Image.open(file) as picture:
            mode, size = picture.mode, picture.size
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file} is named like a picture but is none ({error}); mend or remove it") from error
    if mode.startswith(DEEP_MODES):
        raise ValueError(f"{file} has more than 8 bits per value; convert it to 8 bits, or use an .npz of floats")
    return size


def _cover(picture: Image.Image, width: int, height: int) -> Image.Image:
    scale = max(width / picture.width, height / picture.height)
    scaled = (max(width, round(picture.width * scale)), max(height, round(picture.height * scale)))
    left, top = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    resized = picture.resize(scaled, Image.Resampling.BICUBIC)
    return resized.crop((left, top, left + width, top + height))


def _read_npz(file: Path) -> Mapping[str, NDArray[np.generic]]:
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    try:
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array without a name")
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} is no .npz file of plain arrays: {error}") from error


def _pick_arrays(
    arrays: Mapping[str, NDArray[np.generic]], file: Path, *, train: bool
) -> tuple[NDArray[np.generic], NDArray[np.generic], Split]:
    split: Split = "train" if train else "test"
    for images, labels in ARRAY_NAMES:
        for ending, part in ((f"_{split}", split), ("", "all")):
            if images + ending in arrays and labels + ending in arrays:
                return arrays[images + ending], arrays[labels + ending], part  # type: ignore[return-value]
    raise ValueError(
        f"{file} must hold arrays images and labels, or x and y (or x_{split} and y_{split}); it holds {sorted(arrays)}"
    )


def _channels_second(images: NDArray[np.generic], file: Path) -> Tensor:
    """Return images as (count, channels, height, width) in uint8 or float32."""
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise ValueError(f"{file}: images must be uint8 or floats in [0, 1]; got {images.dtype}")
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[1] not in MODES and images.shape[3] in MODES:
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in MODES:
        raise ValueError(
            f"{file}: images must be (count, height, width) with 1 or 3 channels beside; got {images.shape}"
        )
    stored = images if images.dtype == np.uint8 else images.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(stored))


def _whole_labels(labels: NDArray[np.generic], file: Path) -> NDArray[np.int64]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"{file}: labels must be whole numbers, one per image; got {labels.dtype} of {labels.shape}")
    return labels.astype(np.int64)


def _class_names(arrays: Mapping[str, NDArray[np.generic]], file: Path) -> tuple[str, ...]:
    """Return the names in `classes`; without them, one number per class up to the largest label of any part."""
    if "classes" in arrays:
        return tuple(str(name) for name in np.atleast_1d(arrays["classes"]).astype(str))
    names = [name + ending for _, name in ARRAY_NAMES for ending in ("", "_train", "_test")]
    largest = max(int(_whole_labels(arrays[name], file).max(initial=0)) for name in names if name in arrays)
    return tuple(str(label) for label in range(largest + 1))
