"""Two Gaussian classes and an l2 adversary: what robust training makes of the metric.

x ~ N(y mu, S) for y = +1 or -1. Maximum likelihood learns (mu, S), and the classifier is sign(x' S^-1 mu): its gradient
goes along S^-1 mu, which need not be the way to the other class, mu. Robust training learns another covariance.
Everything is a function of the eigenvalues of S (the `spectrum`), as all matrices here share their eigenvectors.
Source: Ilyas et al. 2019, section 4 and appendix E.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def adversarial_excess(spectrum: Tensor, penalty: float) -> float:
    """Return how much an adversary adds to the loss of the true parameters (theorem 1), given its `penalty` C.

    The loss is the negative log-likelihood 1/2 v' S^-1 v + ..., v = x - y mu; the adversary adds d that maximises it
    less C/2 |d|^2, which needs C > 1 / least eigenvalue. The excess is 1/2 (tr[(I + (C S - I)^-1)^2] - dimension). At a
    given trace it is least where all eigenvalues are equal: what makes a metric vulnerable is its misfit to l2.
    """
    spectrum = _checked(spectrum)
    if not penalty * float(spectrum.min()) > 1:
        raise ValueError(
            f"the adversary's gain is unbounded unless penalty > 1 / least eigenvalue = {1 / float(spectrum.min()):g}; "
            f"got {penalty:g}"
        )
    return 0.5 * float(((1 + 1 / (penalty * spectrum - 1)) ** 2 - 1).sum())


def simulated_excess(spectrum: Tensor, penalty: float, *, count: int = 200_000, seed: int = 0) -> float:
    """Return the same by drawing `count` examples and moving each as the adversary would, d = (C S - I)^-1 v."""
    spectrum = _checked(spectrum)
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.randn(count, len(spectrum), generator=generator, dtype=torch.float64) * spectrum.sqrt()
    moved = offsets + offsets / (penalty * spectrum - 1)
    return 0.5 * float(((moved.square() - offsets.square()) / spectrum).sum(dim=1).mean())


def robust_spectrum(spectrum: Tensor, dual: float) -> Tensor:
    """Return the eigenvalues of the covariance that robust training learns (theorem 2), given its `dual` variable.

    S_r = S/2 + I/dual + sqrt(S/dual + S^2/4); the mean it learns is the true one. The smaller the dual, the stronger
    the adversary.
    """
    spectrum = _checked(spectrum)
    if not dual > 0:
        raise ValueError(f"the dual variable must be > 0, got {dual:g}")
    return spectrum / 2 + 1 / dual + (spectrum / dual + spectrum.square() / 4).sqrt()


def robust_loss(spectrum: Tensor, learned: Tensor, dual: float) -> Tensor:
    """Return, per eigenvalue, what robust training minimises: 1/2 log s + 1/2 s* / (s - 1/dual), for s > 1/dual.

    The expected loss at the adversary's best answer, less dual/2 times the squared size of what it adds.
    """
    return 0.5 * learned.log() + 0.5 * spectrum / (learned - 1 / dual)


def eps_of(spectrum: Tensor, dual: float) -> float:
    """Return the radius that belongs to a dual variable: eps^2 = E|d|^2 = sum s / (dual s_r - 1)^2."""
    spectrum = _checked(spectrum)
    return math.sqrt(float((spectrum / (dual * robust_spectrum(spectrum, dual) - 1).square()).sum()))


def dual_of(spectrum: Tensor, eps: float) -> float:
    """Return the dual variable of a radius, by bisection: eps falls as the dual grows."""
    if not eps > 0:
        raise ValueError(f"eps must be > 0 (at 0 the dual variable is infinite), got {eps:g}")
    low, high = 1e-12, 1e12
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if eps_of(spectrum, middle) > eps else (low, middle)
    return math.sqrt(low * high)


def alignment(spectrum: Tensor) -> float:
    """Return the least cosine between mu and the gradient S^-1 mu over all mu (theorem 3), 2 sqrt(k) / (1 + k).

    k is the condition number of S: a robust net's is smaller, so its gradients point more towards the other class.
    """
    condition = float(spectrum.max() / spectrum.min())
    return 2 * math.sqrt(condition) / (1 + condition)


def least_aligned(spectrum: Tensor) -> Tensor:
    """Return a mean at which the least cosine is reached: along the ends of the spectrum, v_i = sqrt(s_i)."""
    mean = torch.zeros_like(spectrum)
    for place in (int(spectrum.argmin()), int(spectrum.argmax())):
        mean[place] = spectrum[place].sqrt()
    unit: Tensor = mean / mean.norm()
    return unit


def _checked(spectrum: Tensor) -> Tensor:
    """Return a spectrum in float64; eigenvalues of a covariance are > 0."""
    spectrum = spectrum.double()
    if spectrum.dim() != 1 or len(spectrum) == 0 or not bool((spectrum > 0).all()):
        raise ValueError(f"a spectrum holds eigenvalues > 0 in one row, got shape {tuple(spectrum.shape)}: {spectrum}")
    return spectrum
