"""Sums rounded towards the centre of a ball, so that a distance in exact arithmetic never exceeds its bound."""

import math
import struct

import torch
from torch import Tensor

_SINGLE_MAX = 3.4028234663852886e38


def add_down(a: Tensor, b: Tensor) -> Tensor:
    """Return the largest number of the tensors' type that is at most a + b; a zero result is +0.

    The residual of the rounded sum comes from Knuth's TwoSum (The Art of Computer Programming 2, 4.2.2).
    """
    total = a + b
    seen = total - a
    residual = (a - (total - seen)) + (b - seen)
    largest = torch.finfo(total.dtype).max
    overflow = (total > largest) & (a <= largest) & (b <= largest)
    lower = torch.nextafter(total, torch.full_like(total, -math.inf))
    return torch.where((residual < 0) | overflow, lower, total) + 0.0


def sub_up(a: Tensor, b: Tensor) -> Tensor:
    """Return the smallest number of the tensors' type that is at least a - b; a zero result is +0."""
    return -add_down(-a, b) + 0.0


def add_toward(center: Tensor, offset: Tensor) -> Tensor:
    """Return center + offset in the type of `center`, rounded towards `center`; `offset` is float64."""
    if center.dtype == torch.float64:
        up = -add_down(-center, -offset)
        return torch.where(offset > 0, add_down(center, offset), up)
    total = center.double() + offset
    nearest = total.to(center.dtype)
    inward = torch.where(offset > 0, -math.inf, math.inf).to(center.dtype)
    beyond = torch.where(offset > 0, nearest.double() > total, nearest.double() < total)
    return torch.where(beyond, torch.nextafter(nearest, inward), nearest)


def single_below(value: float) -> float:
    """Return the largest float32 number that is at most `value`."""
    if value > _SINGLE_MAX:
        return value if math.isinf(value) else _SINGLE_MAX
    if value < -_SINGLE_MAX:
        return -math.inf
    (single,) = struct.unpack("f", struct.pack("f", value))
    return float(single) if single <= value else _next_below(single)


def single_above(value: float) -> float:
    """Return the smallest float32 number that is at least `value`."""
    return -single_below(-value)


def _next_below(single: float) -> float:
    (bits,) = struct.unpack("i", struct.pack("f", single))
    below = bits + (1 if single < 0 else -1) if single != 0 else -0x7FFFFFFF
    (value,) = struct.unpack("f", struct.pack("i", below))
    return float(value)


def rounded_below(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the largest numbers of `dtype` that are at most `values`."""
    rounded = values.to(dtype)
    lower = torch.nextafter(rounded, torch.full_like(rounded, -math.inf))
    return torch.where(rounded.double() > values.double(), lower, rounded)
