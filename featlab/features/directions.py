"""Features that are made from others: directions of a representation, such as its principal ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from featlab.data import Data, as_data
from featlab.features.extremes import read
from featlab.types import FeatureExtractor, Features, Images, Labels


@dataclass(frozen=True, eq=False)
class Directions:
    """An extractor of directions of another one's features: (f(x) - mean) W'.

    `weight` is (directions, features), `mean` (features,); `share` is what each direction has of the total variance,
    where that is known. The numbers follow the features' device and type.
    """

    extract: FeatureExtractor = field(repr=False)
    weight: Tensor = field(repr=False)
    mean: Tensor = field(repr=False)
    share: Tensor | None = None

    @property
    def model(self) -> object:
        """The model that the features are read from, if there is one."""
        return getattr(self.extract, "model", None)

    def __call__(self, images: Images, /) -> Features:
        """Return one row of directions' values per image."""
        features = self.extract(images)
        return (features - self.mean.to(features)) @ self.weight.to(features).T


def principal_directions(
    extract: FeatureExtractor,
    data: Data | tuple[Images, Labels],
    *,
    count: int | None = None,
    batch_size: int = 512,
) -> Directions:
    """Return the principal directions of a representation over a data set, the one of most variance first.

    The right singular vectors of the centred features, each turned so that its largest entry is positive.
    Source: Goh 2019 (Distill, "Two Examples of Useful, Non-Robust Features"), which measures these.
    """
    values, _ = read(extract, as_data(data), batch_size=batch_size)
    mean = values.mean(dim=0)
    most = min(len(values) - 1, values.shape[1])
    if count is not None and not 1 <= count <= most:
        raise ValueError(
            f"{len(values)} examples of {values.shape[1]} features have {most} principal directions; got count={count}"
        )
    _, sizes, vectors = torch.linalg.svd(values - mean, full_matrices=False)
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    vectors = vectors * torch.where(largest < 0, -1.0, 1.0)
    share = sizes.square() / sizes.square().sum().clamp_min(1e-300)
    return Directions(extract, vectors[: count or most], mean, share[: count or most])
