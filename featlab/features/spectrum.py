"""Where in the spectrum changes of images lie, and how far feature directions get into each other's way."""

from __future__ import annotations

import torch
from torch import Tensor

from featlab.types import Features, Images


def band_energies(images: Images, *, bands: int = 8) -> Features:
    """Return the energy of each image in bands of spatial frequency, (batch, bands), low to high.

    The energies |F(x)|^2 of the unitary Fourier transform, summed over channels and over rings of equal width around
    frequency 0, up to the corner; the constant belongs to the first. They sum to |x|^2.
    Source: Yin et al. 2019, section 4.
    """
    if images.dim() != 4:
        raise ValueError(f"bands are of images (batch, channels, height, width), got shape {tuple(images.shape)}")
    if bands < 1:
        raise ValueError(f"bands must be >= 1, got {bands}")
    # MKL transforms no empty batch.
    transformed = torch.fft.fft2(images, norm="ortho") if len(images) else images
    energy = transformed.abs().square().sum(dim=1)
    rows, columns = (torch.fft.fftfreq(side, dtype=torch.float64, device=images.device) for side in energy.shape[1:])
    distance = (rows[:, None].square() + columns.square()).sqrt()
    ring = (distance / distance.max().clamp_min(1e-300) * bands).long().clamp_max(bands - 1)
    found = torch.zeros(len(images), bands, dtype=energy.dtype, device=images.device)
    return found.index_add(1, ring.flatten(), energy.flatten(1))


def radial_spectrum(changes: Images, *, bands: int = 8) -> Features:
    """Return the share of each change's energy in each band, in float64; rows sum to 1, that of no change is all 0."""
    found = band_energies(changes.double(), bands=bands)
    total = found.sum(dim=1, keepdim=True)
    return torch.where(total > 0, found / total.clamp_min(1e-300), 0.0)


def interference(directions: Tensor) -> dict[str, float]:
    """Return how far feature directions (features, dimensions) overlap: a measure of superposition.

    `mean_squared_cosine` is over pairs of different directions, 0 where they are orthogonal; random directions have
    1 / dimensions. `dimensions_per_feature` is the mean of |w_i|^2 / sum_j (w_i' w_j / |w_i|)^2, 1 where each has a
    dimension to itself. Directions of length 0 are left out.
    Source: Elhage et al. 2022 (Toy models of superposition), section on feature dimensionality.
    """
    length = directions.double().norm(dim=1)
    alive = directions.double()[length > 0]
    if len(alive) < 2:
        raise ValueError(f"interference is between directions, so it needs two that are not 0; got {len(alive)}")
    unit = alive / alive.norm(dim=1, keepdim=True)
    cosines = (unit @ unit.T).square()
    count = len(alive)
    crowd = (unit @ alive.T).square().sum(dim=1)
    return {
        "mean_squared_cosine": float((cosines.sum() - cosines.diagonal().sum()) / (count * (count - 1))),
        "dimensions_per_feature": float((alive.square().sum(dim=1) / crowd).mean()),
        "random": 1 / alive.shape[1],
    }
