"""How near an image comes that was made from a representation alone: inversion, measured image by image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from featlab.data import Data, as_data, batches
from featlab.features.extremes import device_of
from featlab.intervals import Estimate, ends, shares
from featlab.models import Layer
from featlab.ops.random import normal, uniform
from featlab.plugins import task
from featlab.problem import maximize
from featlab.similarity import haarpsi, psnr, ssim
from featlab.types import Images, Labels, Progress, Rows, Scores, silent

OTHER, NOISE = 60, 61
"""Purposes of random numbers; see `featlab.ops.random`."""

MEASURES: Mapping[str, str] = {"representation": "low", "haarpsi": "high", "ssim": "high", "psnr": "high"}
"""What is measured between an image and its source, and which values are near."""

LOOKS: Mapping[str, tuple[Callable[[Images, Images], Scores], int]] = {
    "haarpsi": (haarpsi, 16),
    "ssim": (ssim, 11),
    "psnr": (psnr, 1),
}
"""The measures that know no net, each with the least number of pixels that a side must have for it."""

Start = Literal["other", "noise"]


@dataclass(frozen=True, eq=False)
class Inversions:
    """Images made from the representations of others, on the CPU, and how near each comes to its source.

    `found` and `start` are (images, ...), in the order of the data. `near` holds each of `MEASURES` between an
    inversion and its source, (images,); `baseline` the same between another random image of the data and the source:
    what an image that was made from nothing of the source would reach.
    """

    layer: str
    found: Images
    start: Images
    near: Mapping[str, Scores]
    baseline: Mapping[str, Scores]

    def means(self, *, resamples: int = 1000, seed: int = 0) -> dict[str, Estimate]:
        """Return the mean of each measure with its bootstrap interval over the draw of the images."""
        return {name: resampled(scores, resamples=resamples, seed=seed) for name, scores in self.near.items()}

    def baseline_means(self, *, resamples: int = 1000, seed: int = 0) -> dict[str, Estimate]:
        """Return the same of the baseline."""
        return {name: resampled(scores, resamples=resamples, seed=seed) for name, scores in self.baseline.items()}


def inversion_distances(
    model: nn.Module,
    data: Data | tuple[Images, Labels],
    *,
    layer: str = "penultimate",
    start: Start = "other",
    steps: int = 100,
    step_size: float = 0.3,
    batch_size: int = 256,
    seed: int = 0,
    progress: Progress = silent,
) -> Inversions:
    """Invert every image's representation, and return how near the result comes to the image that it was made from.

    argmin_z |g(z) - g(x)|_2 / |g(x)|_2 over z in [0, 1] by the task `invert`, begun at another random image of the data
    or at `noise` N(1/2, 1/20); `step_size` is the Euclidean length of a step. What remains of that distance says
    whether the inversion succeeded; HaarPSI, SSIM and PSNR, which know no net, say whether people would see the
    source in it. A net whose inversions have the representation but not the looks reads what people do not see.
    Images are (batch, 1 or 3, height, width); there must be two of them. Deterministic by `seed` and place in the data.
    Raises ValueError for fewer images, and for another start.
    Source: Engstrom et al. 2019, section 4.1 and figure 3; HaarPSI: Reisenhofer et al. 2018.
    """
    data = as_data(data)
    if len(data) < 2:
        raise ValueError(f"inversion needs another image to begin at, so at least two of them; got {len(data)}")
    if start not in {"other", "noise"}:
        raise ValueError(f"start must be 'other' or 'noise', got {start!r}")
    extract = Layer(model, layer)
    parts: list[tuple[Images, Images, Mapping[str, Scores], Mapping[str, Scores]]] = []
    progress("inversions", 0, len(data))
    for pixels, _, index in batches(data, batch_size):
        images = pixels.to(device_of(extract))
        other = data.images(others(index, len(data), seed=seed)).to(images.device)
        begin = other if start == "other" else noise(images, seed=seed, examples=index)
        found = maximize(task("invert")(model, begin, images, layer=layer, steps=steps, step_size=step_size))
        near, baseline = (nearness(extract, each, images) for each in (found, other))
        parts.append((found.cpu(), begin.cpu(), near, baseline))
        progress("inversions", int(index[-1]) + 1, len(data))
    made, begun, near_parts, baseline_parts = zip(*parts, strict=True)
    return Inversions(layer, torch.cat(made), torch.cat(begun), _joined(near_parts), _joined(baseline_parts))


def others(index: Rows, count: int, *, seed: int) -> Rows:
    """Return for each of some rows another of `count` rows, uniformly at random, a function of seed and row alone."""
    drawn = uniform(torch.empty(len(index), 1, dtype=torch.float64), seed=seed, examples=index, purpose=OTHER)[:, 0]
    return (index + 1 + (drawn * (count - 1)).long().clamp_max(count - 2)) % count


def noise(images: Images, *, seed: int, examples: Rows) -> Images:
    """Return noise N(1/2, 1/20) cut to [0, 1], shaped like the images, a function of seed and example alone."""
    drawn = normal(images, seed=seed, examples=examples.to(images.device), purpose=NOISE)
    return (0.5 + 0.05 * drawn).clamp(0, 1)


def nearness(extract: Layer, images: Images, source: Images) -> dict[str, Scores]:
    """Return each of `MEASURES` between images and their sources, (batch,) in float64 on the CPU."""
    with torch.no_grad():
        wanted = extract(source)
        away = (extract(images) - wanted).norm(dim=1) / wanted.norm(dim=1).clamp_min(1e-12)
        pictures = images.dim() == 4 and images.shape[1] in {1, 3}
        fits = {name: of for name, (of, side) in LOOKS.items() if pictures and min(images.shape[2:]) >= side}
        seen = {name: of(images, source) for name, of in fits.items()}
    return {name: scores.double().cpu() for name, scores in ({"representation": away} | seen).items()}


def _joined(parts: tuple[Mapping[str, Scores], ...]) -> dict[str, Scores]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def resampled(scores: Scores, *, resamples: int, seed: int) -> Estimate:
    """Return a mean with the 2.5 % and 97.5 % quantiles of the means of `resamples` draws. Source: Efron 1979."""
    cloud: Tensor = shares(len(scores), resamples, seed=seed) @ scores.double()
    low, high = ends(cloud)
    return Estimate(float(scores.double().mean()), float(low), float(high))
