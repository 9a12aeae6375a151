"""How alike two pictures look: PSNR, SSIM, HaarPSI and GMSD, one number per pair.

All take images (batch, 1 or 3 channels, height, width) in [0, 1] and differentiate with respect to both. A channel
alone is grey, three are red, green and blue. They were made for photographs: of 28 x 28 pixels SSIM sees 18 x 18
windows, and HaarPSI and GMSD 14 x 14 points, so differences between methods count there, not the numbers themselves.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from featlab.types import Images, Scores

WINDOW, SIGMA = 11, 1.5
"""The side of SSIM's Gaussian window, in pixels, and its standard deviation."""

YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
"""What red, green and blue add to luma and to the two chroma channels (FCC 1953)."""


def psnr(images: Images, others: Images) -> Scores:
    """Return the peak signal-to-noise ratio in decibels, (batch,): -10 log10(mean (x - y)^2).

    The mean is over pixels and channels; equal pictures have infinity.
    Raises ValueError where the two are not pictures of one shape in [0, 1]; so do the others of this module.
    """
    images, others = checked(images, others)
    return -10 * (images - others).square().flatten(1).mean(dim=1).log10()


def ssim(images: Images, others: Images) -> Scores:
    """Return the mean structural similarity, (batch,), 1 for equal pictures; it can be negative.

    The mean over windows w and channels of
    (2 m_x m_y + c_1) (2 s_xy + c_2) / ((m_x^2 + m_y^2 + c_1) (s_x^2 + s_y^2 + c_2)), c_1 = 0.01^2, c_2 = 0.03^2,
    with the means m and the (co)variances s under a Gaussian of 11 x 11 pixels, at the places where all of it lies in
    the picture. Raises ValueError where a side has fewer than 11 pixels.
    Source: Wang et al. 2004, section III-B and -C; without the shrinking that their later programs do first.
    """
    images, others = checked(images, others, least=WINDOW)
    both = torch.stack([images, others, images.square(), others.square(), images * others])
    mean_x, mean_y, square_x, square_y, product = windowed(both).unbind()
    squares = mean_x.square() + mean_y.square()
    spread = square_x + square_y - squares
    between = mean_x * mean_y
    top = (2 * between + 0.01**2) * (2 * (product - between) + 0.03**2)
    return (top / ((squares + 0.01**2) * (spread + 0.03**2))).flatten(1).mean(dim=1)


def haarpsi(images: Images, others: Images) -> Scores:
    """Return the Haar wavelet perceptual similarity, (batch,), in (0, 1], 1 for equal pictures.

    logit(sum w sigmoid(4.2 s) / sum w)^2 / 4.2^2 over places and the directions across and down: s is the mean over
    the two finest scales of the similarity of Haar coefficients, w the larger coefficient of the third scale. Colour
    pictures have the similarity of their chroma as a third direction. Pictures are halved first, as the measure wants.
    Raises ValueError where a side has fewer than 16 pixels, the reach of the coarsest wavelet in the halved picture.
    Source: Reisenhofer et al. 2018, section 3.
    """
    images, others = checked(images, others, least=16)
    steep, constant = 4.2, 30 / 255**2
    pair = halved(converted(torch.stack([images, others])))
    scales = [haar(pair[:, :, :1], width) for width in (2, 4, 8)]
    weights = scales[2].amax(dim=0)
    alike = torch.stack([likeness(scale, constant) for scale in scales[:2]]).mean(dim=0)
    if pair.shape[2] == 3:
        chroma = local_mean(pair[:, :, 1:]).abs()
        alike = torch.cat([alike, likeness(chroma, constant).mean(dim=1, keepdim=True)], dim=1)
        weights = torch.cat([weights, weights.mean(dim=1, keepdim=True)], dim=1)
    total = weights.flatten(1).sum(dim=1)
    agreed = (weights * (steep * alike).sigmoid()).flatten(1).sum(dim=1)
    # Without any coefficient, as in two black pictures, there is nothing that differs.
    share = torch.where(total > 0, agreed / torch.where(total > 0, total, 1.0), torch.tensor(steep).sigmoid().to(total))
    return (share.logit() / steep).square()


def gmsd(images: Images, others: Images) -> Scores:
    """Return the gradient magnitude similarity deviation, (batch,), 0 for equal pictures, larger for unlike ones.

    The standard deviation over places of (2 g_x g_y + c) / (g_x^2 + g_y^2 + c), c = 170 / 255^2, with g the length of
    the Prewitt gradient of the halved luma. It says how unevenly edges differ: an even change hardly counts.
    Raises ValueError where a side has fewer than 6 pixels.
    Source: Xue et al. 2014, section II.
    """
    images, others = checked(images, others, least=6)
    luma = halved(converted(torch.stack([images, others]))[:, :, :1]).flatten(0, 1)
    across = luma.new_tensor([[1.0, 0.0, -1.0]] * 3) / 3
    slopes = F.conv2d(luma, torch.stack([across, across.T])[:, None], padding=1)
    lengths = norm(slopes).flatten(1)
    alike = likeness(torch.stack(lengths.chunk(2)), 170 / 255**2)
    return norm(alike - alike.mean(dim=1, keepdim=True)) / math.sqrt(alike.shape[1])


def checked(images: Images, others: Images, *, least: int = 1) -> tuple[Images, Images]:
    """Return both in one type, float32 or float64, after seeing that they can be compared."""
    if images.shape != others.shape or images.dim() != 4 or images.shape[1] not in {1, 3}:
        raise ValueError(
            "pictures to compare are two batches of one shape (batch, 1 or 3 channels, height, width); got "
            f"{tuple(images.shape)} and {tuple(others.shape)}"
        )
    if min(images.shape[2:]) < least:
        raise ValueError(f"this measure needs pictures of {least} x {least} pixels or more; got {tuple(images.shape)}")
    dtype = torch.promote_types(torch.promote_types(images.dtype, others.dtype), torch.float32)
    for each in (images, others):
        if each.numel() and not (each.is_floating_point() and bool(each.amin() >= 0) and bool(each.amax() <= 1)):
            low, high = float(each.amin()), float(each.amax())
            raise ValueError(
                f"pictures to compare are floats in [0, 1], got {each.dtype} in [{low:g}, {high:g}]; clamp or scale"
            )
    return images.to(dtype), others.to(dtype)


def windowed(maps: Tensor) -> Tensor:
    """Return weighted means of (..., height, width) under SSIM's Gaussian, where all of the window is inside."""
    at = torch.arange(WINDOW, dtype=maps.dtype, device=maps.device) - WINDOW // 2
    bell = torch.exp(-0.5 * (at / SIGMA) ** 2)
    bell = bell / bell.sum()
    flat = maps.flatten(0, -3)[:, None]
    found = F.conv2d(F.conv2d(flat, bell[None, None, :, None]), bell[None, None, None])
    return found.reshape(*maps.shape[:-2], *found.shape[-2:])


def converted(pair: Tensor) -> Tensor:
    """Return (2, batch, channels, height, width) as luma and chroma; grey stays as it is."""
    if pair.shape[2] == 1:
        return pair
    return torch.einsum("ij,pbjhw->pbihw", pair.new_tensor(YIQ), pair)


def halved(pair: Tensor) -> Tensor:
    """Return means of blocks of 2 x 2 pixels; an odd side is filled up with 0, as the authors of both measures do."""
    height, width = pair.shape[-2:]
    flat = F.pad(pair.flatten(0, 1), (0, width % 2, 0, height % 2))
    return paired(F.avg_pool2d(flat, 2))


def haar(pair: Tensor, width: int) -> Tensor:
    """Return |coefficients| across and down of Haar wavelets so many pixels wide, (2, batch, 2, height, width)."""
    rise = pair.new_ones(width, width) / width
    rise[width // 2 :] *= -1
    before, after = width // 2 - 1, width // 2
    flat = F.pad(pair.flatten(0, 1), (before, after, before, after))
    return paired(F.conv2d(flat, torch.stack([rise, rise.T])[:, None]).abs())


def local_mean(maps: Tensor) -> Tensor:
    """Return the mean of each pixel with its neighbours to the right and below; outside the picture is 0."""
    return paired(F.avg_pool2d(F.pad(maps.flatten(0, 1), (0, 1, 0, 1)), 2, stride=1))


def paired(flat: Tensor) -> Tensor:
    """Return (2 * batch, ...) as (2, batch, ...)."""
    return flat.reshape(2, len(flat) // 2, *flat.shape[1:])


def norm(values: Tensor) -> Tensor:
    """Return the Euclidean norm over the second dimension, which has a gradient where it is 0."""
    found: Tensor = torch.linalg.vector_norm(values, dim=1)
    return found


def likeness(pair: Tensor, constant: float) -> Tensor:
    """Return (2 a b + c) / (a^2 + b^2 + c) of the two magnitudes: 1 where they are equal, else less."""
    first, second = pair.unbind()
    return (2 * first * second + constant) / (first.square() + second.square() + constant)
