"""Accuracy, and accuracy under attack, each with its interval and its conditions."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from featlab.attacks import Attack, Model, suite
from featlab.data import Data, as_data, batches, check_images
from featlab.engine import Engine
from featlab.engine import engine as engine_of
from featlab.freezing import frozen
from featlab.intervals import Z
from featlab.models.classifier import fingerprint
from featlab.objectives import cross_entropy
from featlab.problem import maximize
from featlab.recording import Recorder
from featlab.runs import Ledger, Terms
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, Progress, Rows, Seeds, Verdicts, silent

UNTRIED: Final = -1
"""The verdict of an attack on an image that it was not tried on: 1 says that the image held, 0 that it did not."""


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
        share, z = float(correct.double().mean()), Z
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
            "attacks": [{**described(attack), "left": left.record()} for attack, left in self.after],
            "seed": self.seed,
        }


def robust_to_all(reports: Sequence[Evaluation]) -> Accuracy:
    """Return the share of examples that hold in every one of several threat models: robust accuracy in their union.

    The reports must be of one model on the same examples.
    Source: Tramer and Boneh 2019, section 2 (R^max_adv).
    """
    if not reports or any(len(each.held) != len(reports[0].held) for each in reports):
        raise ValueError("robust_to_all needs one report or more, all on the same examples")
    return Accuracy.of(torch.stack([each.held for each in reports]).all(dim=0))


def described(attack: Attack) -> dict[str, object]:
    """Return an attack as plain values."""
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
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Return clean and robust accuracy under an ensemble of attacks.

    Each attack starts from the clean images that are still classified as their label says; an image counts as robust
    only if no attack has it. Whether an attack has an image is judged once more on the returned image itself, by the
    model as it is, whatever copy of it the `engine` lets the attack follow: "auto" one that computes the same bits,
    "fast" the quickest. An image that only the copy was fooled by is attacked again through the model itself.
    `checkpoint` is a file that holds the verdicts of every attack on every example (1 held, 0 fooled, -1 not tried)
    while and after it runs: the same call goes on from there, to the same result. A file made with another model, data
    or arguments is a ValueError.
    """
    data, attacks = as_data(data), attacks_of(suite)
    arguments: dict[str, object] = {"within": repr(within), "attacks": [described(each) for each in attacks]}
    arguments |= {"engine": repr(engine), "batch_size": batch_size, "seed": seed}
    ledger = Ledger.open(checkpoint, terms(model, data, arguments) if checkpoint else {})
    clean = _clean(model, data, ledger, batch_size=batch_size)
    held, after = clean, []
    trial = Trial.of(model, data, engine=engine, batch_size=batch_size, seed=seed)
    for number, attack in enumerate(attacks):
        verdicts = ledger.column(f"{number}-{attack.name}", len(data), unknown=UNTRIED, dtype=torch.int8)
        held = trial.hold(held, attack, within, verdicts=verdicts, save=ledger.save, progress=progress)
        after.append((attack, Accuracy.of(held)))
    ledger.save(now=True)
    return Evaluation(
        clean=Accuracy.of(clean),
        robust=Accuracy.of(held),
        after=tuple(after),
        threat_model=repr(within),
        seed=seed,
        correct=clean,
        held=held,
    )


def _clean(model: Model, data: Data, ledger: Ledger, *, batch_size: int) -> Verdicts:
    """Return which examples are answered rightly without attack, from the ledger where it knows."""
    known = ledger.column("clean", len(data), unknown=UNTRIED, dtype=torch.int8)
    if bool((known == UNTRIED).any()):
        known.copy_(correct(model, data, batch_size=batch_size))
    return known == 1


def terms(model: Model, data: Data, arguments: Terms) -> Terms:
    """Return what a result is a function of: the arguments, and digests of the model and the data.

    A model that is no module is known by its name alone; of large data all labels and 256 images are looked at.
    """
    named = {"name": getattr(model, "__qualname__", type(model).__qualname__)}
    state = model.state_dict() if isinstance(model, nn.Module) else {}
    seen = hashlib.sha256(data.labels.contiguous().numpy().tobytes())
    some = torch.linspace(0, max(len(data) - 1, 0), min(len(data), 256)).long()
    seen.update(data.images(some).contiguous().cpu().numpy().tobytes())
    return {"model": fingerprint(state, named), "data": seen.hexdigest(), **arguments, "torch": torch.__version__}


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
    trial = Trial.of(model, data, engine=engine, batch_size=batch_size, seed=seed)
    progress("curve", 0, len(along))
    for within in along:
        for attack in attacks_of(suite):
            held = trial.hold(held, attack, within)
        points.append(Accuracy.of(held))
        progress("curve", len(points), len(along))
    return points


@dataclass(frozen=True, eq=False)
class Trial:
    """A model on trial: the copy of it that attacks follow, and whether it answers the same images twice alike."""

    model: Model
    follow: Model
    data: Data
    batch_size: int
    seed: int
    steady: bool
    recorder: Recorder | None

    @staticmethod
    def of(model: Model, data: Data, *, engine: str | Engine, batch_size: int, seed: int) -> Trial:
        """Return the trial, with the model prepared once for all attacks."""
        follow = engine_of(engine).prepare(model)
        first = data.images(torch.arange(min(len(data), 16))).to(device_of(model))
        steady = is_steady(follow, first)
        recorder = engine_of(engine).recorder(first.device) if steady else None
        return Trial(model, follow, data, batch_size, seed, steady, recorder)

    def hold(
        self,
        held: Verdicts,
        attack: Attack,
        within: ThreatModel,
        *,
        verdicts: Tensor | None = None,
        save: Callable[[], None] = lambda: None,
        progress: Progress = silent,
    ) -> Verdicts:
        """Return which of the images that held so far hold against one more attack.

        `verdicts` are filled in, and not asked for again where they are known; `save` is called after each batch.
        """
        done, total, held = 0, int(held.sum()), held.clone()
        verdicts = torch.full(held.shape, UNTRIED, dtype=torch.int8) if verdicts is None else verdicts
        progress(attack.name, done, total)
        # The batches are those of a run from the start: a matrix product may depend on its batch in the last bit.
        for index in held.nonzero()[:, 0].split(self.batch_size):
            if bool((verdicts[index] == UNTRIED).any()):
                rows = within.rows(index.to(device_of(self.model)))
                verdicts[index] = self.withstood(attack, rows, index, first=done == 0)[0].to(torch.int8)
                save()
            held[index] = verdicts[index] == 1
            done += len(index)
            progress(attack.name, done, total)
        return held

    def withstood(
        self, attack: Attack, within: ThreatModel, index: Rows, *, first: bool = False
    ) -> tuple[Verdicts, Images]:
        """Return which rows of a batch the model still answers rightly after the attack, and the images found."""
        device = device_of(self.model)
        images, labels = self.data.images(index).to(device), self.data.labels[index].to(device)
        if first:
            _warn_of_zero_gradients(self.model, images, labels)
        found = self._attacked(self.follow, attack, images, labels, within=within, examples=index)
        held = predict(self.model, found) == labels
        if self.follow is not self.model:
            again = (held & (predict(self.follow, found) != labels)).nonzero()[:, 0]
            rows, examples = within.rows(again), index[again.cpu()]
            through = self._attacked(self.model, attack, images[again], labels[again], within=rows, examples=examples)
            found = found.index_copy(0, again, through)
            held[again] = predict(self.model, through) == labels[again]
        return held.cpu(), found

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


def attacks_of(chosen: str | Sequence[Attack]) -> Sequence[Attack]:
    """Return the attacks of a suite, given by its name or itself."""
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
