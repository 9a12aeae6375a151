"""Many small images in one lossless picture, which compresses well and can be looked at."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLUMNS = 100


def write_mosaic(images: NDArray[np.uint8], path: Path) -> None:
    """Write grey images (count, height, width) as one PNG, COLUMNS to a row; `count` is a multiple of COLUMNS."""
    count, height, width = images.shape
    if count % COLUMNS:
        raise ValueError(f"a mosaic holds a multiple of {COLUMNS} images; got {count}")
    grid = images.reshape(-1, COLUMNS, height, width).transpose(0, 2, 1, 3)
    Image.fromarray(grid.reshape(-1, COLUMNS * width)).save(path, "PNG", optimize=True)


def read_mosaic(path: Path, *, height: int, width: int) -> NDArray[np.uint8]:
    """Return the grey images (count, height, width) of a mosaic."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != COLUMNS * width or pixels.shape[0] % height:
        raise ValueError(
            f"{path} must be a grey 8-bit mosaic of {COLUMNS} columns of {height} x {width} images; "
            f"got {pixels.dtype} of shape {pixels.shape}"
        )
    grid = pixels.reshape(-1, height, COLUMNS, width).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(grid.reshape(-1, height, width))
