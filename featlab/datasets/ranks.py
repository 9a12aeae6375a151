"""A reproducible random order of rows, the same with every version of every library."""

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def random_ranks(count: int, *, seed: int) -> NDArray[np.uint64]:
    """Return one pseudo-random 64-bit number per row, a function of `seed` and the row's number alone.

    The generators of NumPy and PyTorch may change from version to version; which images an experiment used may not.
    Source: the SplitMix64 output function, Steele, Lea and Flood 2014, section 4.
    """
    rows = np.arange(1, count + 1, dtype=np.uint64)
    return _mix(rows * _GOLDEN + _mix(np.full(1, seed % 2**64, dtype=np.uint64) + _GOLDEN))


def balanced_rows(labels: NDArray[np.int64], *, count: int, seed: int) -> NDArray[np.int64]:
    """Return `count` rows in increasing order, as evenly spread over the classes as the data allow.

    Rows are taken class by class in turn, so the rows for a smaller `count` are among those for a larger one.
    """
    if not 0 <= count <= len(labels):
        raise ValueError(f"a subset must have between 0 and {len(labels)} rows, as many as there are; got {count}")
    ranks = random_ranks(len(labels), seed=seed)
    by_class = np.lexsort((ranks, labels))
    sorted_labels = labels[by_class]
    turn = np.arange(len(labels)) - np.searchsorted(sorted_labels, sorted_labels)
    in_turn = by_class[np.lexsort((ranks[by_class], turn))]
    return np.sort(in_turn[:count])


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return value ^ (value >> np.uint64(31))
