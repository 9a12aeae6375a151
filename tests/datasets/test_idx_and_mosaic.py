"""The two file formats of small images."""

import gzip
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from featlab.datasets.idx import read_idx
from featlab.datasets.mosaic import COLUMNS, read_mosaic, write_mosaic


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.booleans())
def test_idx_files_are_read_as_they_are_defined(shape, compressed):
    array = np.arange(np.prod(shape)).astype(np.uint8).reshape(shape)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("x.gz" if compressed else "x")
        path.write_bytes(gzip.compress(idx_bytes(array)) if compressed else idx_bytes(array))
        assert np.array_equal(read_idx(path), array)


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"x", lambda b: b[:3], lambda b: b"\1" + b[1:]])
def test_damaged_idx_files_are_refused(damage, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(damage(idx_bytes(np.zeros((3, 2), np.uint8))))
    with pytest.raises(ValueError, match="x"):
        read_idx(path)


def test_mosaics_give_the_same_images_back(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3 * COLUMNS, 4, 7), dtype=np.uint8)
    write_mosaic(images, tmp_path / "m.png")
    assert np.array_equal(read_mosaic(tmp_path / "m.png", height=4, width=7), images)
    with Image.open(tmp_path / "m.png") as picture:
        assert np.array_equal(np.asarray(picture)[4:8, 14:21], images[COLUMNS + 2])  # row 1, column 2
    with pytest.raises(ValueError, match="grey 8-bit mosaic"):
        read_mosaic(tmp_path / "m.png", height=5, width=7)
    with pytest.raises(ValueError, match="multiple of 100"):
        write_mosaic(images[:5], tmp_path / "n.png")
