"""What all tasks of the table share: the two nets, the judge, real images, and how a result is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import featlab as fl
from benchmarks import nets
from featlab import recipes
from featlab.datasets import Dataset
from featlab.evaluation import Accuracy
from featlab.intervals import Estimate, Mean
from featlab.recipes.nets import NetRecipe, make

ROBUST, STANDARD = "robust net", "standard net"
NETS = {ROBUST: "zoo:fashion-robust", STANDARD: "zoo:fashion-standard"}
LESS = "robust less standard"
ALONE = "no net"
JUDGE = "zoo:fashion-judge"
ROBUST_JUDGE = "fashion-mini-l2"
"""The recipe of the judge that small patterns do not fool, trained once, with a seed that no other net has."""
SEED = 2019
DATA = "fashion-mini"

Value = Tensor | Accuracy | Estimate
"""A number or a verdict per image, or a number of the whole set with its interval."""
Measure = Callable[[str, Tensor], Value]
"""What a provider's images are worth."""


class Indifferent(nn.Module):
    """A net that answers the same to everything: what a task makes with all but the net."""

    def forward(self, images: Tensor) -> Tensor:
        """Return ten logits that are 0, and do not change with the images."""
        return 0 * images.flatten(1)[:, :1].expand(-1, 10)


@dataclass(frozen=True, eq=False)
class Study:
    """The nets, their judges, so many test images with labels, and images that the nets were trained on."""

    nets: Mapping[str, fl.Classifier]
    judge: fl.Classifier
    robust_judge: fl.Classifier
    images: Tensor
    labels: Tensor
    shown: Dataset

    @staticmethod
    def of(count: int, device: torch.device) -> Study:
        """Return the study of the shipped nets with `count` test images, balanced over the classes."""
        images, labels = (each.to(device) for each in fl.load_data(DATA, train=False, count=count))
        loaded = {name: fl.load(address, device=device) for name, address in NETS.items()}
        judges = fl.load(JUDGE, device=device), fl.load(robust_judge(), device=device)
        return Study(loaded, *judges, images, labels, fl.open_data(DATA, train=True))

    def made(self, make: Callable[[nn.Module], Tensor], others: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what each net makes, and what the others are."""
        return {**{name: make(net) for name, net in self.nets.items()}, **others}

    def makers(self, provider: str) -> list[fl.Classifier]:
        """Return the nets that a provider's images were made with."""
        return [self.nets[provider]] if provider in self.nets else []

    def judged(self, labels: Tensor) -> dict[str, Measure]:
        """Return the measures whether the judges see these classes."""

        def by(judge: fl.Classifier) -> Measure:
            return lambda provider, images: fl.judged(judge, images, labels, made_by=self.makers(provider)).correct

        return {"judge accuracy": by(self.judge), "robust judge accuracy": by(self.robust_judge)}

    def confidence(self, labels: Tensor) -> Measure:
        """Return the measure of the judge's probability of these classes."""
        return lambda provider, images: fl.judged(self.judge, images, labels, made_by=self.makers(provider)).probability


def robust_judge() -> str:
    """Return the address of the robust judge, which is trained where it is not in the cache: minutes."""
    path = nets.CACHE / f"{ROBUST_JUDGE}-{SEED}.safetensors"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        parts = (fl.open_data(DATA, train=train) for train in (True, False))
        recipe = recipes.read("nets", ROBUST_JUDGE, NetRecipe)
        make(recipe, *parts, out=path, device=torch.device("cpu"), seed=SEED, note=lambda _: None)
    return f"file:{path}"


@dataclass(frozen=True, eq=False)
class Shown:
    """A task: what each provider made, and how that is measured; `true` names the images that were to be found."""

    title: str
    images: Mapping[str, Tensor]
    measures: Mapping[str, Measure]


def likeness(truth: Tensor) -> dict[str, Measure]:
    """Return the measures of likeness to the true images."""
    measures = {"PSNR, dB": fl.psnr, "SSIM": fl.ssim, "HaarPSI": fl.haarpsi, "GMSD": fl.gmsd}
    return {name: lambda _, images, measure=measure: measure(images, truth) for name, measure in measures.items()}


def found_of(value: Value) -> dict[str, float | int | None]:
    """Return a value with its 95 % interval, and the number of images where it is a mean over them; None: infinite."""
    if isinstance(value, Tensor):
        value = Accuracy.of(value) if value.dtype == torch.bool else Mean.of(value)
    middle = value.accuracy if isinstance(value, Accuracy) else value.value
    counted = {} if isinstance(value, Estimate) else {"n": value.n}
    found = {"value": middle, "low": value.low, "high": value.high}
    return {name: number if math.isfinite(number) else None for name, number in found.items()} | counted


def difference(values: Mapping[str, Value]) -> Mean | None:
    """Return robust less standard over the same images with its interval; None for a number of a whole set."""
    pair = [values[name] for name in (ROBUST, STANDARD)]
    if not all(isinstance(each, Tensor) for each in pair):
        return None
    return Mean.of(pair[0].double() - pair[1].double())
