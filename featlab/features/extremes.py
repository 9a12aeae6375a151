"""Reading features over a data set, and how far each can be pushed inside a threat model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from featlab import evaluation
from featlab.data import Data, batches
from featlab.objectives import activation
from featlab.problem import Problem, maximize
from featlab.threat_models import ThreatModel
from featlab.types import FeatureExtractor, Images, Progress, Seeds, silent


@dataclass(frozen=True, eq=False)
class Extremes:
    """The least and the largest value of each feature in each example's set: (examples, features), in float64."""

    low: Tensor
    high: Tensor

    def standardised(self, mean: Tensor, scale: Tensor, alive: Tensor) -> Extremes:
        """Return (value - mean) / scale of both, 0 for features that are not alive."""
        low, high = ((each - mean) / scale for each in (self.low, self.high))
        return Extremes(torch.where(alive, low, 0.0), torch.where(alive, high, 0.0))


def read(
    extract: FeatureExtractor,
    data: Data,
    *,
    units: Sequence[int] | None = None,
    batch_size: int = 512,
    progress: Progress = silent,
) -> tuple[Tensor, Tensor]:
    """Return the features of all examples, (examples, features) in float64 on the CPU, and which columns they are."""
    rows, columns, done = [], None, 0
    progress("features", 0, len(data))
    for images, _, _ in batches(data, batch_size):
        with torch.no_grad():
            values = extract(images.to(device_of(extract)))
        if values.dim() != 2:
            raise ValueError(f"features must be (batch, features), got shape {tuple(values.shape)}")
        columns = _columns(units, values.shape[1]) if columns is None else columns
        rows.append(values.cpu().double()[:, columns])
        done += len(images)
        progress("features", done, len(data))
    if columns is None:
        raise ValueError("features are read from at least one example, got none")
    features = torch.cat(rows)
    if not bool(torch.isfinite(features).all()):
        bad = columns[~torch.isfinite(features).all(dim=0)].tolist()
        raise ValueError(f"features must be finite; those of units {bad[:5]} are not, so the model answers NaN or inf")
    return features, columns


def _columns(units: Sequence[int] | None, count: int) -> Tensor:
    """Return the chosen columns, all by default."""
    columns = torch.arange(count) if units is None else torch.as_tensor(list(units), dtype=torch.int64)
    if len(columns) == 0 or int(columns.min()) < 0 or int(columns.max()) >= count:
        raise ValueError(f"units are columns from 0 to {count - 1}, at least one of them; got {columns.tolist()[:10]}")
    return columns


def device_of(extract: FeatureExtractor) -> torch.device:
    """Return where the model that an extractor reads is; the CPU for one that reads none."""
    return evaluation.device_of(getattr(extract, "model", extract))


def extremes(
    extract: FeatureExtractor,
    data: Data,
    *,
    within: ThreatModel,
    units: Tensor,
    steps: int = 10,
    relative_step: float = 0.25,
    batch_size: int = 512,
    seed: int = 0,
    follow: FeatureExtractor | None = None,
    progress: Progress = silent,
) -> Extremes:
    """Return the least and the largest value of each feature that ascent finds inside S(x), for each example.

    Every pair of example and feature is an ascent of its own, `batch_size` of them at a time. The ascents may `follow`
    the same features of a quicker copy of the model; what counts is what `extract` says where they end.
    """
    count, width = len(data), len(units)
    low, high = (torch.empty(count * width, dtype=torch.float64) for _ in range(2))
    progress("extremes", 0, count * width)
    for pairs in torch.arange(count * width).split(batch_size):
        examples = torch.div(pairs, width, rounding_mode="floor")
        unit = units[pairs % width]
        for towards, sign in ((low, -1.0), (high, 1.0)):
            towards[pairs] = pushed(
                extract,
                data.images(examples).to(device_of(extract)),
                unit,
                sign,
                within=within.rows(examples.to(device_of(extract))),
                steps=steps,
                relative_step=relative_step,
                seed=seed,
                examples=examples,
                follow=follow or extract,
            )
        progress("extremes", int(pairs[-1]) + 1, count * width)
    return Extremes(low.reshape(count, width), high.reshape(count, width))


def pushed(
    extract: FeatureExtractor,
    images: Images,
    unit: Tensor,
    sign: float,
    *,
    within: ThreatModel,
    steps: int,
    relative_step: float,
    seed: int,
    examples: Seeds,
    follow: FeatureExtractor,
) -> Tensor:
    """Return each pair's feature at the best point found, in the direction of `sign`."""
    score, climbed = (activation(each, unit=unit.to(images.device)) for each in (extract, follow))
    problem = Problem(
        sign * climbed, images, within, steps, relative_step * within.radius, seed=seed, examples=examples
    )
    with torch.no_grad():
        return score(maximize(problem)).cpu().double()
