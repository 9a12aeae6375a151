"""Interpolation between images through a representation."""

from __future__ import annotations

import torch
from torch import nn

import featlab as fl


def interpolate(
    model: nn.Module,
    images: torch.Tensor,
    reference: torch.Tensor,
    *,
    points: int = 10,
    layer: str = "penultimate",
    steps: int = 200,
    step_size: float = 0.1,
) -> fl.Problem:
    """Find `points` images on the way from each of `images` to its `reference`, evenly spaced in what a layer sees.

    argmin_x' |g(x') - ((1 - t) g(a) + t g(b))|_2 relative to the wanted representation, from the blend (1 - t) a + t b,
    for t = 0, 1 / (points - 1), ..., 1. Both are (batch, ...) with values in [0, 1]; the problem's batch holds all
    points of the first pair, then those of the second, (batch * points, ...). Published: 10 `points`, steps=10000,
    step_size=1 at 224 pixels and step_size=0.1 for CIFAR-10; the defaults are for 28 to 32 pixels.
    Source: Engstrom et al. 2019, section 4.2 and appendix.
    """
    if points < 2 or images.shape != reference.shape:
        raise ValueError(
            f"interpolation needs points >= 2 and images and reference of one shape; got points={points}, "
            f"{tuple(images.shape)} and {tuple(reference.shape)}"
        )
    extract = fl.extractor(model, layer)
    with torch.no_grad():
        ends = extract(images), extract(reference)
    share = torch.linspace(0, 1, points, device=images.device, dtype=images.dtype).repeat(len(images))
    start, wanted = (blended(first, second, share, points) for first, second in ((images, reference), ends))
    score = fl.match(extract, wanted, relative=True)
    return fl.Problem(score, start.clamp(0, 1), fl.threat_model("box"), steps, step_size)


def blended(first: torch.Tensor, second: torch.Tensor, share: torch.Tensor, points: int) -> torch.Tensor:
    """Return (1 - t) first + t second for every pair and every t."""
    t = share.to(first).reshape(-1, *[1] * (first.dim() - 1))
    return torch.lerp(first.repeat_interleave(points, 0), second.repeat_interleave(points, 0), t)
