"""Running models so that a painting comes out the same each time, in the studio and from its file of strokes."""

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
def repeatable(*models: Classifier) -> Iterator[None]:
    """Run models in one way in this block, in any thread: one thread for small images, and cuDNN's repeatable kernels.

    To share a step of a millisecond between cores costs more than it saves, and sums that are split otherwise are
    rounded otherwise. Large images take as many threads as there were, on which their last bits may depend.
    """
    threads, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(1 if all(map(is_small, models)) else threads)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.deterministic = deterministic
