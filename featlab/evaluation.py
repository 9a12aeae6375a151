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
from featlab.engine import Engine
from featlab.engine import engine as engine_of
from featlab.freezing import frozen
from featlab.objectives import cross_entropy
from featlab.problem import maximize
from featlab.recording import Recorder
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, Progress, Rows, Seeds, Verdicts, silent


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
    engine: str | Engine = "auto",
    batch_size: int = 512,
    seed: int = 0,
    progress: Progress = silent,
) -> Evaluation:
    """Return clean and robust accuracy under an ensemble of attacks.

    Each attack starts from the clean images that are still classified as their label says; an image counts as robust
    only if no attack has it. Whether an attack has an image is judged once more on the returned image itself, by the
    model as it is, whatever copy of it the `engine` lets the attack follow: "auto" one that computes the same bits,
    "fast" the quickest. An image that only the copy was fooled by is attacked again through the model itself.
    """
    data = as_data(data)
    clean = correct(model, data, batch_size=batch_size)
    held, after = clean, []
    trial = _Trial.of(model, data, engine=engine, batch_size=batch_size, seed=seed)
    for attack in _attacks(suite):
        held = trial.hold(held, attack, within, progress=progress)
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


def curve(
    model: Model,
    data: Data | tuple[Images, Labels],
    *,
    along: Sequence[ThreatModel],
    suite: str | Sequence[Attack] = "quick",
    engine: str | Engine = "auto",
    batch_size: int = 512,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Accuracy]:
    """Return the robust accuracy in each of several nested threat models, the smallest first (balls of growing eps).

    An image that does not hold in a smaller set does not hold in a larger one, so it is not attacked again.
    """
    data = as_data(data)
    held, points = correct(model, data, batch_size=batch_size), []
    trial = _Trial.of(model, data, engine=engine, batch_size=batch_size, seed=seed)
    progress("curve", 0, len(along))
    for within in along:
        for attack in _attacks(suite):
            held = trial.hold(held, attack, within)
        points.append(Accuracy.of(held))
        progress("curve", len(points), len(along))
    return points


@dataclass(frozen=True, eq=False)
class _Trial:
    """A model on trial: the copy of it that attacks follow, and whether it answers the same images twice alike."""

    model: Model
    follow: Model
    data: Data
    batch_size: int
    seed: int
    steady: bool
    recorder: Recorder | None

    @staticmethod
    def of(model: Model, data: Data, *, engine: str | Engine, batch_size: int, seed: int) -> _Trial:
        """Return the trial, with the model prepared once for all attacks."""
        follow = engine_of(engine).prepare(model)
        first = data.images(torch.arange(min(len(data), 16))).to(device_of(model))
        steady = is_steady(follow, first)
        recorder = engine_of(engine).recorder(first.device) if steady else None
        return _Trial(model, follow, data, batch_size, seed, steady, recorder)

    def hold(self, held: Verdicts, attack: Attack, within: ThreatModel, *, progress: Progress = silent) -> Verdicts:
        """Return which of the images that held so far hold against one more attack."""
        done, total, held = 0, int(held.sum()), held.clone()
        progress(attack.name, done, total)
        for index in held.nonzero()[:, 0].split(self.batch_size):
            held[index] = self._withstood(attack, within.rows(index.to(device_of(self.model))), index, first=done == 0)
            done += len(index)
            progress(attack.name, done, total)
        return held

    def _withstood(self, attack: Attack, within: ThreatModel, index: Rows, *, first: bool) -> Verdicts:
        """Return which rows of a batch the model still answers rightly after the attack."""
        device = device_of(self.model)
        images, labels = self.data.images(index).to(device), self.data.labels[index].to(device)
        if first:
            _warn_of_zero_gradients(self.model, images, labels)
        found = self._attacked(self.follow, attack, images, labels, within=within, examples=index)
        held = predict(self.model, found) == labels
        if self.follow is not self.model:
            again = (held & (predict(self.follow, found) != labels)).nonzero()[:, 0]
            rows, examples = within.rows(again), index[again.cpu()]
            found = self._attacked(self.model, attack, images[again], labels[again], within=rows, examples=examples)
            held[again] = predict(self.model, found) == labels[again]
        return held.cpu()

    def _attacked(
        self, through: Model, attack: Attack, images: Images, labels: Labels, *, within: ThreatModel, examples: Seeds
    ) -> Images:
        """Return what one attack finds for a batch through the model, or through the copy of it."""
        problem = attack.problem(
            through, images, labels, within=within, seed=self.seed, examples=examples, detect_cycles=self.steady
        )
        return maximize(problem, recorder=self.recorder)


def is_steady(model: Model, images: Images) -> bool:
    """Return whether a model answers the same images twice with the same bits, as one with random parts does not."""
    with frozen(model), torch.no_grad():
        return torch.equal(model(images), model(images))


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
