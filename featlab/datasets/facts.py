"""What there is to say about a data set, in numbers and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image

from featlab.datasets.dataset import CHUNK, Dataset
from featlab.files import written_whole

SHEET_COLUMNS: Final = 10
SHEET_ROWS: Final = 40


def describe(data: Dataset) -> dict[str, object]:
    """Return plain facts: size, classes, images per class, mean and standard deviation per channel, SHA-256, origin."""
    mean, deviation = _moments(data)
    return {
        "name": data.name,
        "split": data.split,
        "count": len(data),
        "shape": list(data.shape),
        "dtype": str(data.pixels.dtype).removeprefix("torch."),
        "classes": list(data.classes),
        "per_class": torch.bincount(data.labels, minlength=len(data.classes)).tolist(),
        "mean": mean,
        "std": deviation,
        "columns": list(data.columns),
        "sha256": data.sha256,
        **data.facts,
    }


def write_sheet(data: Dataset, path: Path) -> None:
    """Write a PNG with the first ten images of each class, a row for each, at most SHEET_ROWS rows."""
    channels, height, width = data.shape
    if channels not in (1, 3):
        raise ValueError(f"a sheet shows images of 1 or 3 channels; those of {data.name} have {channels}")
    rows = min(len(data.classes), SHEET_ROWS)
    sheet = np.full((rows * height, SHEET_COLUMNS * width, channels), 255, dtype=np.uint8)
    for label in range(rows):
        index = torch.nonzero(data.labels == label)[:SHEET_COLUMNS, 0]
        pictures = data.images(index).mul(255).round().byte().permute(0, 2, 3, 1).numpy()
        for column, picture in enumerate(pictures):
            sheet[label * height : (label + 1) * height, column * width : (column + 1) * width] = picture
    with written_whole(path) as temporary:
        Image.fromarray(sheet[:, :, 0] if channels == 1 else sheet).save(temporary, "PNG")


def _moments(data: Dataset) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation per channel over all pixels, in float64."""
    total = torch.zeros(data.shape[0], dtype=torch.float64)
    squares = torch.zeros_like(total)

    for images, _, _ in data.batches(CHUNK):
        values = images.double()
        total += values.sum(dim=(0, 2, 3))
        squares += values.square().sum(dim=(0, 2, 3))
    pixels = max(1, len(data) * data.shape[1] * data.shape[2])
    mean = total / pixels
    return mean.tolist(), (squares / pixels - mean.square()).clamp(min=0).sqrt().tolist()
