"""How far apart two sets of images are, in features of a net that made neither."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from featlab.intervals import Estimate, jackknife
from featlab.types import Features


def frechet_distance(features: Features, others: Features, *, groups: int = 20, seed: int = 0) -> Estimate:
    """Return the squared Fréchet distance of the Gaussians with the moments of two sets, with a 95 % interval.

    |m - m'|^2 + tr(S + S' - 2 (S^(1/2) S' S^(1/2))^(1/2)), in float64; the last trace is the sum of the singular
    values of S^(1/2) S'^(1/2), so that no rounded number goes through a second root. It is biased upwards, the more the
    fewer examples there are: compare sets of one size, and beside a set of real images.
    Features are (examples, features), numbers of examples may differ; `groups` are those of the jackknife.
    Raises ValueError where a set has no more examples than features: its covariance says nothing of some directions.
    Source: Dowson and Landau 1982; Heusel et al. 2017, section 2 (there in features of Inception).
    """
    both = compared(features, others)
    if min(map(len, both)) <= both[0].shape[1]:
        raise ValueError(
            f"the Fréchet distance of {both[0].shape[1]} features needs more examples than that in each set; got "
            f"{len(both[0])} and {len(both[1])}: take more images, or the kernel distance"
        )
    found = jackknife(frechet, both, groups=groups, seed=seed)
    return replace(found, low=max(0.0, found.low))


def kernel_distance(features: Features, others: Features, *, groups: int = 20, seed: int = 0) -> Estimate:
    """Return the squared maximum mean discrepancy of two sets, without bias, with a 95 % interval.

    mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean k(x_i, y_j), k(a, b) = (<a, b> / d + 1)^3 for d
    features. Its expectation is 0 for two draws from one distribution whatever their sizes, so it can be negative.
    Source: Gretton et al. 2012, equation 3; Binkowski et al. 2018, section 4 (the kernel; there Inception's features).
    """
    return jackknife(discrepancy, compared(features, others), groups=groups, seed=seed)


def compared(features: Features, others: Features) -> tuple[Tensor, Tensor]:
    """Return both sets in float64 on the CPU after seeing that they can be compared."""
    if features.dim() != 2 or others.dim() != 2 or features.shape[1] != others.shape[1]:
        raise ValueError(
            "sets to compare are (examples, features) with the same features; got shapes "
            f"{tuple(features.shape)} and {tuple(others.shape)}"
        )
    for each in (features, others):
        if len(each) < 2 or not bool(torch.isfinite(each).all()):
            raise ValueError(f"a set to compare needs two examples or more, all finite; got {len(each)}")
    return features.detach().double().cpu(), others.detach().double().cpu()


def frechet(features: Tensor, others: Tensor) -> float:
    """Return the squared Fréchet distance of two sets in float64."""
    first, second = (torch.cov(each.T).reshape(each.shape[1], -1) for each in (features, others))
    apart = (features.mean(dim=0) - others.mean(dim=0)).square().sum()
    cross = torch.linalg.svdvals(root(first) @ root(second)).sum()
    return max(0.0, float(apart + first.trace() + second.trace() - 2 * cross))


def root(matrix: Tensor) -> Tensor:
    """Return the symmetric square root of a positive semidefinite matrix; what rounding made negative counts as 0."""
    values, vectors = torch.linalg.eigh(matrix)
    found: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return found


def discrepancy(features: Tensor, others: Tensor) -> float:
    """Return the unbiased squared discrepancy of two sets in float64."""
    return float(_within(features) + _within(others) - 2 * _kernel(features, others).mean())


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    return (first @ second.T / first.shape[1] + 1) ** 3


def _within(features: Tensor) -> Tensor:
    """Return the mean of the kernel over pairs of different examples."""
    kernel = _kernel(features, features)
    return (kernel.sum() - kernel.trace()) / (len(features) * (len(features) - 1))
