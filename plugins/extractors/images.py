"""Extractors of the image itself, which no model has a say in: bands of frequency, random features."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

import featlab as fl


@dataclass(frozen=True)
class Bands:
    """The root of the energy in rings of spatial frequency, summed over channels, (batch, count), low to high.

    The root of `featlab.band_energies`. Source: Gilmer and Hendrycks 2019 (Distill), on features as bands of frequency.
    """

    count: int = 8

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be >= 1, got {self.count}")

    def __call__(self, images: torch.Tensor, /) -> torch.Tensor:
        """Return one row of bands per image."""
        return (fl.band_energies(images, bands=self.count) + 1e-12).sqrt()  # The root has no slope at 0.


def bands(model: object, *, count: int = 8) -> fl.FeatureExtractor:
    """Return the strength of each of `count` bands of spatial frequency."""
    del model
    return Bands(count)


@dataclass(frozen=True)
class RandomFeatures:
    """relu(<w_k, x - 1/2> / sqrt(size)) for `count` fixed Gaussian directions w_k, (batch, count).

    Source: Rahimi and Recht 2007, with the ReLU of Cho and Saul 2009; the features of a net that has learned nothing.
    """

    count: int = 64
    seed: int = 0
    _drawn: dict[object, torch.Tensor] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be >= 1, got {self.count}")

    def __call__(self, images: torch.Tensor, /) -> torch.Tensor:
        """Return one row of features per image."""
        flat = images.flatten(1) - 0.5
        return (flat @ self._directions(flat).T).relu()

    def _directions(self, flat: torch.Tensor) -> torch.Tensor:
        """Return the directions for images of this size; they are drawn once."""
        size = flat.shape[1]
        if size not in self._drawn:
            generator = torch.Generator().manual_seed(self.seed)
            self._drawn[size] = torch.randn(self.count, size, generator=generator, dtype=torch.float64) / size**0.5
        return self._drawn[size].to(flat)


def random_features(model: object, *, count: int = 64, seed: int = 0) -> fl.FeatureExtractor:
    """Return `count` random ReLU features of the image."""
    del model
    return RandomFeatures(count, seed)
