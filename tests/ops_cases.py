"""Inputs on which rounding goes wrong elsewhere, and exact comparisons."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

quick = settings(max_examples=60, deadline=None, derandomize=True)

TINY = float(torch.finfo(torch.float32).smallest_normal)
DENORMAL = 2.0**-149
PIXELS = st.one_of(
    st.integers(0, 255).map(lambda k: float(np.float32(k / 255))),
    st.sampled_from([0.0, 1.0, 0.5, DENORMAL, 3 * DENORMAL, TINY, 1e-10, 1 - 2.0**-24]),
    st.floats(0, 1, width=32),
)
GRADIENTS = st.one_of(
    st.sampled_from([0.0, -0.0, DENORMAL, -DENORMAL, 1e-20, -1e-20, 1.0, -1.0, 3e38, -3e38]),
    st.floats(-1, 1, width=32),
)
RADII = st.sampled_from([0.0, DENORMAL, 1e-30, 1e-8, 1 / 255, 8 / 255, 0.1, 0.3, 0.5, 10.0, 1e30, math.inf])
STEPS = st.sampled_from([0.0, DENORMAL, 1e-12, 1e-4, 2 / 255, 0.1, 1.0, 1e6])


@dataclass(frozen=True)
class Case:
    """One call: center in the box, points anywhere near it."""

    points: Tensor
    grad: Tensor
    center: Tensor
    eps: Tensor
    step_size: Tensor


@st.composite
def cases(draw: Callable[..., object]) -> Case:
    batch, size = draw(st.integers(1, 3)), draw(st.integers(1, 19))

    def values(source: st.SearchStrategy[float], count: int) -> Tensor:
        return torch.tensor(draw(st.lists(source, min_size=count, max_size=count)), dtype=torch.float64)

    center = values(PIXELS, batch * size).reshape(batch, size).float()
    offset = values(st.floats(-1.5, 1.5, width=32) | st.just(0.0), batch * size).reshape(batch, size)
    return Case(
        points=(center + offset * draw(st.sampled_from([0.0, 1e-9, 1e-3, 0.05, 1.0]))).float(),
        grad=values(GRADIENTS, batch * size).reshape(batch, size).float(),
        center=center,
        eps=values(RADII, batch),
        step_size=values(STEPS, batch),
    )


def bits(tensor: Tensor) -> Tensor:
    """Return the bits, so that -0 differs from 0 and NaN equals itself."""
    return tensor.contiguous().view(torch.int32 if tensor.dtype == torch.float32 else torch.int64)


def same_bits(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(bits(a), bits(b))


def norms(offset: Tensor) -> Tensor:
    """Return the length of each row in float64, by the exactly rounded sum of squares."""
    rows = offset.double().flatten(1)
    return torch.tensor([math.sqrt(math.fsum(v * v for v in row)) for row in rows.tolist()], dtype=torch.float64)
