"""Every formula of the models of data beside a number found another way: by simulation, search or construction."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from featlab.theory import gaussian, linear
from featlab.theory.schmidt import Samples
from featlab.theory.tsipras import AtOdds
from featlab.types import Progress, silent

Relation = Literal["equals", "at most", "at least"]
ERRORS = 4.0
"""A simulated number agrees within so many of its standard errors: one check in 16 000 fails by chance."""


@dataclass(frozen=True)
class Check:
    """A formula's value, a number found another way, and whether they agree within a tolerance."""

    model: str
    claim: str
    exact: float
    numeric: float
    tolerance: float
    how: str
    relation: Relation = "equals"

    @property
    def holds(self) -> bool:
        """Whether `numeric` equals `exact` within the tolerance, or is at most or at least that."""
        over = self.numeric - self.exact
        return {"equals": abs(over), "at most": over, "at least": -over}[self.relation] <= self.tolerance

    def record(self) -> dict[str, Any]:
        """Return the check as plain values."""
        return {**asdict(self), "holds": self.holds}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The data of the models: eigenvalues of the Gaussian one, dimension of the others, p of the strong coordinate.

    `samples` are drawn for each simulation; eta of the weak coordinates is 4 / sqrt(dimension), and the radius against
    linf is 2 eta (Tsipras et al. 2019, theorem 2.2).
    """

    spectrum: tuple[float, ...] = (0.05, 0.1, 0.3, 1.0, 2.0, 5.0)
    dimension: int = 1000
    p: float = 0.95
    samples: int = 200_000
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.spectrum) < 2 or not all(0 < value < math.inf for value in self.spectrum):
            raise ValueError(f"spectrum must hold two eigenvalues > 0 or more, got {list(self.spectrum)}")
        if self.samples < 100:
            raise ValueError(f"a simulation needs 100 samples or more, got {self.samples}")
        self.at_odds()

    def eigenvalues(self) -> Tensor:
        """Return the spectrum as a tensor."""
        return torch.tensor(self.spectrum, dtype=torch.float64)

    def at_odds(self) -> AtOdds:
        """Return the data of Tsipras et al."""
        return AtOdds(dimension=self.dimension, p=self.p, eta=4 / math.sqrt(max(self.dimension, 1)))

    def normal(self, count: int, width: int, purpose: int) -> Tensor:
        """Return standard normal numbers, other ones for each purpose."""
        generator = torch.Generator().manual_seed(self.seed * 1000 + purpose)
        return torch.randn(count, width, generator=generator, dtype=torch.float64)


DUALS = (100.0, 30.0, 10.0, 3.0)
"""Dual variables of theorem 2, the weakest adversary first."""


def checks(settings: Settings, *, progress: Progress = silent) -> list[Check]:
    """Return every check: theorems 1 to 3 of Ilyas et al. 2019, and the models of Goh, Tsipras and Schmidt."""
    parts = (_theorem_1, _theorem_2, _theorem_3, _usefulness, _tsipras, _schmidt)
    found: list[Check] = []
    progress("checks", 0, len(parts))
    for number, part in enumerate(parts):
        found += part(settings)
        progress("checks", number + 1, len(parts))
    return found


def _simulated(model: str, claim: str, exact: float, drawn: Tensor, how: str) -> Check:
    """Return the check of a mean by a sample of it; of a share, where the sample holds truth values."""
    if drawn.dtype == torch.bool:
        # A sample of zeros alone has no spread, but the formula says what there is; one of them may always stray.
        tolerance = ERRORS * math.sqrt(exact * (1 - exact) / len(drawn)) + 1 / len(drawn)
    else:
        tolerance = ERRORS * float(drawn.std()) / math.sqrt(len(drawn))
    return Check(model, claim, exact, float(drawn.double().mean()), tolerance, how)


def _theorem_1(settings: Settings) -> Iterator[Check]:
    model, spectrum = "Gaussian, theorem 1", settings.eigenvalues()
    penalty = 2 / float(spectrum.min())
    offsets = settings.normal(settings.samples, len(spectrum), 1) * spectrum.sqrt()
    moved = offsets + offsets / (penalty * spectrum - 1)
    drawn = 0.5 * ((moved.square() - offsets.square()) / spectrum).sum(dim=1)
    closed = gaussian.adversarial_excess(spectrum, penalty)
    yield _simulated(model, "The loss that an adversary adds", closed, drawn, "mean over drawn examples")
    generator = torch.Generator().manual_seed(settings.seed * 1000 + 2)
    others = torch.rand(300, len(spectrum), generator=generator, dtype=torch.float64) + 0.05
    others *= spectrum.sum() / others.sum(dim=1, keepdim=True)
    high = 2 / float(others.min())
    even = gaussian.adversarial_excess(spectrum.mean().expand(len(spectrum)), high)
    least = min(gaussian.adversarial_excess(each, high) for each in others)
    claim = "At one trace, equal eigenvalues lose least"
    yield Check(model, claim, even, least, 1e-12, "least of 300 random spectra of that trace", "at least")


def _theorem_2(settings: Settings) -> Iterator[Check]:
    model, spectrum = "Gaussian, theorem 2", settings.eigenvalues()
    for dual in DUALS:
        learned = gaussian.robust_spectrum(spectrum, dual)
        searched = _least_loss(spectrum, dual)
        ratio = float((searched / learned - 1).abs().max())
        claim = f"Eigenvalues that robust training learns, dual {dual:g} (largest relative difference)"
        yield Check(model, claim, 0.0, ratio, 1e-6, "golden-section search of the loss")
    offsets = settings.normal(settings.samples, len(spectrum), 3) * spectrum.sqrt()
    for dual in DUALS:
        moved = offsets / (dual * gaussian.robust_spectrum(spectrum, dual) - 1)
        eps = gaussian.eps_of(spectrum, dual)
        claim = f"eps squared of dual {dual:g}"
        yield _simulated(model, claim, eps**2, moved.square().sum(dim=1), "mean squared move over drawn examples")
        yield Check(
            model, f"The dual of eps {eps:.3f}", dual, gaussian.dual_of(spectrum, eps), 1e-6 * dual, "bisection"
        )


def _least_loss(spectrum: Tensor, dual: float) -> Tensor:
    """Return the eigenvalues of least robust loss by golden-section search, without the formula."""
    low, high = torch.full_like(spectrum, (1 + 1e-9) / dual), 10 * spectrum + 10 / dual + 10 * (spectrum / dual).sqrt()
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(120):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        better = gaussian.robust_loss(spectrum, left, dual) < gaussian.robust_loss(spectrum, right, dual)
        low, high = torch.where(better, low, left), torch.where(better, right, high)
    return (low + high) / 2


def _theorem_3(settings: Settings) -> Iterator[Check]:
    model, spectrum = "Gaussian, theorem 3", settings.eigenvalues()
    spectra = [("the data's own metric", spectrum)]
    spectra += [(f"dual {dual:g}", gaussian.robust_spectrum(spectrum, dual)) for dual in DUALS]
    for name, each in spectra:
        exact = gaussian.alignment(each)
        claim = f"Least cosine of gradient and mean, {name}"
        yield Check(model, claim, exact, _least_cosine(each), 1e-6, "search over all mixtures of the two extremes")
        means = settings.normal(2000, len(each), 4)
        drawn = torch.nn.functional.cosine_similarity(means, means / each, dim=1).min()
        how = "least over 2000 random means"
        yield Check(model, f"No mean does worse, {name}", exact, float(drawn), 1e-12, how, "at least")


def _least_cosine(spectrum: Tensor) -> float:
    """Return the least cosine of mu and S^-1 mu over means in the plane of the extreme eigenvectors."""
    low, high = spectrum.min(), spectrum.max()
    angle = torch.linspace(0, math.pi / 2, 200_001, dtype=torch.float64)
    mean = torch.stack([angle.cos(), angle.sin()], dim=1)
    gradient = mean / torch.stack([low, high])
    return float(torch.nn.functional.cosine_similarity(mean, gradient, dim=1).min())


def _usefulness(settings: Settings) -> Iterator[Check]:
    """A linear feature of Gaussian classes: gamma by its formula, and on drawn examples moved against it."""
    model, spectrum = "Linear features (Goh)", settings.eigenvalues()
    mean, weight = spectrum.sqrt(), 1 / spectrum.sqrt()
    scale = math.sqrt(float(weight @ (spectrum * weight) + (weight @ mean) ** 2))
    examples = mean + settings.normal(settings.samples, len(spectrum), 5) * spectrum.sqrt()  # y x for either class
    balls: tuple[tuple[linear.Norm, Tensor], ...] = (("l2", weight / weight.norm()), ("linf", weight.sign()))
    for norm, step in balls:
        for eps in (0.0, 0.1, 0.5):
            moved = (examples - eps * step) @ weight / scale
            exact = linear.robust_usefulness(weight, mean, spectrum, eps=eps, norm=norm)
            yield _simulated(model, f"gamma at {norm} eps {eps:g}", exact, moved, "drawn examples moved against it")
            right = moved > 0
            share = linear.accuracy(weight, mean, spectrum, eps=eps, norm=norm)
            yield _simulated(model, f"Accuracy at {norm} eps {eps:g}", share, right, "the same examples")


def _tsipras(settings: Settings) -> Iterator[Check]:
    model, data = "Tsipras et al.", settings.at_odds()
    count = max(100, min(settings.samples, 20_000_000 // settings.dimension))
    points, y = data.sample(count, seed=settings.seed * 1000 + 6)
    weak = points[:, 1:]
    for factor in (0.0, 1.0, 2.0):
        eps = factor * data.eta
        right = (y[:, None] * weak - eps).mean(dim=1) > 0
        claim = f"Accuracy of the mean of the weak coordinates at linf eps {factor:g} eta"
        yield _simulated(model, claim, data.mean_accuracy(eps=eps), right, f"{count} drawn examples")
    strong = y * points[:, 0] - 2 * data.eta > 0
    exact = data.strong_accuracy(eps=2 * data.eta)
    yield _simulated(model, "Accuracy of the strong coordinate at 2 eta", exact, strong, f"{count} drawn examples")
    bound, kept = data.bound(data.mean_accuracy()), data.mean_accuracy(eps=2 * data.eta)
    claim = "Theorem 2.1: who is that accurate keeps at most this at 2 eta"
    yield Check(model, claim, bound, kept, 1e-12, "what the mean of the weak coordinates keeps", "at most")


def _schmidt(settings: Settings) -> Iterator[Check]:
    model, data = "Schmidt et al.", Samples(dimension=settings.dimension)
    count = max(100, min(settings.samples, 10_000_000 // settings.dimension))
    noise = settings.normal(count, settings.dimension, 7) * data.noise()
    for taught in (1, 10, 100):
        weight = data.learned(taught, seed=settings.seed)
        margins = (1 + noise) @ weight  # y x has the mean (1, ..., 1)
        for eps in (0.0, 0.5):
            exact = data.accuracy(taught, eps=eps, repeats=1, seed=settings.seed)
            right = margins - eps * weight.abs().sum() > 0
            claim = f"Accuracy at linf eps {eps:g} of what {taught} sample{'s' if taught > 1 else ''} taught"
            yield _simulated(model, claim, exact, right, f"{count} drawn examples")
