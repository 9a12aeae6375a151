"""Linear classifiers and features of Gaussian classes: their accuracy and usefulness, in closed form."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Norm = Literal["linf", "l2"]
DUAL = {"linf": 1.0, "l2": 2.0}
"""The order of the norm that a perturbation's size is measured against: max over |d| <= 1 of <w, d> = |w|_dual."""


def normal_cdf(value: float | Tensor) -> Tensor:
    """Return Phi(value), the standard normal distribution function, in float64."""
    share: Tensor = torch.special.ndtr(torch.as_tensor(value, dtype=torch.float64))
    return share


def accuracy(weight: Tensor, mean: Tensor, covariance: Tensor, *, eps: float = 0.0, norm: Norm = "l2") -> float:
    """Return the robust accuracy of sign(<w, x>) for x ~ N(y mu, S), y = +1 or -1 alike often.

    P(inf over |d| <= eps of y <w, x + d> > 0) = Phi((<w, mu> - eps |w|_dual) / sqrt(w' S w)); `covariance` is a matrix
    (d, d), or its diagonal (d,).
    """
    spread = weight @ (covariance * weight if covariance.dim() == 1 else covariance @ weight)
    gap = weight @ mean - eps * torch.linalg.vector_norm(weight, DUAL[norm])
    return float(normal_cdf(gap / spread.sqrt()))


def robust_usefulness(weight: Tensor, mean: Tensor, covariance: Tensor, *, eps: float, norm: Norm = "l2") -> float:
    """Return gamma of the feature <w, x> on data of mean 0, E[y <w, x>] / |w|_S - eps |w|_dual / |w|_S.

    x ~ N(y mu, S) has the second moments M = S + mu mu', |w|_S = sqrt(w' M w); eps 0 gives rho.
    Source: Ilyas et al. 2019, section 2; Goh 2019 (Distill, "Two Examples of Useful, Non-Robust Features").
    """
    spread = weight @ (covariance * weight if covariance.dim() == 1 else covariance @ weight)
    size = math.sqrt(float(spread + (weight @ mean) ** 2))
    return float(weight @ mean - eps * torch.linalg.vector_norm(weight, DUAL[norm])) / size
