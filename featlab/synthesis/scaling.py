"""Small pictures and large ones: how a picture shrinks, what grows without a net, and what a result must shrink to."""

from __future__ import annotations

import torch.nn.functional as F

from featlab.types import Images, Scores


def shrunk(images: Images, factor: int) -> Images:
    """Return the means of blocks of factor x factor pixels; ValueError where they do not fit into the picture."""
    if images.dim() != 4 or factor < 1 or images.shape[2] % factor or images.shape[3] % factor:
        raise ValueError(
            f"a factor must divide both sides of images (batch, channels, height, width); got {factor} for "
            f"{tuple(images.shape)}"
        )
    return F.avg_pool2d(images, factor)


def bicubic(images: Images, factor: int) -> Images:
    """Return images so many times larger by cubic interpolation, clamped to [0, 1]. Source: Keys 1981."""
    return F.interpolate(images, scale_factor=float(factor), mode="bicubic", align_corners=False).clamp(0, 1)


def inconsistency(large: Images, small: Images) -> Scores:
    """Return how far a large picture is from the small one that it shall be when shrunk, (batch,).

    The root of the mean square of shrunk(large) - small; 0 where a result keeps all that was given.
    """
    factor = large.shape[2] // small.shape[2]
    return (shrunk(large, factor) - small).square().flatten(1).mean(dim=1).sqrt()
