"""How many threads a small net is run with: sharing a step of a millisecond between cores costs more than it saves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from featlab.models import Classifier

SMALL: Final = 3 * 64 * 64
"""Values of an image up to which it is small."""


def is_small(model: Classifier) -> bool:
    """Say whether a model's images are so small that a step is a matter of milliseconds."""
    return math.prod(model.shape) <= SMALL


@contextmanager
def few_threads(*models: Classifier) -> Iterator[None]:
    """Run small nets with one thread in this block, wherever they are run, so that paintings are made in one way."""
    before = torch.get_num_threads()
    small = all(map(is_small, models))
    torch.set_num_threads(1 if small else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
