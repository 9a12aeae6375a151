"""Small balls written from their definitions, a linear model, and data whose features are known in closed form."""

from dataclasses import dataclass

import torch
from torch import nn

import featlab as fl


@dataclass(frozen=True, eq=False)
class Cube(fl.ThreatModel):
    """The max-norm ball, as a definition: independent of the kernels that the first-party plugins use."""

    eps: float | torch.Tensor

    def _size(self, like):
        return self.eps if isinstance(self.eps, float) else self.eps.reshape(-1, *[1] * (like.dim() - 1))

    @property
    def radius(self):
        return self.eps

    def project(self, points, center):
        size = self._size(center)
        return torch.minimum(torch.maximum(points, center - size), center + size).clamp(0, 1)

    def steepest(self, grad):
        return grad.sign()

    def sample(self, center, *, key):
        rows = []
        for example in key.examples.tolist():
            generator = torch.Generator().manual_seed(hash((key.seed, example, key.restart)) % 2**31)
            rows.append(torch.rand(center.shape[1:], generator=generator, dtype=center.dtype) * 2 - 1)
        noise = torch.stack(rows) if rows else torch.zeros_like(center)
        return self.project(center + self._size(center) * noise, center)

    def rows(self, index):
        return self if isinstance(self.eps, float) else Cube(self.eps[index])


@dataclass(frozen=True, eq=False)
class Ball(fl.ThreatModel):
    """The Euclidean ball without a box, as a definition."""

    eps: float

    @property
    def radius(self):
        return self.eps

    def project(self, points, center):
        delta = points - center
        norm = delta.flatten(1).norm(dim=1).clamp_min(1e-30)
        scale = (self.eps / norm).clamp_max(1).reshape(-1, *[1] * (points.dim() - 1))
        return center + delta * scale

    def steepest(self, grad):
        norm = grad.flatten(1).norm(dim=1).clamp_min(1e-30)
        return grad / norm.reshape(-1, *[1] * (grad.dim() - 1))

    def sample(self, center, *, key):
        return center.clone()


class Linear(nn.Module):
    """Two classes, z = (-w.x - b, w.x + b) / 2 in float64: margins, best steps and robust accuracy are known."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def value(self, images):
        return images.flatten(1).to(self.weight.dtype) @ self.weight + self.bias

    def forward(self, images):
        value = self.value(images)
        return torch.stack([-value / 2, value / 2], dim=1)


SIGMA = 0.02
"""The deviation of every pixel of `planted` about its class's mean."""


def planted(count, *, shifts, seed=0, width=12):
    """Return images in the middle of the box whose pixel i moves by shifts[i] with the class, and the labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count,), generator=generator)
    images = 0.5 + SIGMA * torch.randn(count, width, generator=generator, dtype=torch.float64)
    for pixel, shift in enumerate(shifts):
        images[:, pixel] += shift * (2 * labels - 1)
    return images.clamp(0, 1), labels


def pixels(count):
    """Return an extractor of the first pixels."""
    return lambda images: images[:, :count]
