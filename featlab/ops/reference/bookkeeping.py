"""What a loop keeps of each example: a fingerprint of where it is, and the best that was found."""

import torch
from torch import Tensor

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""The constants of SplitMix64 (Steele, Lea and Flood 2014, figure 16, with the finaliser of Stafford's variant 13)."""


def fingerprint(values: Tensor, out: Tensor) -> None:
    """Write sum_i mix(bits_i + (i + 1) * golden) mod 2^64 of each example to `out`, over its elements as they lie."""
    rows = torch.as_strided(values, (len(values), values[0].numel()), (values[0].numel(), 1))
    bits = rows.view(torch.int32).long() & 0xFFFFFFFF if rows.dtype == torch.float32 else rows.view(torch.int64)
    place = torch.arange(1, rows.shape[1] + 1, device=rows.device) * _signed(_GOLDEN)
    out.copy_(_mix(bits + place).sum(dim=1))


def keep_better(values: Tensor, take: Tensor, index: Tensor, best: Tensor) -> None:
    """Write the rows of `values` that `take` names over the rows `index` of `best`."""
    chosen = take.reshape(-1, *[1] * (values.dim() - 1))
    best.index_copy_(0, index, torch.where(chosen, values, best[index]))


def _mix(z: Tensor) -> Tensor:
    """Return the finaliser of SplitMix64, a bijection of 64-bit words that spreads every bit."""
    z = (z ^ _shifted(z, 30)) * _signed(_FIRST)
    z = (z ^ _shifted(z, 27)) * _signed(_SECOND)
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, by: int) -> Tensor:
    """Return a shift to the right that brings in zeros, not the sign."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word
