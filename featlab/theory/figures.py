"""What the models of data look like: the curves behind the theorems, as plain numbers."""

from __future__ import annotations

import math
from typing import Any

import torch

from featlab.theory import gaussian
from featlab.theory.checks import Settings
from featlab.theory.schmidt import Samples

Points = list[list[float]]
TAUGHT = (1, 2, 5, 10, 20, 50, 100, 200, 500)
ATTACKED = (0.0, 0.25, 0.5)


def figures(settings: Settings) -> dict[str, Any]:
    """Return the points of every curve by name."""
    return {
        "excess": _excess(),
        "metric": _metric(settings),
        "ellipses": _ellipses(),
        "at_odds": _at_odds(settings),
        "samples": _samples(settings),
    }


def _excess() -> Points:
    """Return the loss that an adversary adds over the anisotropy t of two eigenvalues 1 + t and 1 - t, penalty 4."""
    shares = [number / 100 for number in range(-70, 71, 2)]
    return [[t, gaussian.adversarial_excess(torch.tensor([1 + t, 1 - t]), 4.0)] for t in shares]


def _metric(settings: Settings) -> dict[str, Points]:
    """Return condition number and least cosine of what robust training learns, over eps."""
    spectrum = settings.eigenvalues()
    largest = 2 * math.sqrt(float(spectrum.sum()))
    sizes = [largest * number / 60 for number in range(1, 61)]
    learned = [gaussian.robust_spectrum(spectrum, gaussian.dual_of(spectrum, eps)) for eps in sizes]
    learned, sizes = [spectrum, *learned], [0.0, *sizes]
    return {
        "condition": [[eps, float(each.max() / each.min())] for eps, each in zip(sizes, learned)],
        "cosine": [[eps, gaussian.alignment(each)] for eps, each in zip(sizes, learned)],
    }


def _ellipses() -> list[dict[str, Any]]:
    """Return the ellipses of the covariances learned in two dimensions, and the way of the gradient, over eps.

    Eigenvalues 4 and 1/4, turned by 30 degrees; the mean lies between the axes. Source: Ilyas et al. 2019, figure 4.
    """
    spectrum = torch.tensor([4.0, 0.25], dtype=torch.float64)
    turn = math.pi / 6
    axes = torch.tensor([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]], dtype=torch.float64)
    angle = torch.linspace(0, 2 * math.pi, 73, dtype=torch.float64)
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    mean = torch.tensor([1.0, 1.0], dtype=torch.float64)
    found = []
    for eps in (0.0, 0.5, 1.0, 2.0):
        learned = gaussian.robust_spectrum(spectrum, gaussian.dual_of(spectrum, eps)) if eps else spectrum
        gradient = (axes @ mean / learned) @ axes
        cosine = float(torch.nn.functional.cosine_similarity(gradient, mean, dim=0))
        found.append(
            {
                "eps": eps,
                "ellipse": ((circle * learned.sqrt()) @ axes).tolist(),
                "gradient": (2.5 * gradient / gradient.norm()).tolist(),
                "cosine": cosine,
            }
        )
    return found


def _at_odds(settings: Settings) -> dict[str, Any]:
    """Return the accuracies of the weak and the strong coordinates over eps, and the bound of theorem 2.1."""
    data = settings.at_odds()
    sizes = [3 * data.eta * number / 60 for number in range(61)]
    return {
        "eta": data.eta,
        "weak": [[eps, data.mean_accuracy(eps=eps)] for eps in sizes],
        "strong": [[eps, data.strong_accuracy(eps=eps)] for eps in sizes],
        "bound": data.bound(data.mean_accuracy()),
    }


def _samples(settings: Settings) -> list[dict[str, Any]]:
    """Return the accuracy over the number of samples at each eps."""
    data = Samples(dimension=settings.dimension)
    return [
        {"eps": eps, "points": [[count, data.accuracy(count, eps=eps, seed=settings.seed)] for count in TAUGHT]}
        for eps in ATTACKED
    ]
