"""How robust a representation is, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor

from featlab.data import Data, as_data, batches
from featlab.features.extremes import device_of
from featlab.intervals import Estimate, ends, shares
from featlab.objectives import match
from featlab.problem import Problem, maximize
from featlab.threat_models import ThreatModel
from featlab.types import FeatureExtractor, Features, Images, Labels, Progress, silent


def layer_robustness(
    extract: FeatureExtractor,
    data: Data | tuple[Images, Labels],
    *,
    within: ThreatModel,
    steps: int = 20,
    relative_step: float = 0.125,
    batch_size: int = 256,
    resamples: int = 1000,
    seed: int = 0,
    progress: Progress = silent,
) -> Estimate:
    """Return R(f) = E[max over x' in S(x) of |f(x') - f(x)|] / E[|f(x_1) - f(x_2)|]; lower is more robust.

    How far the set moves the representation, in units of the mean distance between two images'. The maximum is sought
    from a random start, as at the image itself the distance has no slope.
    Source: Ilyas et al. 2019, in Engstrom et al. 2019 (Distill, response to Nakano).
    """
    data = as_data(data)
    if len(data) < 2:
        raise ValueError(f"layer robustness compares images with each other, so it needs two of them; got {len(data)}")
    moved, features = [], []
    progress("layer", 0, len(data))
    for pixels, _, index in batches(data, batch_size):
        images = pixels.to(device_of(extract))
        with torch.no_grad():
            before = extract(images)
        problem = Problem(
            -match(extract, before),
            images,
            within.rows(index.to(images.device)),
            steps,
            relative_step * within.radius,
            random_start=True,
            seed=seed,
            examples=index,
        )
        with torch.no_grad():
            after = extract(maximize(problem))
        moved.append((after - before).double().norm(dim=1).cpu())
        features.append(before.double().cpu())
        progress("layer", int(index[-1]) + 1, len(data))
    return _ratio(torch.cat(moved), torch.cat(features), resamples=resamples, seed=seed)


def _ratio(moved: Tensor, features: Features, *, resamples: int, seed: int) -> Estimate:
    """Return mean distance moved over mean distance between two different examples, with a bootstrap interval."""
    apart = torch.cdist(features, features)
    if not float(apart.sum()) > 0:
        raise ValueError("the layer says the same of every image, so distances in it have no unit")
    count = len(moved)
    everyone = torch.full((1, count), 1 / count, dtype=torch.float64)
    (value,) = _ratios(everyone, moved, apart).tolist()
    low, high = ends(_ratios(shares(count, resamples, seed=seed), moved, apart))
    return Estimate(value, float(low), float(high))


def _ratios(weights: Tensor, moved: Tensor, apart: Tensor) -> Tensor:
    """Return the ratio under each row of weights; a draw of one example alone, which has no distance, is left out."""
    pairs = ((weights @ apart) * weights).sum(dim=1)
    some = pairs > 0
    # Two examples that are compared are different ones: the chance that they are the same is taken out.
    different = 1 - weights[some].square().sum(dim=1)
    return (weights[some] @ moved) * different / pairs[some]
