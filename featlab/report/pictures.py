"""Labelled grids of images, and gradients made visible."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from featlab.files import written_whole
from featlab.types import Images

SIDE = 84
"""Small images are enlarged, by a whole factor and without blur, to about so many pixels."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A grid: each row has a label and (n, channels, height, width) images in [0, 1]; the columns may have names."""

    title: str
    caption: str
    rows: tuple[tuple[str, Tensor], ...]
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for label, images in self.rows:
            if images.dim() != 4 or images.shape[1] not in {1, 3}:
                raise ValueError(f"row {label!r} must be grey or colour images, got shape {tuple(images.shape)}")
            if self.columns and len(images) != len(self.columns):
                raise ValueError(f"row {label!r} has {len(images)} images for {len(self.columns)} columns")

    @property
    def slug(self) -> str:
        """The title as part of a file name."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())

    def cells(self) -> list[tuple[str, list[str]]]:
        """Return each row's label and its images as data URIs."""
        return [(label, [data_uri(image) for image in images]) for label, images in self.rows]


def to_pixels(image: Tensor) -> Image.Image:
    """Return one (channels, height, width) image in [0, 1] as a picture, enlarged by a whole factor."""
    values = (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    picture = Image.fromarray(values[0] if len(values) == 1 else np.ascontiguousarray(values.transpose(1, 2, 0)))
    factor = max(1, round(SIDE / picture.height))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def data_uri(image: Tensor) -> str:
    """Return one image as the address of a PNG that holds itself."""
    buffer = io.BytesIO()
    to_pixels(image).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def save_png(picture: Picture, folder: Path, *, gap: int = 4) -> Path:
    """Write the grid, without its labels, as folder/TITLE.png."""
    rows = [[to_pixels(image).convert("RGB") for image in images] for _, images in picture.rows]
    width = max(sum(cell.width + gap for cell in row) for row in rows) - gap
    height = sum(max(cell.height for cell in row) + gap for row in rows) - gap
    sheet, top = Image.new("RGB", (width, height), "white"), 0
    for row in rows:
        for place, cell in enumerate(row):
            sheet.paste(cell, (place * (cell.width + gap), top))
        top += max(cell.height for cell in row) + gap
    path = folder / f"{picture.slug}.png"
    with written_whole(path) as temporary:
        sheet.save(temporary, "PNG")
    return path


def saliency_images(grads: Images) -> Images:
    """Return gradients as colours: white for 0, red for the largest absolute value of the batch, blue for its negative.

    Channels are summed. The scale is shared by the whole batch, so images may be compared with each other.
    """
    values = grads.detach().sum(dim=1)
    largest = values.abs().max() if values.numel() else values.new_ones(())
    values = values / torch.where(largest > 0, largest, torch.ones_like(largest))
    up, down = values.clamp(0, 1), (-values).clamp(0, 1)
    red, blue = values.new_tensor([0.70, 0.05, 0.10]), values.new_tensor([0.05, 0.20, 0.65])
    strength = torch.stack([up, down])[:, :, None].sqrt()  # So that weak gradients are visible beside strong ones.
    return 1 - strength[0] * (1 - red[None, :, None, None]) - strength[1] * (1 - blue[None, :, None, None])
