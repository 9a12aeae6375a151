"""The pictures of a task: a grid, one file for each image, and the path from start to result as an animation."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from featlab.report.pictures import GAP, Picture, zoom_to
from featlab.types import Images

SHOWN = 12
"""So many images are in a row of a grid, and in an animation."""

FRAMES = 60
"""So many frames an animation has at most."""

LAST, EACH = 1200, 60
"""Milliseconds that the last frame stays, and each of the others."""


@dataclass
class Film:
    """Frames of a path, thinned out as they come so that never more than twice FRAMES are held."""

    stride: int = 1
    seen: int = 0
    frames: list[Tensor] = field(default_factory=list)

    def add(self, images: Images) -> None:
        """Take a frame, (batch, 1 or 3, height, width) in [0, 1], if its turn has come."""
        if self.seen % self.stride == 0:
            self.frames.append(_bytes(images))
        self.seen += 1
        if len(self.frames) >= 2 * FRAMES:
            self.frames, self.stride = self.frames[::2], 2 * self.stride

    def webp(self, last: Images) -> bytes:
        """Return the animation, which ends with the images `last` and stays there; it begins anew for ever."""
        chosen = self.frames[:: max(1, -(-len(self.frames) // FRAMES))]
        pictures = [_side_by_side(frame) for frame in [*chosen, _bytes(last)]]
        file, times = io.BytesIO(), [EACH] * len(chosen) + [LAST]
        pictures[0].save(
            file, format="WEBP", save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=85
        )
        return file.getvalue()


def _bytes(images: Images) -> Tensor:
    """Return the first few images as bytes."""
    return (images[:SHOWN].detach().cpu() * 255).round().to(torch.uint8)


def _side_by_side(images: Tensor) -> Image.Image:
    """Return images of bytes in a row, enlarged without blur."""
    zoom, (count, _, height, width) = zoom_to(images), images.shape
    pixels = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous()
    strip = Image.new("RGB", (count * (width * zoom + GAP) - GAP, height * zoom), "white")
    for place, image in enumerate(pixels):
        tile = Image.fromarray(image.numpy()).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
        strip.paste(tile, (place * (width * zoom + GAP), 0))
    return strip


def grid(
    title: str, rows: Sequence[tuple[str, Images]], *, columns: Sequence[str] = (), notes: Sequence[str] = ()
) -> Picture:
    """Return the first images of each row as a picture; `notes` stand under the last row.

    Where the last row has several images for each of the first, such as the points of a path, each of the first few has
    a row of its own.
    """
    each = len(rows[-1][1]) // max(len(rows[0][1]), 1)
    if each > 1:
        label, found = rows[-1]
        few = [(f"{label} {i + 1}", found[i * each : (i + 1) * each]) for i in range(min(SHOWN, len(found) // each))]
        return Picture(title, "", tuple(few))
    shown = tuple((label, images[:SHOWN].detach().cpu()) for label, images in rows)
    said = ((),) * (len(rows) - 1) + (tuple(notes[:SHOWN]),) if notes else ()
    return Picture(title, "", shown, columns=tuple(columns[:SHOWN]), notes=said)
