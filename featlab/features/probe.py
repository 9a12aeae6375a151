"""Linear classifiers on features: a plain probe, and a sparse one that decides by few features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from featlab.evaluation import Accuracy
from featlab.types import Features, Labels, Logits


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear classifier on standardised features, z = W (f - mean) / std + b, in float64."""

    weight: Tensor
    bias: Tensor
    mean: Tensor
    std: Tensor
    strength: float

    def logits(self, features: Features) -> Logits:
        """Return the logits of features, (batch, classes)."""
        return (features.double().cpu() - self.mean) / self.std @ self.weight.T + self.bias

    def accuracy(self, features: Features, labels: Labels) -> Accuracy:
        """Return the share of examples that are answered as their label says."""
        return Accuracy.of(self.logits(features).argmax(dim=1) == labels.cpu())

    def used(self) -> Tensor:
        """Return how many features each class's logit depends on, (classes,)."""
        return (self.weight != 0).sum(dim=1)


def sparse_path(
    features: Features,
    labels: Labels,
    *,
    count: int = 10,
    smallest: float = 1e-3,
    l1_share: float = 0.99,
    sweeps: int = 300,
) -> list[Probe]:
    """Return linear classifiers of growing density: multinomial logistic regressions under an elastic net.

    min over W, b of mean cross-entropy + s (a |W|_1 + (1 - a) / 2 |W|_2^2), a = `l1_share`, for `count` strengths s
    that fall geometrically from the one at which W is 0 to `smallest` of it, each begun where the last one ended.
    Accelerated proximal gradient steps, by a bound on the curvature. Source: Wong et al. 2021, section 2 (there by
    GLM-SAGA); Beck and Teboulle 2009 (FISTA).
    """
    classes = _checked(features, labels)
    mean, std, scaled = _standardised(features)
    truth = torch.nn.functional.one_hot(labels.cpu(), classes).double()
    bias = truth.mean(dim=0).clamp_min(1e-6).log()
    weight = torch.zeros(classes, scaled.shape[1], dtype=torch.float64)
    strongest = float((_slope(scaled, truth, weight, bias)[0]).abs().max()) / l1_share
    # The Hessian of the cross-entropy is at most 1/2 of the features' second moments (Boehning 1992).
    lipschitz = 0.5 * float(torch.linalg.matrix_norm(scaled.T @ scaled / len(scaled), 2)) + 0.5
    path = []
    for strength in torch.logspace(0, torch.log10(torch.tensor(smallest)).item(), count, dtype=torch.float64).tolist():
        weight, bias = _shrunk(scaled, truth, weight, bias, strongest * strength, l1_share, lipschitz, sweeps)
        path.append(Probe(weight, bias, mean, std, strongest * strength))
    return path


def probe(features: Features, labels: Labels, *, ridge: float = 1e-4, sweeps: int = 500) -> Probe:
    """Return the multinomial logistic regression on features with a small ridge penalty.

    A probe on the robust features alone, trained on D_rand or D_det and judged on the test images, says how much of
    what these sets teach is robust features' leakage. Source: Goh 2019 (Distill, "Robust feature leakage").
    """
    classes = _checked(features, labels)
    mean, std, scaled = _standardised(features)
    truth = torch.nn.functional.one_hot(labels.cpu(), classes).double()
    weight, bias = torch.zeros(classes, scaled.shape[1], dtype=torch.float64), torch.zeros(classes, dtype=torch.float64)
    lipschitz = 0.5 * float(torch.linalg.matrix_norm(scaled.T @ scaled / len(scaled), 2)) + 0.5
    weight, bias = _shrunk(scaled, truth, weight, bias, ridge, 0.0, lipschitz, sweeps)
    return Probe(weight, bias, mean, std, ridge)


def _checked(features: Features, labels: Labels) -> int:
    """Return the number of classes."""
    if features.dim() != 2 or len(features) != len(labels) or len(labels.unique()) < 2:
        raise ValueError(
            f"a probe needs features (examples, features) with one label each of at least two classes; got shape "
            f"{tuple(features.shape)}, {len(labels)} labels, {len(labels.unique())} classes"
        )
    return int(labels.max()) + 1


def _standardised(features: Features) -> tuple[Tensor, Tensor, Tensor]:
    values = features.double().cpu()
    mean, std = values.mean(dim=0), values.std(dim=0, correction=0)
    std = torch.where(std > 0, std, 1.0)
    return mean, std, (values - mean) / std


def _slope(scaled: Tensor, truth: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Return the derivatives of the mean cross-entropy with respect to weight and bias."""
    error = ((scaled @ weight.T + bias).softmax(dim=1) - truth) / len(scaled)
    return error.T @ scaled, error.sum(dim=0)


def _shrunk(
    scaled: Tensor,
    truth: Tensor,
    weight: Tensor,
    bias: Tensor,
    strength: float,
    l1_share: float,
    lipschitz: float,
    sweeps: int,
) -> tuple[Tensor, Tensor]:
    """Return weight and bias after accelerated proximal steps: descend, then shrink."""
    step, pace = 1 / lipschitz, 1.0
    ahead, ahead_bias = weight, bias
    for _ in range(sweeps):
        by_weight, by_bias = _slope(scaled, truth, ahead, ahead_bias)
        free = ahead - step * by_weight
        cut = (free.abs() - step * strength * l1_share).clamp_min(0) * free.sign()
        new, new_bias = cut / (1 + step * strength * (1 - l1_share)), ahead_bias - step * by_bias
        faster = (1 + (1 + 4 * pace * pace) ** 0.5) / 2
        ahead = new + (pace - 1) / faster * (new - weight)
        ahead_bias = new_bias + (pace - 1) / faster * (new_bias - bias)
        weight, bias, pace = new, new_bias, faster
    return weight, bias
