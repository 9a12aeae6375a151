"""Where a painting begins: a sample of a data set, noise, one shade, or a picture of the user's own."""

from __future__ import annotations

import base64
import binascii
import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

import torch
from PIL import Image

from featlab import ops
from featlab.painting.reading import Json
from featlab.types import Images

if TYPE_CHECKING:
    from featlab.datasets import Dataset

MOST_BYTES: Final = 8_000_000
"""A picture's file is at most so large."""

MOST_PIXELS: Final = 40_000_000
"""A picture has at most so many pixels; it is asked before any is decoded."""

FORMATS: Final = ("PNG", "JPEG", "WEBP")
"""The kinds of picture that are read."""


class FormatError(ValueError):
    """A file is no picture of a kind that is read."""


class Source(Protocol):
    """What the first image of a painting is."""

    def image(self, shape: Sequence[int], /) -> Images:
        """Return it as (1, *shape) in [0, 1]."""
        ...

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        ...


@dataclass(frozen=True)
class Sample:
    """A test image of a data set."""

    data: str
    index: int

    @classmethod
    def read(cls, record: Mapping[str, Json]) -> Sample:
        """Read {"kind": "sample", "data": "fashion-mini", "index": 12}."""
        return cls(record["data"].text(), record["index"].whole(0, 2**31))

    def image(self, shape: Sequence[int], /) -> Images:
        """Return the image, at the shape asked for."""
        data = opened(self.data)
        if self.index >= len(data):
            raise ValueError(
                f"index of {self.data} must be less than {len(data)}, its number of images; got {self.index}"
            )
        found = data.images(torch.tensor([self.index]))
        if tuple(found.shape[1:]) == tuple(shape):
            return found
        pixels = (found[0] * 255).round().to(torch.uint8).permute(1, 2, 0).squeeze(-1)
        return tensor_of(fitted(Image.fromarray(pixels.numpy()), shape))

    def json(self) -> dict[str, Any]:
        """Return the sample as JSON."""
        return {"kind": "sample", "data": self.data, "index": self.index}


@dataclass(frozen=True)
class Noise:
    """Uniform noise in [0, 1], a function of the seed alone."""

    seed: int

    @classmethod
    def read(cls, record: Mapping[str, Json]) -> Noise:
        """Read {"kind": "noise", "seed": 0}."""
        return cls(record["seed"].whole(0, 2**31))

    def image(self, shape: Sequence[int], /) -> Images:
        """Return the noise."""
        grey = torch.full((1, *shape), 0.5)
        return ops.linf_sample(grey, eps=0.5, seed=self.seed, examples=torch.zeros(1, dtype=torch.int64))

    def json(self) -> dict[str, Any]:
        """Return the noise as JSON."""
        return {"kind": "noise", "seed": self.seed}


@dataclass(frozen=True)
class Plain:
    """One shade: an empty canvas."""

    value: float

    @classmethod
    def read(cls, record: Mapping[str, Json]) -> Plain:
        """Read {"kind": "plain", "value": 0.5}."""
        return cls(record["value"].number(0, 1))

    def image(self, shape: Sequence[int], /) -> Images:
        """Return the canvas."""
        return torch.full((1, *shape), self.value)

    def json(self) -> dict[str, Any]:
        """Return the canvas as JSON."""
        return {"kind": "plain", "value": self.value}


@dataclass(frozen=True)
class Picture:
    """A picture of the user's own, as the bytes of a PNG file; other formats are brought to it by `picture_of`."""

    png: bytes

    @classmethod
    def read(cls, record: Mapping[str, Json]) -> Picture:
        """Read {"kind": "png", "bytes": BASE64}; the file is opened, so that what is none is refused at once."""
        text = record["bytes"].text(most=MOST_BYTES * 4 // 3 + 4)
        try:
            png = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"{record['bytes'].what} must be a PNG file in base64; {error}") from error
        opened_picture(png, formats=("PNG",)).close()
        return cls(png)

    def image(self, shape: Sequence[int], /) -> Images:
        """Return the picture, cut and scaled to the shape asked for."""
        return tensor_of(fitted(opened_picture(self.png, formats=("PNG",)), shape))

    def json(self) -> dict[str, Any]:
        """Return the picture as JSON."""
        return {"kind": "png", "bytes": base64.b64encode(self.png).decode("ascii")}


KINDS: Final[Mapping[str, tuple[Callable[[Mapping[str, Json]], Source], tuple[str, ...]]]] = MappingProxyType(
    {
        "sample": (Sample.read, ("data", "index")),
        "noise": (Noise.read, ("seed",)),
        "plain": (Plain.read, ("value",)),
        "png": (Picture.read, ("bytes",)),
    }
)
"""How each kind of source is read, and what it says besides its kind."""


def read_source(given: Json) -> Source:
    """Read where a painting begins."""
    kind = given.record(needed=("kind",), optional=("data", "index", "seed", "value", "bytes"))["kind"]
    read, members = kind.choice(KINDS)
    return read(given.record(needed=("kind", *members)))


@functools.lru_cache(maxsize=4)
def opened(data: str) -> Dataset:
    """Return the test images of a data set, opened once."""
    from featlab.datasets import open_data

    return open_data(data, train=False)


def opened_picture(file: bytes, *, formats: Sequence[str] = FORMATS) -> Image.Image:
    """Return a picture whose size has been looked at, and whose pixels have not been decoded yet."""
    if len(file) > MOST_BYTES:
        raise ValueError(f"a picture must have at most {MOST_BYTES / 1e6:g} MB; got {len(file) / 1e6:.1f} MB")
    try:
        picture = Image.open(io.BytesIO(file), formats=tuple(formats))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FormatError(f"a picture must be a {' or '.join(formats)} file; got something else") from error
    if math.prod(picture.size) > MOST_PIXELS or min(picture.size) < 1:
        raise ValueError(f"a picture must have at most {MOST_PIXELS / 1e6:g} million pixels; got {picture.size}")
    return picture


def fitted(picture: Image.Image, shape: Sequence[int]) -> Image.Image:
    """Return a picture of (channels, height, width): the middle of the same proportions, scaled; grey or in colour."""
    channels, height, width = _picture_shape(shape)
    mode = {1: "L", 3: "RGB"}[channels]
    try:
        picture.draft(mode, (width, height))  # JPEG can be decoded at a fraction of its size.
        flat = _on_white(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"the picture could not be decoded: {error}") from error
    flat = flat.convert(mode)
    if flat.size == (width, height):
        return flat
    share = min(flat.width / width, flat.height / height)
    side = [max(1, round(share * each)) for each in (width, height)]
    left, top = (flat.width - side[0]) // 2, (flat.height - side[1]) // 2
    middle = flat.crop((left, top, left + side[0], top + side[1]))
    return middle.resize((width, height), Image.Resampling.LANCZOS)


def _on_white(picture: Image.Image) -> Image.Image:
    """Return a picture without transparency, upright as its camera meant it."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(picture)
    if "A" not in upright.getbands() and "transparency" not in upright.info:
        return upright
    layer = upright.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)


def _picture_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ValueError(f"only pictures of 1 or 3 channels can be painted on; the model takes {tuple(shape)}")
    return shape[0], shape[1], shape[2]


def tensor_of(picture: Image.Image) -> Images:
    """Return a picture as (1, channels, height, width) in [0, 1]."""
    width, height = picture.size
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return pixels.reshape(1, height, width, -1).permute(0, 3, 1, 2).float().div_(255).contiguous()


def picture_of(file: bytes, shape: Sequence[int]) -> Picture:
    """Return an uploaded file as a picture of a model's shape; ValueError where it is none, or too large."""
    made = io.BytesIO()
    fitted(opened_picture(file), shape).save(made, format="PNG", optimize=True)
    return Picture(made.getvalue())
