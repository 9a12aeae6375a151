"""Pictures read at other places: what rotations, flow fields and elastic deformations share."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch.nn import functional

import featlab as fl

Padding = Literal["zero", "edge"]


def read(images: torch.Tensor, x: torch.Tensor, y: torch.Tensor, *, padding: Padding) -> torch.Tensor:
    """Return out[.., i, j] = images[.., y[i, j], x[i, j]], bilinear between pixels, with values in [0, 1].

    `x` and `y` are (batch, height, width), in pixels. Outside the picture lies zero, or its nearest edge pixel. Whole
    pixels are read to the bit. Differentiable in all three; at a whole pixel the slope is that towards the next one.
    """
    height, width = images.shape[2:]
    if padding == "edge":
        x, y = _onto(width, x), _onto(height, y)
    # With sides that are powers of two nothing is rounded on the way to grid_sample's coordinates and back.
    rows, columns = 1 << (height - 1).bit_length(), 1 << (width - 1).bit_length()
    padded = functional.pad(images, (0, columns - width, 0, rows - height))
    grid = torch.stack([(2 * x + 1) / columns - 1, (2 * y + 1) / rows - 1], dim=-1)
    return functional.grid_sample(padded, grid, padding_mode="zeros", align_corners=False).clamp(0, 1)


def _onto(side: int, place: torch.Tensor) -> torch.Tensor:
    """Return the nearest places in [0, side - 1]; on the last pixel the slope is 0, as the next one is the same."""
    last = side - 1
    return torch.where(place < last, place, torch.full_like(place, last)).clamp(min=0)


def places(images: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where pixels lie, x of shape (width,) and y of shape (height, 1), typed like the points."""
    height, width = images.shape[2:]
    x = torch.arange(width, dtype=like.dtype, device=like.device)
    return x, torch.arange(height, dtype=like.dtype, device=like.device)[:, None]


def check_padding(padding: str) -> None:
    """Raise ValueError for what is no padding."""
    if padding not in {"zero", "edge"}:
        raise ValueError(f"padding must be 'zero' or 'edge', got {padding!r}")


def check_pictures(what: str, images: torch.Tensor) -> None:
    """Raise ValueError for images that are no pictures."""
    if images.dim() != 4:
        shape = tuple(images.shape)
        raise ValueError(f"{what} needs pictures, (batch, channels, height, width); got images of shape {shape}")


def check_limit(
    name: str, value: float | torch.Tensor, *, least: float = 0.0, most: float = math.inf, unit: str
) -> None:
    """Raise ValueError for a limit that is not one finite number in [least, most], or one for each example."""
    limit = torch.as_tensor(value)
    right = limit.isfinite() & (limit >= least) & (limit <= most)
    if limit.dim() > 1 or (isinstance(value, torch.Tensor) and limit.dim() == 0) or not bool(right.all()):
        bound = f" and <= {most:g}" if math.isfinite(most) else ""
        raise ValueError(
            f"{name} must be a finite number of {unit} >= {least:g}{bound}, or one for each example; got {value}"
        )


def of_rows(value: float | torch.Tensor, index: torch.Tensor) -> float | torch.Tensor:
    """Return the rows of a limit that is per example; one that is shared is returned as it is."""
    return value.to(index.device)[index] if isinstance(value, torch.Tensor) else value


def over(value: float | torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return a limit shaped so that it broadcasts over each example of the points."""
    each = [1] * (points.dim() - 1)
    if isinstance(value, torch.Tensor):
        return value.to(points).reshape(-1, *each)
    return points.new_full((1, *each), value)


def uniform(like: torch.Tensor, key: fl.Key, *, purpose: int) -> torch.Tensor:
    """Return numbers uniform in (0, 1), shaped and typed like the points."""
    return fl.ops.random.uniform(like, seed=key.seed, examples=key.examples, restart=key.restart, purpose=purpose)


def symmetric(like: torch.Tensor, key: fl.Key, *, purpose: int) -> torch.Tensor:
    """Return numbers uniform in (-1, 1), shaped and typed like the points."""
    return 2 * uniform(like, key, purpose=purpose) - 1
