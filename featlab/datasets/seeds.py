"""Where generation begins: a Gaussian for each class, fitted to its images at low resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from featlab import ops
from featlab.data import Data, as_data, batches
from featlab.threat_models import Key
from featlab.types import Images, Labels

DRAW: Final = 50
"""The purpose of the random numbers of seeds."""

ROOM: Final = 1 << 28
"""So many numbers the covariances of all classes may hold, 2 GiB in float64."""


@dataclass(frozen=True, eq=False)
class ClassSeeds:
    """A Gaussian for each class over images at low resolution; see `fit_seeds`.

    `means` is (classes, values) and `factors` (classes, values, values), lower triangular, in float64; `counts` is how
    many images each class had, `shape` the shape of the images that are drawn, `grain` the side of their blocks.
    """

    means: Tensor
    factors: Tensor
    counts: Tensor
    shape: tuple[int, ...]
    grain: int

    def __call__(self, labels: Labels, *, key: Key) -> Images:
        """Return an image for each label, clamp(up(mean_y + L_y z)) with z standard normal, up by repeating pixels.

        A draw depends on its label and on the seed, example and restart of `key` alone, not on the batch or the device.
        Raises ValueError for labels of which the data had no image.
        """
        known = (self.counts > 0).nonzero()[:, 0].tolist()
        strange = sorted(set(labels.tolist()) - set(known))
        if strange:
            raise ValueError(f"there are seeds for the classes {_listed(known)}; got {_listed(strange)}")
        examples = key.examples.cpu()
        like = torch.zeros(len(examples), self.means.shape[1], dtype=torch.float64)
        drawn = ops.random.normal(like, seed=key.seed, examples=examples, restart=key.restart, purpose=DRAW)
        # One at a time: a product of a whole batch may sum in another order than that of one.
        low = [self.means[y] + self.factors[y] @ z for y, z in zip(labels.tolist(), drawn, strict=True)]
        channels, height, width = self.shape
        coarse = torch.stack(low).reshape(-1, channels, -(-height // self.grain), -(-width // self.grain))
        blocks = coarse.repeat_interleave(self.grain, 2).repeat_interleave(self.grain, 3)
        return blocks[:, :, :height, :width].clamp(0, 1).float().to(labels.device)


def fit_seeds(data: Data | tuple[Images, Labels], *, grain: int = 1, batch_size: int = 1024) -> ClassSeeds:
    """Fit N(mean_y, covariance_y + 1e-4 I) to the images of each class y, averaged over blocks of grain x grain pixels.

    The data are gone through once, `batch_size` images at a time; pictures are (channels, height, width). Published:
    grain 4 for ImageNet and its subsets (at 224 pixels), 1 for CIFAR-10.
    Raises ValueError for images that are no pictures, and where the covariances would not fit into 2 GiB.
    Source: Santurkar et al. 2019, section 3 and its code.
    """
    data = as_data(data)
    if grain < 1 or len(data) == 0:
        raise ValueError(f"seeds need grain >= 1 and at least one image; got grain {grain} and {len(data)} images")
    shape = tuple(data.images(torch.zeros(1, dtype=torch.int64)).shape[1:])
    classes, values = int(data.labels.max()) + 1, _values(shape, grain)
    if classes * values * values > ROOM:
        raise ValueError(
            f"the covariances of {classes} classes of {values} values each would not fit into 2 GiB; give a larger "
            f"grain than {grain}, or fewer classes"
        )
    counts, sums = torch.zeros(classes, dtype=torch.int64), torch.zeros(classes, values, dtype=torch.float64)
    products = torch.zeros(classes, values, values, dtype=torch.float64)
    for images, labels, _ in batches(data, batch_size):
        low = _coarse(images, grain)
        for y in labels.unique().tolist():
            mine = low[labels == y]
            counts[y] += len(mine)
            sums[y] += mine.sum(dim=0)
            products[y].addmm_(mine.T, mine)
    many = counts.clamp_min(1).double()
    means = sums / many[:, None]
    covariances = products / many[:, None, None] - means[:, :, None] * means[:, None, :]
    floor = 1e-4 * torch.eye(values, dtype=torch.float64)
    return ClassSeeds(means, torch.linalg.cholesky(covariances + floor), counts, shape, grain)


def _values(shape: tuple[int, ...], grain: int) -> int:
    """Return how many values an image has at low resolution."""
    if len(shape) != 3:
        raise ValueError(f"seeds are drawn for pictures of shape (channels, height, width); got {shape}")
    channels, height, width = shape
    return channels * -(-height // grain) * -(-width // grain)


def _coarse(images: Images, grain: int) -> Tensor:
    """Return the means of blocks as rows, in float64; blocks at the far edges may be smaller."""
    low = F.avg_pool2d(images.double(), grain, ceil_mode=True, count_include_pad=False)
    return low.flatten(1)


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
