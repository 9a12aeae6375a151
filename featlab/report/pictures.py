"""Grids of images as PNG: raw numbers come in, and scaling and colour happen here only."""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from featlab.data import check_images
from featlab.files import written_whole

COLD, HOT = (33, 102, 172), (178, 24, 43)
"""The two ends of the diverging colour map, blue and red, which colour-blind eyes tell apart too."""

SIDE = 84
"""Small images are enlarged by a whole factor, without blur, to at least so many pixels."""

WIDEST = 144
"""On a page larger images are shrunk to so many pixels, so that one of photographs stays a few megabytes."""

LABEL_HEIGHT, NOTE_HEIGHT, GAP = 20, 15, 4
"""Pixels of a saved sheet: of the line above each row, of the line of small text under it, and between images."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A labelled grid of images: each row is a label and (n, C, H, W) images in [0, 1], with C = 1 or 3.

    `columns` names the images of a row. `notes` has for each row either nothing or one short text per image, which
    stands under it, such as what a net answers. Raises ValueError where the parts do not fit together.
    """

    title: str
    caption: str
    rows: tuple[tuple[str, Tensor], ...]
    columns: tuple[str, ...] = ()
    notes: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError(f"picture {self.title!r} has no rows; give at least one (label, images)")
        for label, images in self.rows:
            _check_row(f"row {label!r} of picture {self.title!r}", images)
        widths = {len(images) for _, images in self.rows} | ({len(self.columns)} if self.columns else set())
        if len(widths) != 1:
            raise ValueError(
                f"rows and columns of picture {self.title!r} must have one length, got {sorted(widths)}; "
                "give every row as many images as there are columns"
            )
        noted = {len(texts) for texts in self.notes if texts}
        if (self.notes and len(self.notes) != len(self.rows)) or noted - widths:
            raise ValueError(
                f"notes of picture {self.title!r} must be one tuple per row, each empty or with one text per image"
            )

    @property
    def width(self) -> int:
        """The number of images in each row."""
        return len(self.rows[0][1])

    def notes_of(self, row: int) -> tuple[str, ...]:
        """Return the texts under the images of one row; none where there are none."""
        return self.notes[row] if self.notes else ()


def _check_row(what: str, images: Tensor) -> None:
    if images.dim() != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise ValueError(
            f"{what} must be at least one image of shape (n, 1 or 3, height, width), got {tuple(images.shape)}"
        )
    try:
        check_images(images)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error


def saliency_scale(grads: Tensor, *, quantile: float = 1.0) -> float:
    """Return the largest absolute value of finite gradients, or a quantile in (0, 1] of their absolute values.

    It is the scale of `saliency_images`, to be named beside the images: what lies beyond it is drawn as if at it.
    """
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile must lie in (0, 1], got {quantile}")
    if not bool(torch.isfinite(grads).all()):
        raise ValueError("gradients must be finite, got NaN or infinity; there is no scale to draw them with")
    sizes = grads.detach().abs().double().flatten().sort().values
    return float(sizes[math.ceil(quantile * len(sizes)) - 1]) if len(sizes) else 0.0


def saliency_images(grads: Tensor, *, scale: float | None = None) -> Tensor:
    """Draw (n, C, H, W) gradients as (n, 3, H, W) images in [0, 1]: red above zero, blue below, white at zero.

    Colour = white + min(|g| / scale, 1) * (end - white), with ONE scale for all n, so that images can be compared; the
    default is `saliency_scale(grads)`. Of several channels the value of largest size is drawn.
    Raises ValueError for gradients that are not finite or not (n, C, H, W), and for a scale that is not positive.
    Source: plain input gradients, Tsipras et al. 2019, section 3.1.
    """
    if grads.dim() != 4:
        raise ValueError(f"gradients must have shape (n, channels, height, width), got {tuple(grads.shape)}")
    if scale is not None and not scale > 0:
        raise ValueError(f"scale must be > 0, got {scale}; leave it out for the largest absolute value")
    largest = saliency_scale(grads)
    values = grads.detach().double().cpu()
    signed = values.gather(1, values.abs().argmax(dim=1, keepdim=True))
    # Where all gradients are zero everything is white, whatever one divides by.
    share = (signed / (scale or largest or 1.0)).clamp(-1, 1)
    cold, hot = (torch.tensor(end, dtype=torch.float64).reshape(1, 3, 1, 1) / 255 for end in (COLD, HOT))
    return (1 + share.abs() * (torch.where(share < 0, cold, hot) - 1)).clamp(0, 1).float()


def to_png(images: Tensor, *, zoom: int = 1, pad: int = 0) -> bytes:
    """Return a row of images as one PNG file: a square of `zoom` pixels for each, `pad` white pixels between images.

    The same images give the same bytes. Raises ValueError for images that are not (n, 1 or 3, H, W) in [0, 1].
    """
    _check_row("a PNG", images)
    if zoom < 1 or pad < 0:
        raise ValueError(f"zoom must be >= 1 and pad >= 0, got {zoom} and {pad}")
    return _encoded(_strip(images, zoom=zoom, pad=pad))


def _strip(images: Tensor, *, zoom: int, pad: int) -> Image.Image:
    colour = images.detach().cpu().float().expand(-1, 3, -1, -1)
    pixels = (colour * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    count, height, width, _ = pixels.shape
    strip = Image.new("RGB", (count * width * zoom + (count - 1) * pad, height * zoom), "white")
    for place, image in enumerate(pixels):
        tile = Image.fromarray(image.numpy()).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
        strip.paste(tile, (place * (width * zoom + pad), 0))
    return strip


def _encoded(image: Image.Image) -> bytes:
    red, green, blue = (band.tobytes() for band in image.split())
    file = io.BytesIO()
    # One band of a grey picture says all, in a third of the room.
    (image.getchannel(0) if red == green == blue else image).save(file, format="PNG", optimize=True)
    return file.getvalue()


def data_uri(png: bytes) -> str:
    """Return a PNG file as an address that holds it, so that a page needs no other file."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def zoom_to(images: Tensor, *, side: int = SIDE) -> int:
    """Return the smallest whole zoom at which images are at least `side` pixels wide."""
    return max(1, math.ceil(side / images.shape[-1]))


def shrunk(images: Tensor, *, side: int = WIDEST) -> Tensor:
    """Return (n, C, H, W) images with no side longer than `side`, by averages; small ones as they are."""
    height, width = images.shape[-2:]
    longest = max(height, width)
    if longest <= side:
        return images
    size = [max(1, round(each * side / longest)) for each in (height, width)]
    return F.interpolate(images.float(), size, mode="bilinear", antialias=True).clamp(0, 1)


def sheet(picture: Picture) -> bytes:
    """Return the whole grid as one PNG file: each row under its label, over its notes (the first over the columns)."""
    font, small = ImageFont.load_default(size=13), ImageFont.load_default(size=11)
    strips = [(label, _strip(row, zoom=zoom_to(row), pad=GAP)) for label, row in picture.rows]
    notes = [picture.notes_of(row) or (picture.columns if row == 0 else ()) for row in range(len(strips))]
    width = max(max(strip.width, math.ceil(font.getlength(label))) for label, strip in strips)
    height = sum(LABEL_HEIGHT + strip.height + NOTE_HEIGHT * bool(texts) for (_, strip), texts in zip(strips, notes))
    whole = Image.new("RGB", (width + 2 * GAP, height + GAP * len(strips) + GAP), "white")
    draw, top = ImageDraw.Draw(whole), GAP
    for (label, strip), texts in zip(strips, notes):
        draw.text((GAP, top), label, fill=(40, 40, 40), font=font)
        whole.paste(strip, (GAP, top + LABEL_HEIGHT))
        top += LABEL_HEIGHT + strip.height
        for place, text in enumerate(texts):
            at = GAP + (place + 0.5) * (strip.width + GAP) / picture.width - GAP / 2
            draw.text((at, top), text, fill=(90, 90, 90), font=small, anchor="ma")
        top += NOTE_HEIGHT * bool(texts) + GAP
    return _encoded(whole)


def slug(title: str) -> str:
    """Return a title as a plain name for files and anchors: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60].strip("-") or "untitled"


def save_png(picture: Picture, folder: Path) -> Path:
    """Write the grid as FOLDER/title.png, whole or not at all, and return its path."""
    path = Path(folder) / f"{slug(picture.title)}.png"
    with written_whole(path) as temporary:
        temporary.write_bytes(sheet(picture))
    return path
