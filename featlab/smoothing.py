"""Randomised smoothing: the answer that a model gives most often under Gaussian noise, and how far it is certain.

Source: Cohen et al. 2019, "Certified adversarial robustness via randomized smoothing".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from featlab import ops
from featlab.attacks import Model
from featlab.data import Data, as_data, check_images
from featlab.evaluation import Accuracy, device_of, terms
from featlab.freezing import frozen
from featlab.intervals import clopper_pearson_low
from featlab.ops import random
from featlab.runs import Ledger
from featlab.types import Images, Labels, Progress, Rows, Scores, Seeds, silent

ABSTAIN: Final = -1
"""The class of an example whose most frequent answer is not certain enough."""

SELECT, ESTIMATE = 0, 1
"""Which of two independent rounds of noise: the first chooses the class, the second counts it."""


@dataclass(frozen=True, eq=False)
class Certificates:
    """What smoothing certifies for each example: the class, -1 where it abstains, and the radius, 0 there.

    With probability 1 - alpha for each example, no image within `radius` of it in the Euclidean norm changes the answer
    of the smoothed classifier g(x) = argmax_c P(f(x + sigma z) = c).
    """

    classes: Labels
    radius: Scores
    labels: Labels
    sigma: float
    n0: int
    n: int
    alpha: float
    seed: int

    def accuracy(self, radius: float = 0.0) -> Accuracy:
        """Return certified accuracy: the share of examples answered rightly, for certain within `radius`.

        At 0 this is the accuracy of the smoothed classifier, an abstention counting as an error.
        """
        if not radius >= 0:
            raise ValueError(f"radius must be >= 0, got {radius}")
        return Accuracy.of((self.classes == self.labels) & (self.radius >= radius))

    def largest(self) -> float:
        """Return the radius of an example that is answered alike in all `n` draws: none can be larger."""
        return self.sigma * float(torch.special.ndtri(torch.tensor(self.alpha, dtype=torch.float64) ** (1 / self.n)))

    def curve(self, points: int = 9) -> list[tuple[float, Accuracy]]:
        """Return certified accuracy at so many evenly spaced radii, from 0 to the largest that there can be."""
        if points < 2:
            raise ValueError(f"a curve has 2 points or more, got {points}")
        step = max(self.largest(), 0.0) / (points - 1)
        return [(step * n, self.accuracy(step * n)) for n in range(points)]

    def record(self) -> dict[str, object]:
        """Return the curve and its conditions as plain values."""
        right = self.classes == self.labels
        return {
            "sigma": self.sigma,
            "n0": self.n0,
            "n": self.n,
            "alpha": self.alpha,
            "seed": self.seed,
            "accuracy": self.accuracy().record(),
            "abstained": Accuracy.of(self.classes == ABSTAIN).record(),
            "mean_radius": float(torch.where(right, self.radius, 0.0).mean()),
            "largest_radius": self.largest(),
            "points": [{"radius": radius, **left.record()} for radius, left in self.curve()],
        }


def certify(
    model: Model,
    data: Data | tuple[Images, Labels],
    *,
    sigma: float,
    n0: int = 100,
    n: int = 1000,
    alpha: float = 0.001,
    batch_size: int = 512,
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> Certificates:
    """Return the class and the certified Euclidean radius of each example under smoothing with noise of size `sigma`.

    The class is the most frequent answer to x + sigma z over `n0` draws; it counts k times over `n` others, so its
    probability is at least p, the Clopper-Pearson bound at level `alpha`; the radius is sigma Phi^-1(p) where p > 1/2,
    and the classifier abstains elsewhere. Noise is not cut to [0, 1]. A draw depends on seed, example and number alone;
    `batch_size` noisy images are answered at a time. The model should have been trained with such noise, or it answers
    noise. `checkpoint` is a file of what is known so far, as for `evaluate`.
    Source: Cohen et al. 2019, section 3.2.2 (algorithm Certify) and theorem 1.
    """
    _check(sigma=sigma, n0=n0, n=n, alpha=alpha)
    data = as_data(data)
    arguments = {"sigma": sigma, "n0": n0, "n": n, "batch_size": batch_size, "seed": seed}
    ledger = Ledger.open(checkpoint, terms(model, data, arguments) if checkpoint else {})
    classes = ledger.column("class", len(data), unknown=ABSTAIN, dtype=torch.int64)
    counts = ledger.column("count", len(data), unknown=-1, dtype=torch.int64)
    progress("certify", 0, len(data))
    for index in torch.arange(len(data)).split(max(1, batch_size // max(n0, n))):
        if bool((counts[index] < 0).any()):
            images = data.images(index).to(device_of(model))
            check_images(images)
            smoothed = _Smoothed(model, images, index, sigma, batch_size, seed)
            top = smoothed.counts(n0, SELECT).argmax(dim=1)
            classes[index], counts[index] = top, smoothed.counts(n, ESTIMATE).gather(1, top[:, None])[:, 0]
            ledger.save()
        progress("certify", int(index[-1]) + 1, len(data))
    ledger.save(now=True)
    radius = sigma * torch.special.ndtri(clopper_pearson_low(counts, n, alpha=alpha))
    sure = radius > 0
    return Certificates(
        torch.where(sure, classes, ABSTAIN), torch.where(sure, radius, 0.0), data.labels, sigma, n0, n, alpha, seed
    )


def _check(*, sigma: float, n0: int, n: int, alpha: float) -> None:
    if not (0 < sigma < math.inf):
        raise ValueError(f"sigma must be positive and finite, in units of [0, 1]; got {sigma}")
    if n0 < 1 or n < 1 or max(n0, n) >= 1 << 24:
        raise ValueError(f"n0 and n must lie between 1 and 2^24, got {n0} and {n}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is the probability of a wrong certificate, in (0, 1); got {alpha}")


@dataclass(frozen=True, eq=False)
class _Smoothed:
    """A model's answers to some images with noise."""

    model: Model
    images: Images
    index: Rows
    sigma: float
    batch_size: int
    seed: int

    def counts(self, draws: int, purpose: int) -> Tensor:
        """Return how often each class is the answer over so many draws, (images, classes)."""
        every = torch.arange(len(self.images) * draws)
        counts: Tensor | None = None
        with frozen(self.model), torch.no_grad():
            for rows in every.split(self.batch_size):
                which, draw = rows // draws, rows % draws
                images = self.images[which.to(self.images.device)]
                logits = self.model(self._noisy(images, self.index[which], draw, purpose))
                if counts is None:
                    counts = torch.zeros(len(self.images), logits.shape[1], dtype=torch.int64)
                answers = logits.argmax(dim=1).cpu()
                counts.index_put_((which, answers), torch.ones_like(answers), accumulate=True)
        assert counts is not None  # There is at least one draw.
        return counts

    def _noisy(self, images: Images, index: Rows, draw: Tensor, purpose: int) -> Images:
        noise = gaussian(images, examples=(index << 24) | draw, seed=self.seed, restart=purpose)
        noisy: Images = images + self.sigma * noise
        return noisy


def gaussian(like: Images, *, examples: Seeds, seed: int, restart: int = 0) -> Images:
    """Return standard normal numbers, shaped and typed like `like`: a function of seed, example, restart and element.

    A direction uniform on the sphere times an independent length of the chi distribution: z = chi u. The direction is
    the random start of a Euclidean ball, which has a kernel.
    """
    examples = examples.to(like.device)
    free = {"low": -math.inf, "high": math.inf}
    inside = ops.l2_sample(torch.zeros_like(like), eps=1.0, seed=seed, examples=examples, restart=restart, **free)
    drawn = random.words(examples, elements=2, seed=seed, restart=restart, purpose=LENGTH)
    uniform = (drawn[:, 0].double() * 2.0**20 + (drawn[:, 1] >> 12).double() + 0.5) * 2.0**-52
    wanted = chi_squared(uniform, freedom=math.prod(like.shape[1:])).sqrt()
    scale = wanted / inside.double().flatten(1).norm(dim=1)
    noise: Images = inside * scale.to(like.dtype).reshape(-1, *[1] * (like.dim() - 1))
    return noise


LENGTH: Final = 18
"""The purpose of the random words that lengths come from; see `ops.random`."""


def chi_squared(uniform: Scores, *, freedom: int) -> Scores:
    """Return the quantiles of the chi-squared distribution, in float64: the x with P(freedom / 2, x / 2) = uniform.

    By bisection between bounds that begin around the cube approximation of Wilson and Hilferty 1931.
    """
    spread = 2 / (9 * freedom)
    deviation = torch.special.ndtri(uniform.double())
    about = freedom * (1 - spread + deviation * math.sqrt(spread)).clamp_min(0) ** 3
    half = torch.full_like(about, freedom / 2)
    width = 1 + 0.02 * freedom**0.5
    low, high = (about - width).clamp_min(0), about + width
    while bool((outside := torch.special.gammainc(half, low / 2) > uniform).any()):
        low = torch.where(outside, (low - width).clamp_min(0), low)
    while bool((outside := torch.special.gammainc(half, high / 2) < uniform).any()):
        high = torch.where(outside, high + width, high)
    # The bounds are near where there are many degrees; near 0 where there are few, the root needs more digits.
    for _ in range(26 if freedom > 32 else 52):
        middle = (low + high) / 2
        above = torch.special.gammainc(half, middle / 2) > uniform
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    quantiles: Scores = (low + high) / 2
    return quantiles
