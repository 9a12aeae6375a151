"""How good a saliency map is: what happens to the model's answer when what the map points at goes or stays.

All scores are per example, so that intervals can be given; all need the random and the edge-detector maps beside them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featlab.attacks import Model
from featlab.features.saliency import Maps, Method
from featlab.freezing import frozen
from featlab.ops.random import normal, uniform
from featlab.types import Images, Labels, Scores

DRAW, SHIFT, FILL = 42, 43, 44
"""Purposes of random numbers; see `featlab.ops.random`."""


@dataclass(frozen=True, eq=False)
class Curve:
    """The probability of the class, (batch, points), while a share of the pixels that grows from 0 to 1 is changed."""

    shares: Tensor
    values: Tensor

    def area(self) -> Scores:
        """Return the area under the curve by the trapezoidal rule, in [0, 1]."""
        return torch.trapezoid(self.values, self.shares, dim=1)


def probability(model: Model, images: Images, labels: Labels) -> Scores:
    """Return the model's probability of the class, softmax(z)_y."""
    with frozen(model), torch.no_grad():
        return model(images).float().softmax(dim=1).gather(1, labels[:, None])[:, 0]


def ranking(maps: Maps) -> Tensor:
    """Return each pixel's place, (batch, 1, height, width), 0 where the sum of |map| over channels is largest."""
    flat = maps.abs().sum(dim=1).flatten(1)
    places = flat.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return places.reshape(len(maps), 1, *maps.shape[2:])


def deletion(
    model: Model,
    images: Images,
    labels: Labels,
    maps: Maps,
    *,
    points: int = 11,
    baseline: Literal["black", "blurred"] = "black",
    kept: bool = False,
) -> Curve:
    """Return how the class's probability falls as the most salient pixels give way to the baseline; low areas are good.

    With `kept` it is insertion: the image begins as the baseline and the most salient pixels come first; high areas are
    good. Images that were changed are not of the kind that the model learned, so both ends are to be read together, and
    beside the baselines. Source: Petsiuk et al. 2018 (RISE), section 4.
    """
    shares = torch.linspace(0, 1, points, device=images.device)
    place = ranking(maps)
    count = place[0].numel()
    base = torch.zeros_like(images) if baseline == "black" else blurred(images)
    values = []
    for share in shares.tolist():
        first = place < round(share * count)
        values.append(probability(model, torch.where(first != kept, base, images), labels))
    return Curve(shares, torch.stack(values, dim=1))


def blurred(images: Images, *, width: int = 9) -> Images:
    """Return images under a Gaussian of standard deviation width / 4."""
    at = torch.arange(width, dtype=images.dtype, device=images.device) - width // 2
    bell = torch.exp(-0.5 * (at / (width / 4)) ** 2)
    bell = bell / bell.sum()
    flat = F.pad(images.flatten(0, 1)[:, None], [width // 2] * 4, mode="replicate")
    return F.conv2d(F.conv2d(flat, bell[None, None, :, None]), bell[None, None, None]).reshape(images.shape)


def road(
    model: Model, images: Images, labels: Labels, maps: Maps, *, shares: Sequence[float] = (0.2, 0.4, 0.6, 0.8)
) -> Scores:
    """Return (least - most) / 2: the class's probability without the least salient pixels, less that without the most.

    Pixels that are removed are filled in from those around them, with a little noise, so that their outline does not
    give them away. The mean over `shares` of the pixels; larger is better, random maps give 0.
    Source: Rong et al. 2022 (ROAD), section 4.
    """
    place = ranking(maps)
    count = place[0].numel()
    gaps = []
    for number, share in enumerate(shares):
        most = place < round(share * count)
        least = place >= count - round(share * count)
        kept = [
            probability(model, filled(images, gone, seed=2 * number + kind), labels)
            for kind, gone in enumerate((most, least))
        ]
        gaps.append((kept[1] - kept[0]) / 2)
    return torch.stack(gaps).mean(dim=0)


def filled(images: Images, gone: Tensor, *, noise: float = 0.01, sweeps: int = 200, seed: int = 0) -> Images:
    """Return images whose missing pixels are weighted means of their neighbours, plus noise: noisy linear imputation.

    Direct neighbours weigh 1/6 and diagonal ones 1/12, those outside the image nothing. The linear system is solved by
    `sweeps` of relaxation from a coarse-to-fine guess. Source: Rong et al. 2022 (ROAD), section 4.2.
    """
    gone = gone.expand(len(images), 1, *images.shape[2:])
    known = (~gone).to(images.dtype)
    guess = _pyramid(images * known, known)
    kernel = images.new_tensor([[1, 2, 1], [2, 0, 2], [1, 2, 1]])[None, None] / 12
    weight = F.conv2d(torch.ones_like(known), kernel, padding=1)
    now = torch.where(gone, guess, images)
    for _ in range(sweeps):
        around = F.conv2d(now.flatten(0, 1)[:, None], kernel, padding=1).reshape(images.shape) / weight
        now = torch.where(gone, around, images)
    examples = torch.arange(len(images), device=images.device)
    return torch.where(gone, now + noise * normal(images, seed=seed, examples=examples, purpose=FILL), images)


def _pyramid(values: Tensor, known: Tensor) -> Tensor:
    """Return a value for every pixel: the mean of the known ones in the smallest block around it that has some."""
    if min(values.shape[2:]) <= 1:
        return values / known.clamp_min(1e-6)
    small = F.avg_pool2d(values, 2, ceil_mode=True), F.avg_pool2d(known, 2, ceil_mode=True)
    share = small[1].clamp_min(1e-6)
    has = (small[1] > 0).to(values.dtype)
    coarse = _pyramid(small[0] / share * has, has)
    coarse = F.interpolate(coarse, scale_factor=2.0, mode="nearest")[..., : values.shape[2], : values.shape[3]]
    return torch.where(known > 0, values, coarse)


def infidelity(
    model: Model, images: Images, labels: Labels, maps: Maps, *, sigma: float = 0.2, draws: int = 20, seed: int = 0
) -> Scores:
    """Return E_I[(b <I, map> - (z_y(x) - z_y(x - I)))^2] / E_I[(z_y(x) - z_y(x - I))^2], at the best scale b; 0 to 1.

    I is Gaussian noise of standard deviation sigma. 0 says that the map foretells how the logit changes, 1 that it says
    nothing. Source: Yeh et al. 2019, section 2.2 and its optimal scaling.
    """
    examples = torch.arange(len(images), device=images.device)
    foretold, came = [], []
    before = _logit(model, images, labels)
    for number in range(draws):
        change = sigma * normal(images, seed=seed, examples=examples, restart=number, purpose=DRAW)
        foretold.append((change * maps).flatten(1).sum(dim=1))
        came.append(before - _logit(model, images - change, labels))
    told, seen = torch.stack(foretold, dim=1).double(), torch.stack(came, dim=1).double()
    size = told.square().sum(dim=1)
    scale = torch.where(size > 0, (told * seen).sum(dim=1) / size.clamp_min(1e-300), 0.0)
    left = (scale[:, None] * told - seen).square().sum(dim=1)
    return left / seen.square().sum(dim=1).clamp_min(1e-300)


def _logit(model: Model, images: Images, labels: Labels) -> Scores:
    with frozen(model), torch.no_grad():
        return model(images).float().gather(1, labels[:, None])[:, 0]


def max_sensitivity(
    method: Method, model: Model, images: Images, labels: Labels, *, radius: float = 0.02, draws: int = 8, seed: int = 0
) -> Scores:
    """Return max over d of |map(x + d) - map(x)| / |map(x)|, d uniform in [-radius, radius]; small is steady.

    NaN where the map of the image itself is 0 everywhere.
    Source: Yeh et al. 2019, section 4 (SENS_max), over `draws` random d.
    """
    examples = torch.arange(len(images), device=images.device)
    before = method(model, images, labels).flatten(1)
    size = before.norm(dim=1)
    size = torch.where(size > 0, size, torch.nan)
    moved = []
    for number in range(draws):
        shift = radius * (2 * uniform(images, seed=seed, examples=examples, restart=number, purpose=SHIFT) - 1)
        moved.append((method(model, images + shift, labels).flatten(1) - before).norm(dim=1) / size)
    return torch.stack(moved).amax(dim=0)


def randomisation(method: Method, model: nn.Module, images: Images, labels: Labels, *, seed: int = 0) -> Scores:
    """Return the rank correlation of |map| with that of the same net with random weights; near 0 is good.

    A map that stays the same explains the image, not the net. Every parameter is shuffled within its tensor, which
    keeps its distribution. Source: Adebayo et al. 2018, section 4.
    """
    maps = (method(each, images, labels).abs() for each in (model, shuffled(model, seed=seed)))
    one, other = (each.flatten(1).argsort(dim=1).argsort(dim=1).double() for each in maps)
    return F.cosine_similarity(one - one.mean(dim=1, keepdim=True), other - other.mean(dim=1, keepdim=True))


def shuffled(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """Return a copy of a model whose parameters are shuffled, each within its own tensor."""
    made = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
    return made


def alignment(maps: Maps, images: Images) -> Scores:
    """Return |cos(map, image)|: how far the gradient points along what is in the picture.

    Source: Etmann et al. 2019, definition 1 (alignment, there without the images' norm).
    """
    return F.cosine_similarity(maps.flatten(1), images.flatten(1)).abs()


def class_alignment(maps: Maps, images: Images, labels: Labels, means: Images) -> Scores:
    """Return cos(map, m_y - x): whether the gradient of the class's logit points to the mean image of the class.

    `means` (classes, ...) are the mean images of the training data.
    """
    return F.cosine_similarity(maps.flatten(1), (means[labels] - images).flatten(1))
