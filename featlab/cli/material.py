"""What a task is given on the command line: images, classes, masks and references, from data sets, files or text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from torch import Tensor

    from featlab.datasets import Dataset
    from featlab.models import Classifier


@dataclass(frozen=True)
class Asked:
    """The options of every task's command, as they were given."""

    data: str | None
    root: Path | None
    images: tuple[Path, ...]
    index: str | None
    count: int
    start: str
    spoil: tuple[str, ...]
    as_is: bool
    classes: tuple[str, ...]
    mask: str | None
    reference: tuple[str, ...]
    unit: str | None
    seed: int

    def record(self) -> dict[str, Any]:
        """Return them as JSON values."""
        given = {name: value for name, value in vars(self).items() if name not in {"data", "root"}}
        return {name: list(map(str, each)) if isinstance(each, tuple) else each for name, each in given.items()}


@dataclass(frozen=True)
class Errand:
    """A task, the words that it asks for, its options as they were given, and what else the command line says."""

    name: str
    maker: Callable[..., Any]
    words: Mapping[str, bool]
    chosen: Mapping[str, Any]
    asked: Asked


@dataclass(frozen=True, eq=False)
class Material:
    """What a task works on; every tensor has one row for each of its images, or for each of its `labels`."""

    words: Mapping[str, Any]
    originals: Tensor | None
    count: int

    def rows(self, first: int, last: int) -> dict[str, Any]:
        """Return what is given to the task for some of the images."""
        return {word: value[first:last] if hasattr(value, "shape") else value for word, value in self.words.items()}


def gather(asked: Asked, words: Mapping[str, bool], net: Classifier | None) -> tuple[Material, Dataset | None]:
    """Return what a task asks for by the words of its signature, True where there is no doing without.

    Raises ValueError, or click's error, with the option to give for what is missing, and for what cannot be read.
    """
    data = _data(asked)
    originals, truth = _images(asked, data, net) if "images" in words else (None, None)
    found: dict[str, Any] = {}
    if originals is not None:
        found["images"] = _spoilt(originals, asked.spoil, asked.seed)
    count = asked.count if originals is None else len(originals)
    labels = _labels(asked, words, net, truth, count)
    makers: dict[str, Callable[[], Any]] = {
        "labels": lambda: labels,
        "mask": lambda: None if asked.mask is None else _mask(asked.mask, found.get("images")),
        "reference": lambda: _references(asked, data, originals, count, net),
        "unit": lambda: asked.unit,
    }
    for word, make in makers.items():
        if word not in words:
            continue
        value = make()
        if value is None and words[word]:
            raise click.UsageError(f"this task needs --{_FLAGS[word]}; {_HINTS[word]}")
        if value is not None:
            found[word] = value
    return Material(found, originals if asked.spoil else None, count), data


_FLAGS = {"labels": "class", "mask": "mask", "reference": "reference", "unit": "unit"}
_HINTS = {
    "labels": "a class of the model by name or number, or `data` for the images' own",
    "mask": "a picture that is white where the image may change, or a box LEFT:TOP:RIGHT:BOTTOM in pixels",
    "reference": "a row of --data or a picture",
    "unit": "such as layer4:7; `featlab layers MODEL` lists the layers",
}


def _data(asked: Asked) -> Dataset | None:
    import featlab as fl

    return None if asked.data is None else fl.open_data(asked.data, train=False, root=asked.root)


def _images(asked: Asked, data: Dataset | None, net: Classifier | None) -> tuple[Tensor, Tensor | None]:
    """Return the images to begin with, and their labels where they have any that the model knows."""
    import torch

    shape = net.shape if net is not None else data.shape if data is not None else None
    if asked.start != "images":
        if shape is None:
            raise click.UsageError(f"--start {asked.start} needs the shape of images; give --data NAME")
        return _canvas(asked, shape), None
    if asked.images:
        pictures = [read_picture(path, None if asked.as_is else shape, _channels(shape)) for path in asked.images]
        if len({picture.shape for picture in pictures}) > 1:
            raise click.UsageError("--images of one run must have one size; leave out --as-is, or run them one by one")
        return torch.stack(pictures), None
    if data is None:
        raise click.UsageError("say which images: --data NAME, --images FILE, or --start noise")
    chosen = data.subset(asked.count) if asked.index is None else data.select(_rows(asked.index, data))
    images, labels = chosen.tensors()
    return images, labels


def _canvas(asked: Asked, shape: Sequence[int]) -> Tensor:
    """Return plain grey, or uniform noise about it."""
    import torch

    import featlab as fl

    grey = torch.full((asked.count, *shape), 0.5)
    if asked.start == "grey":
        return grey
    return fl.ops.linf_sample(grey, eps=0.25, seed=asked.seed, examples=torch.arange(asked.count))


def _channels(shape: Sequence[int] | None) -> int:
    return 3 if shape is None else shape[0]


def _rows(text: str, data: Dataset) -> Tensor:
    """Read row numbers with commas between them."""
    import torch

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) < len(data) for part in parts):
        raise click.UsageError(f"--index is rows from 0 to {len(data) - 1} with commas between them; got {text!r}")
    return torch.tensor([int(part) for part in parts])


def read_picture(path: Path, shape: Sequence[int] | None, channels: int) -> Tensor:
    """Return a picture as (channels, height, width) in [0, 1]; with a shape, its middle brought to that size."""
    from PIL import Image, ImageOps

    from featlab.painting.sources import fitted, tensor_of

    if channels not in {1, 3}:
        raise ValueError(f"pictures have 1 or 3 channels, and the model takes {channels}; give --data")
    try:
        with Image.open(path) as stored:
            upright = ImageOps.exif_transpose(stored)
        return tensor_of(fitted(upright, shape or (channels, upright.height, upright.width)))[0]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error


def _labels(
    asked: Asked, words: Mapping[str, bool], net: Classifier | None, truth: Tensor | None, count: int
) -> Tensor | None:
    """Return a class for each image: those that were named, in turn; without images and names, all in turn."""
    import torch

    if "labels" not in words:
        return None
    if asked.classes == ("data",):
        if truth is None:
            raise click.UsageError("--class data needs images with labels, from --data")
        return truth
    if not asked.classes:
        return None if "images" in words or net is None else torch.arange(count) % len(net.classes)
    known = [_class(text, net) for text in asked.classes]
    if "images" in words and len(known) not in {1, count}:
        raise click.UsageError(f"--class is given once, or once for each of the {count} images; got {len(known)}")
    return torch.tensor(known).repeat(-(-count // len(known)))[:count]


def _class(text: str, net: Classifier | None) -> int:
    """Read a class by name or number."""
    from featlab.names import lookup

    if net is None:
        if not text.isdecimal():
            raise click.UsageError(f"--class is a number here, as there is no model to name classes; got {text!r}")
        return int(text)
    named = {name: index for index, name in enumerate(net.classes)}
    return lookup("a class", text, {**{str(index): index for index in range(len(net.classes))}, **named})


def _mask(text: str, images: Tensor | None) -> Tensor | None:
    """Read a mask, (batch, 1, height, width): a picture, or a box."""
    import torch

    if images is None:
        raise click.UsageError("--mask needs images")
    height, width = images.shape[2:]
    parts = text.split(":")
    if len(parts) == 4 and all(part.isdecimal() for part in parts):
        left, top, right, bottom = map(int, parts)
        if not (left < right <= width and top < bottom <= height):
            raise click.UsageError(
                f"--mask is a box within {width} x {height} pixels, LEFT:TOP:RIGHT:BOTTOM; got {text!r}"
            )
        mask = torch.zeros(1, height, width)
        mask[:, top:bottom, left:right] = 1
    else:
        mask = read_picture(Path(text), (1, height, width), 1)
    return mask.expand(len(images), 1, height, width)


def _references(
    asked: Asked, data: Dataset | None, images: Tensor | None, count: int, net: Classifier | None
) -> Tensor | None:
    """Return a reference for each image: rows of the data, or pictures; one serves all."""
    import torch

    if not asked.reference:
        return None
    shape = net.shape if net is not None else None if images is None else tuple(images.shape[1:])
    if len(asked.reference) not in {1, count}:
        raise click.UsageError(
            f"--reference is given once, or for each of the {count} images; got {len(asked.reference)}"
        )
    found = []
    for text in asked.reference:
        if text.isdecimal():
            if data is None:
                raise click.UsageError(f"--reference {text} is a row of the data; give --data NAME")
            found.append(data.images(_rows(text, data))[0])
        else:
            found.append(read_picture(Path(text), shape, _channels(shape)))
    return torch.stack(found).repeat(count if len(found) == 1 else 1, 1, 1, 1)


def _spoilt(images: Tensor, ways: Sequence[str], seed: int) -> Tensor:
    """Return images that are spoilt, one way after the other, as `SPOILING` says."""
    from featlab.specs import read_value

    for way in ways:
        name, _, text = way.partition("=")
        if name not in SPOILING or not text:
            raise click.UsageError(
                f"--spoil is noise=DEVIATION, blur=PIXELS, shrink=FACTOR or outline=LEVEL; got {way!r}"
            )
        size = read_value(text, int if name == "shrink" else float, what=f"--spoil {name}")
        if not 0 < size < float("inf"):
            raise click.UsageError(f"--spoil {name} must be more than 0; got {text}")
        images = SPOILING[name](images, size, seed)
    return images


def _noisy(images: Tensor, deviation: float, seed: int) -> Tensor:
    """Return images with normal noise, each with its own."""
    import torch

    import featlab as fl

    drawn = fl.ops.random.normal(images, seed=seed, examples=torch.arange(len(images)), purpose=NOISE)
    return (images + deviation * drawn).clamp(0, 1)


def _blurred(images: Tensor, sigma: float, seed: int) -> Tensor:
    """Return images under a Gaussian blur."""
    import featlab as fl

    del seed
    return fl.threat_model("blur", sigma=sigma).decode(images.new_ones(len(images), 1), images)


def _shrunk(images: Tensor, factor: int, seed: int) -> Tensor:
    """Return the means of blocks of pixels."""
    from featlab.synthesis.scaling import shrunk

    del seed
    return shrunk(images, factor)


def _outlined(images: Tensor, threshold: float, seed: int) -> Tensor:
    """Return white outlines on black: pixels above the threshold beside pixels below, channel by channel."""
    import torch.nn.functional as F

    del seed
    bright = (images > threshold).float()
    return bright * F.max_pool2d(1 - bright, 3, stride=1, padding=1)


NOISE = 51
"""The purpose of the random numbers of noise."""

SPOILING: Mapping[str, Callable[[Tensor, Any, int], Tensor]] = {
    "noise": _noisy,
    "blur": _blurred,
    "shrink": _shrunk,
    "outline": _outlined,
}
