"""95 % intervals over the draw of the examples: of means, of resampled quantities, and exact bounds of a share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from featlab.types import Scores

Z = 1.959964
"""The 97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Mean:
    """A mean over `n` examples with its 95 % interval, +- 1.96 standard errors; NaN and unbounded where it has none."""

    value: float
    low: float
    high: float
    n: int

    @staticmethod
    def of(scores: Scores) -> Mean:
        """Return the mean of the scores that are numbers: examples without a value are left out."""
        known = scores[~scores.isnan()].double()
        n = len(known)
        middle = float(known.mean()) if n else math.nan
        half = Z * float(known.std()) / math.sqrt(n) if n > 1 else math.inf
        return Mean(middle, middle - half, middle + half, n)

    def record(self) -> dict[str, float | int | None]:
        """Return the numbers by name, None for what is not finite."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval over the draw of the examples."""

    value: float
    low: float
    high: float


def shares(count: int, resamples: int, *, seed: int) -> Tensor:
    """Return each example's share in each of `resamples` draws of `count` with replacement, (resamples, examples).

    Source: Efron 1979 (the bootstrap).
    """
    generator = torch.Generator().manual_seed(seed)
    found = torch.zeros(resamples, count, dtype=torch.float64)
    chosen = torch.randint(count, (resamples, count), generator=generator)
    return found.scatter_add_(1, chosen, torch.full_like(found, 1 / count))


def ends(cloud: Tensor) -> tuple[Tensor, Tensor]:
    """Return the 2.5 % and 97.5 % quantiles of resampled values, over the first dimension."""
    low, high = torch.quantile(cloud, torch.tensor([0.025, 0.975], dtype=cloud.dtype), dim=0)
    return low, high


def clopper_pearson_low(successes: Tensor, trials: int, *, alpha: float) -> Scores:
    """Return the one-sided lower bound of a success probability, which holds with probability 1 - alpha or more.

    The p at which `successes` or more of `trials` have probability alpha: P(B(n, p) >= k) = I_p(k, n - k + 1) = alpha;
    0 where there was none. Found by bisection in float64, and rounded down.
    Source: Clopper and Pearson 1934.
    """
    if trials < 1 or not 0 < alpha < 1:
        raise ValueError(f"trials must be 1 or more and alpha in (0, 1); got {trials} and {alpha}")
    if bool(((successes < 0) | (successes > trials)).any()):
        raise ValueError(f"successes must lie between 0 and {trials}, got {successes.tolist()}")
    distinct, place = successes.reshape(-1).unique(return_inverse=True)
    k = distinct.double()
    low, high = torch.zeros_like(k), k / trials  # The tail at k / n is about one half; alpha may be more.
    high = torch.where(_tail(k, trials, high) < alpha, torch.ones_like(k), high)
    for _ in range(52):
        middle = (low + high) / 2
        above = _tail(k, trials, middle) > alpha
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return torch.where(k == 0, 0.0, low)[place].reshape(successes.shape)


def _tail(k: Tensor, trials: int, p: Tensor) -> Tensor:
    """Return P(B(trials, p) >= k), which is 1 for k = 0."""
    inside = k > 0
    k = torch.where(inside, k, 1.0)
    return torch.where(inside, incomplete_beta(k, trials - k + 1, p.clamp(0, 1)), 1.0)


def incomplete_beta(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """Return the regularised incomplete beta function I_x(a, b), in float64, for a, b > 0 and x in [0, 1].

    By its continued fraction, on the side of x < (a + 1) / (a + b + 2), where that converges quickly, and by
    I_x(a, b) = 1 - I_{1 - x}(b, a) on the other.
    Source: Abramowitz and Stegun 1964, 26.5.8 (the fraction); Lentz 1976 (how to evaluate it from the front).
    """
    a, b, x = (value.double() for value in torch.broadcast_tensors(a, b, x))
    other = x > (a + 1) / (a + b + 2)
    p, q, t = torch.where(other, b, a), torch.where(other, a, b), torch.where(other, 1 - x, x)
    scale = torch.lgamma(p + q) - torch.lgamma(p) - torch.lgamma(q) + torch.xlogy(p, t) + torch.xlogy(q, 1 - t)
    part = scale.exp() * _fraction(p, q, t) / p
    return torch.where(other, 1 - part, part).clamp(0, 1)


def _fraction(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """Return 1 / (1 + d_1 / (1 + d_2 / ...)) with the coefficients of the incomplete beta function."""
    upper = torch.ones_like(x)
    lower = _nonzero(1 - (a + b) * x / (a + 1)).reciprocal()
    value = lower.clone()
    for m in range(1, 100_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        lower = _nonzero(1 + even * lower).reciprocal()
        upper = _nonzero(1 + even / upper)
        value = value * lower * upper
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        lower = _nonzero(1 + odd * lower).reciprocal()
        upper = _nonzero(1 + odd / upper)
        change = lower * upper
        value = value * change
        if bool(((change - 1).abs() < 1e-13).all()):
            return value
    raise ValueError(f"the incomplete beta function does not converge at a={a.tolist()}, b={b.tolist()}")


def _nonzero(value: Tensor) -> Tensor:
    return torch.where(value.abs() < 1e-300, 1e-300, value)


def jackknife(
    statistic: Callable[[Tensor, Tensor], float], samples: tuple[Tensor, Tensor], *, groups: int, seed: int
) -> Estimate:
    """Return a statistic of two samples of rows with its interval, +- 1.96 standard errors by leaving groups out.

    Each sample is dealt into `groups` at random; its part of the variance is (g - 1) / g sum_i (t_i - mean t)^2 with
    t_i the statistic without group i. Draws with replacement would put an example beside its copies, which distances
    among the examples of one sample take for a real likeness.
    Raises ValueError where a sample has fewer rows than groups, or fewer than 2 groups are asked for.
    Source: Efron and Tibshirani 1993, section 11.5 and problem 11.11 (two samples); Shao and Tu 1995, section 2.3.
    """
    least = min(map(len, samples))
    if not 2 <= groups <= least:
        raise ValueError(f"groups must be from 2 to the {least} examples of the smaller sample; got {groups}")
    generator = torch.Generator().manual_seed(seed)
    variance = 0.0
    for which, sample in enumerate(samples):
        dealt = torch.randperm(len(sample), generator=generator) % groups
        without = [statistic(*_less(samples, which, dealt != group)) for group in range(groups)]
        variance += (groups - 1) * float(torch.tensor(without, dtype=torch.float64).var(correction=0))
    value, half = statistic(*samples), Z * math.sqrt(variance)
    return Estimate(value, value - half, value + half)


def _less(samples: tuple[Tensor, Tensor], which: int, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return both samples, with only some of the rows of one of them."""
    first, second = samples
    return (first[kept], second) if which == 0 else (first, second[kept])
