"""Accuracy, and accuracy under attack, each with its interval and its conditions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn

from featlab.attacks import Attack, Model, suite
from featlab.data import Data, as_data, batches, check_images
from featlab.freezing import frozen
from featlab.objectives import cross_entropy
from featlab.problem import maximize
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, Progress, Verdicts, silent


@dataclass(frozen=True)
class Accuracy:
    """A fraction of `n` examples with its 95 % Wilson score interval [low, high].

    Source: Wilson 1927; the interval is over the draw of the examples, not over training seeds.
    """

    accuracy: float
    low: float
    high: float
    n: int

    @staticmethod
    def of(correct: Verdicts) -> Accuracy:
        """Return the fraction of true verdicts; there must be at least one."""
        n = len(correct)
        if n == 0:
            raise ValueError("accuracy needs at least one example, got none")
        share, z = float(correct.double().mean()), 1.959964
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return Accuracy(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)), n)

    def record(self) -> dict[str, float | int]:
        """Return the four numbers by name."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.accuracy:.1%} [{self.low:.1%}, {self.high:.1%}] (n={self.n})"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation found, with the conditions it was made under.

    `after` gives the accuracy that is left after each attack, in order: an image counts as robust while no attack so
    far has it. `correct` and `held` are the verdicts per example, clean and under all attacks.
    """

    clean: Accuracy
    robust: Accuracy
    after: tuple[tuple[Attack, Accuracy], ...]
    threat_model: str
    seed: int
    correct: Verdicts
    held: Verdicts

    def record(self) -> dict[str, object]:
        """Return everything but the verdicts per example, as plain values."""
        return {
            "clean": self.clean.record(),
            "robust": self.robust.record(),
            "threat_model": self.threat_model,
            "attacks": [{**_describe(attack), "left": left.record()} for attack, left in self.after],
            "seed": self.seed,
        }


def _describe(attack: Attack) -> dict[str, object]:
    return {**asdict(attack), "rule": repr(attack.rule)}


def device_of(model: Callable[..., object]) -> torch.device:
    """Return where a model's parameters are; the CPU for a callable that has none."""
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    first = next(parameters, None)
    return torch.device("cpu") if first is None else first.device


def predict(model: Model, images: Images) -> Labels:
    """Return the model's answers, argmax_c z_c(x)."""
    with frozen(model), torch.no_grad():
        return model(images).argmax(dim=1)


def accuracy(model: Model, data: Data | tuple[Images, Labels], *, batch_size: int = 512) -> Accuracy:
    """Return the share of examples that the model classifies as their label says."""
    return Accuracy.of(correct(model, data, batch_size=batch_size))


def correct(model: Model, data: Data | tuple[Images, Labels], *, batch_size: int = 512) -> Verdicts:
    """Return which examples the model classifies as their label says."""
    device = device_of(model)
    verdicts = []
    for images, labels, _ in batches(as_data(data), batch_size):
        check_images(images)
        verdicts.append(predict(model, images.to(device)).cpu() == labels)
    return torch.cat(verdicts) if verdicts else torch.zeros(0, dtype=torch.bool)


def evaluate(
    model: Model,
    data: Data | tuple[Images, Labels],
    *,
    within: ThreatModel,
    suite: str | Sequence[Attack] = "pgd",
    batch_size: int = 512,
    seed: int = 0,
    progress: Progress = silent,
) -> Evaluation:
    """Return clean and robust accuracy under an ensemble of attacks.

    Each attack starts from the clean images that are still classified as their label says; an image counts as robust
    only if no attack has it. Whether an attack has an image is judged once more on the returned image itself.
    """
    data = as_data(data)
    clean = correct(model, data, batch_size=batch_size)
    held, after = clean, []
    for attack in _attacks(suite):
        held = _hold(
            model, data, held, attack=attack, within=within, batch_size=batch_size, seed=seed, progress=progress
        )
        after.append((attack, Accuracy.of(held)))
    return Evaluation(
        clean=Accuracy.of(clean),
        robust=Accuracy.of(held),
        after=tuple(after),
        threat_model=repr(within),
        seed=seed,
        correct=clean,
        held=held,
    )


def _hold(
    model: Model,
    data: Data,
    held: Verdicts,
    *,
    attack: Attack,
    within: ThreatModel,
    batch_size: int,
    seed: int,
    progress: Progress = silent,
) -> Verdicts:
    """Return which of the images that held so far hold against one more attack."""
    device, done, total = device_of(model), 0, int(held.sum())
    held = held.clone()
    progress(attack.name, done, total)
    for index in held.nonzero()[:, 0].split(batch_size):
        images, labels = data.images(index).to(device), data.labels[index].to(device)
        if done == 0:
            _warn_of_zero_gradients(model, images, labels)
        rows = within.rows(index.to(device))
        found = maximize(attack.problem(model, images, labels, within=rows, seed=seed, examples=index))
        held[index] = (predict(model, found) == labels).cpu()
        done += len(index)
        progress(attack.name, done, total)
    return held


def curve(
    model: Model,
    data: Data | tuple[Images, Labels],
    *,
    along: Sequence[ThreatModel],
    suite: str | Sequence[Attack] = "quick",
    batch_size: int = 512,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Accuracy]:
    """Return the robust accuracy in each of several nested threat models, the smallest first (balls of growing eps).

    An image that does not hold in a smaller set does not hold in a larger one, so it is not attacked again.
    """
    data = as_data(data)
    held, points = correct(model, data, batch_size=batch_size), []
    progress("curve", 0, len(along))
    for within in along:
        for attack in _attacks(suite):
            held = _hold(model, data, held, attack=attack, within=within, batch_size=batch_size, seed=seed)
        points.append(Accuracy.of(held))
        progress("curve", len(points), len(along))
    return points


def _attacks(chosen: str | Sequence[Attack]) -> Sequence[Attack]:
    return suite(chosen) if isinstance(chosen, str) else chosen


def _warn_of_zero_gradients(model: Model, images: Images, labels: Labels) -> None:
    """Warn if an attack that follows gradients has none to follow: its robust accuracy would be too high."""
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        (grad,) = torch.autograd.grad(cross_entropy(model, labels)(images).sum(), images)
    still = int((grad.flatten(1) == 0).all(dim=1).sum())
    if still:
        warnings.warn(
            f"the gradient of the loss is exactly zero at {still} of {len(images)} images, so gradient attacks cannot "
            "move them and robust accuracy is an overestimate; use suite='pgd' (its margin loss does not saturate)",
            stacklevel=3,
        )
