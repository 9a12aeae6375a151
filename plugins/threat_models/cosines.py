"""The cosine transform, as a product with a small orthonormal matrix."""

from __future__ import annotations

import math

import torch

from .offsets import constant


@constant
def cosines(size: int, count: int) -> torch.Tensor:
    """Return the first `count` rows of the orthonormal DCT-II: sqrt((2 - [k = 0]) / size) cos(pi (n + 1/2) k / size).

    Source: Ahmed, Natarajan and Rao 1974, "Discrete cosine transform".
    """
    k = torch.arange(count, dtype=torch.float64)[:, None]
    n = torch.arange(size, dtype=torch.float64)
    scale = ((2 - (k == 0).double()) / size).sqrt()
    return scale * torch.cos(math.pi / size * (n + 0.5) * k)
