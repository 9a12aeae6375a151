"""Whether images were copied from the training data."""

from __future__ import annotations

import math

from torch import Tensor

from featlab.data import Data
from featlab.features.retrieval import nearest
from featlab.types import Images, Labels, Progress, Scores, silent


def nearest_training(
    images: Images,
    data: Data | tuple[Images, Labels],
    *,
    batch_size: int = 512,
    progress: Progress = silent,
) -> Scores:
    """Return each image's distance to the nearest image of the data, root mean square over pixels, in float64.

    0, up to rounding, is a copy. What is near is said by the same distances of real images that the data do not hold:
    made images that are nearer than those repeat what was shown.
    Source: nearest neighbours in pixels, as in Brock et al. 2019, appendix.
    """
    _, distance = nearest(pixels, images, data, count=1, batch_size=batch_size, progress=progress)
    return distance[:, 0] / math.sqrt(images[0].numel())


def pixels(images: Images) -> Tensor:
    """Return the pixels as features."""
    return images.flatten(1)
