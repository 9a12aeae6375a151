"""The idx file format of MNIST and its relatives."""

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_UNSIGNED_BYTE = 8


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of an idx file of unsigned bytes, gzip-compressed if its name ends in .gz.

    The file is two zero bytes, a type, a rank, big-endian sizes, and the values.
    Source: the description of MNIST by LeCun, Cortes and Burges.
    """
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UNSIGNED_BYTE:
        raise ValueError(f"{path.name} is not an idx file of unsigned bytes")
    rank = data[3]
    shape = np.frombuffer(data, dtype=">u4", count=rank, offset=4).astype(np.int64)
    values = np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * rank)
    if len(values) != shape.prod():
        raise ValueError(f"{path.name} must hold {shape.prod()} bytes for shape {tuple(shape)}; it holds {len(values)}")
    return values.reshape(tuple(shape))
