"""How much of what D_rand and D_det teach do robust features alone explain?"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from featlab.audit.differences import estimate, less
from featlab.central.perturbations import Bench, Row, share_of, timed
from featlab.datasets.dataset import Dataset
from featlab.evaluation import Accuracy
from featlab.features.extremes import read
from featlab.features.probe import probe
from featlab.features.radius import Radii, linear_radius
from featlab.features.usefulness import summarise, usefulness
from featlab.models import Classifier, Layer, head_of
from featlab.recipes.nets import Net
from featlab.types import FeatureExtractor

LINEAR = Net(architecture="mlp", arguments={"hidden": []})
"""A linear classifier: its features <w, x> have a radius in closed form."""


@dataclass(frozen=True, eq=False)
class Group:
    """Features that are judged together: columns of an extractor, and how they were chosen."""

    name: str
    extract: FeatureExtractor
    units: list[int]
    facts: Row


@dataclass(frozen=True, eq=False)
class Leakage:
    """The experiment: linear probes on robust features alone, trained on D_rand and D_det, judged on true test images.

    D_rand and D_det are to teach non-robust features only; whatever a probe that sees none of these learns from them
    is robust features' leakage. Source: Goh 2019 (Distill, "Robust feature leakage").
    """

    bench: Bench
    given_robust: Classifier | None = None

    def run(self) -> Row:
        """Return the accuracy of every probe and of the students, and how far there is leakage."""
        begun, bench = time.monotonic(), self.bench
        source = bench.source()
        groups = [*self._linear(), *self._of_robust_net()]
        sets = self._sets(source)
        rows = [self._probed(group, sets) for group in groups]
        students = {name: self._student(name, sets[name], seed) for name, seed in (("d_rand", 110), ("d_det", 111))}
        return {
            "source_accuracy": share_of(bench.right(source)).record(),
            "students": {name: found.record() for name, found in students.items()},
            "groups": rows,
            "seconds": timed(begun),
        }

    def _sets(self, source: Classifier) -> dict[str, Dataset]:
        """Return the sets that probes are trained on: the data themselves, D_rand and D_det with their controls."""
        bench, data = self.bench, self.bench.train_data
        made = {"data": data}
        for name, targets in (("d_rand", bench.random(data)), ("d_det", bench.next(data))):
            made[name] = bench.perturbed(name, source, data, targets)
            made[f"{name}_noise"] = bench.noised(f"{name}_noise", made[name], data)
        return made

    def _student(self, name: str, data: Dataset, seed: int) -> Accuracy:
        return share_of(self.bench.right(self.bench.student(f"on_{name}", data, seed=seed)))

    def _linear(self) -> list[Group]:
        """Return the features of a robustly trained linear classifier whose radius is large enough by its interval."""
        bench, within = self.bench, self.bench.within
        if within.order not in (1, 2, math.inf):
            return []  # Only in balls is a linear feature's robustness a formula.
        net = bench.net(
            "linear_robust", bench.train_data, seed=100, net=LINEAR, schedule=bench.recipe.linear, robust=True
        )
        head = head_of(net)
        # The logits' weights on the pixels themselves: normalisation divides by a standard deviation per channel.
        weight = _on_pixels(net, head.weight.detach().double().cpu())
        radii = linear_radius(weight, bench.train_data, within=within, seed=bench.shop.seed)
        eps = bench.recipe.certified * float(torch.as_tensor(within.radius))
        robust = (radii.zero.low > eps).nonzero()[:, 0].tolist()
        facts = {"accuracy": share_of(bench.right(net)).record(), "of": len(weight), **_smallest(radii)}
        return [Group(f"linear features, provably robust at eps {eps:g}", Layer(net, "logits"), robust, facts)]

    def _of_robust_net(self) -> list[Group]:
        """Return the robust units of a robust net, and its non-robust ones to compare with."""
        bench = self.bench
        net = self.given_robust or bench.net(
            "robust", bench.train_data, seed=101, schedule=bench.recipe.robust, robust=True
        )
        extract = Layer(net, "penultimate", pool=True)
        units = self._useful(extract)
        data = bench.train_data.subset(min(bench.recipe.images, len(bench.train_data)), seed=1)
        found = usefulness(
            extract,
            data,
            within=bench.within,
            units=units,
            batch_size=bench.recipe.batch_size,
            seed=bench.shop.seed,
            progress=lambda _, done, total: bench.shop.progress("gamma of units", done, total),
        )
        verdicts = found.verdicts()
        facts: Row = {"accuracy": share_of(bench.right(net)).record(), "of": len(units)}
        kinds = {"robust": "robust units of a robust net", "non-robust": "non-robust units of that net"}
        return [
            Group(title, extract, [unit for unit, each in zip(units, verdicts) if each == kind], facts)
            for kind, title in kinds.items()
        ]

    def _useful(self, extract: FeatureExtractor) -> list[int]:
        """Return the columns that are most useful on the training images."""
        values, columns = read(extract, self.bench.train_data, batch_size=self.bench.recipe.batch_size)
        found = summarise(values, self.bench.train_data.labels, None, units=columns, resamples=0)
        best = found.rho.value.amax(dim=0).argsort(descending=True, stable=True)[: self.bench.recipe.units]
        return best.sort().values.tolist()

    def _probed(self, group: Group, sets: Mapping[str, Dataset]) -> Row:
        """Return the accuracies of the probes of one group of features; None where there is no feature in it."""
        row: Row = {"group": group.name, "features": len(group.units), **group.facts, "probes": None, "leaks": None}
        if not group.units:
            return row
        test = self._read(group, self.bench.test_data)
        found = {name: self._probe(group, name, data, test) for name, data in sets.items()}
        probes = {name: {key: each.record() for key, each in pair.items()} for name, pair in found.items()}
        leaks = {
            name: asdict(less(estimate(found[name]["test"]), estimate(found[f"{name}_noise"]["test"])))
            for name in ("d_rand", "d_det")
        }
        return {**row, "probes": probes, "leaks": leaks}

    def _probe(self, group: Group, name: str, data: Dataset, test: Tensor) -> dict[str, Accuracy]:
        """Return how often a probe trained on a set is right on the test images, and how often it says y + 1."""
        bench = self.bench
        bench.shop.progress(f"probe {group.name}: {name}", 0, 1)
        made = probe(self._read(group, data), data.labels)
        answers = made.logits(test).argmax(dim=1)
        bench.shop.progress(f"probe {group.name}: {name}", 1, 1)
        labels = bench.test_data.labels
        return {"test": share_of(answers == labels), "shifted": share_of(answers == bench.next(bench.test_data))}

    def _read(self, group: Group, data: Dataset) -> Tensor:
        return read(group.extract, data, units=group.units, batch_size=self.bench.recipe.batch_size)[0]


def _on_pixels(net: Classifier, weight: Tensor) -> Tensor:
    """Return the weights of a linear net's head on images in [0, 1], which the classifier normalises first."""
    std = torch.tensor(net.std, dtype=torch.float64)
    pixels = weight.shape[1] // len(std)
    return weight / std.repeat_interleave(pixels)


def _smallest(radii: Radii) -> Row:
    """Return the radii of linear features, as plain numbers."""
    return {"radii": radii.zero.value.tolist(), "radii_low": radii.zero.low.tolist()}
