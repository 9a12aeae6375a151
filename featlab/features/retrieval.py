"""Real images beside features: those that a unit responds to most and least, and those that a layer sees as alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from featlab.data import Data, as_data, batches
from featlab.features.extremes import device_of, read
from featlab.types import FeatureExtractor, Images, Labels, Progress, Rows, silent


@dataclass(frozen=True, eq=False)
class Extreme:
    """The examples at the two ends of each feature: indices and values, (features, count) each, most extreme first."""

    top: Rows
    top_values: Tensor
    bottom: Rows
    bottom_values: Tensor


def activating(
    extract: FeatureExtractor,
    data: Data | tuple[Images, Labels],
    *,
    units: Sequence[int] | None = None,
    count: int = 5,
    batch_size: int = 512,
    progress: Progress = silent,
) -> Extreme:
    """Return the `count` examples that each feature responds to most, and least; of equal values the first example."""
    data = as_data(data)
    values, _ = read(extract, data, units=units, batch_size=batch_size, progress=progress)
    if not 1 <= count <= len(values):
        raise ValueError(f"count must be from 1 to the {len(values)} examples, got {count}")
    ends = []
    for sign in (-1.0, 1.0):
        order = (sign * values.T).argsort(dim=1, stable=True)[:, :count]
        ends += [order, values.T.gather(1, order)]
    return Extreme(*ends)


def nearest(
    extract: FeatureExtractor,
    images: Images,
    data: Data | tuple[Images, Labels],
    *,
    count: int = 5,
    batch_size: int = 512,
    progress: Progress = silent,
) -> tuple[Rows, Tensor]:
    """Return for each image the `count` examples of the data nearest in |g(x) - g(x_i)|_2, and their distances.

    Both (batch, count), nearest first; the data are read batch by batch, and no more than the nearest are kept.
    Source: Engstrom et al. 2019, section 3.1 (neighbours in representation space).
    """
    data = as_data(data)
    if not 1 <= count <= len(data):
        raise ValueError(f"count must be from 1 to the {len(data)} examples, got {count}")
    with torch.no_grad():
        wanted = extract(images).double().cpu()
        distance = torch.empty(len(images), 0, dtype=torch.float64)
        index = torch.empty(len(images), 0, dtype=torch.int64)
        progress("neighbours", 0, len(data))
        for pixels, _, rows in batches(data, batch_size):
            features = extract(pixels.to(device_of(extract))).double().cpu()
            distance = torch.cat([distance, torch.cdist(wanted, features)], dim=1)
            index = torch.cat([index, rows.expand(len(images), -1)], dim=1)
            order = distance.argsort(dim=1, stable=True)[:, :count]
            distance, index = distance.gather(1, order), index.gather(1, order)
            progress("neighbours", int(rows[-1]) + 1, len(data))
    return index, distance
