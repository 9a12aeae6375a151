"""The central experiment, from scratch: train, attack, construct, train anew, and compare with controls."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch

from featlab import models
from featlab.attacks import Adversary
from featlab.central.claims import claims
from featlab.central.recipe import Recipe
from featlab.central.workshop import Workshop
from featlab.data import Data
from featlab.datasets.construct import (
    Noised,
    Perturbed,
    Relabelled,
    Represented,
    lengths_of,
    next_targets,
    random_targets,
    unrelated_rows,
)
from featlab.datasets.dataset import Dataset
from featlab.evaluation import Accuracy, accuracy, curve
from featlab.models import Classifier
from featlab.plugins import threat_model
from featlab.training import Schedule
from featlab.types import Labels

Row = dict[str, object]


@dataclass(frozen=True, eq=False)
class Shifted:
    """Data under the labels y + 1: what a net that learned the shifted labels themselves would answer."""

    data: Dataset

    @property
    def labels(self) -> Labels:
        """The label after each example's own."""
        return next_targets(self.data.labels, classes=len(self.data.classes))

    def images(self, index: torch.Tensor, /) -> torch.Tensor:
        """Return the images themselves."""
        return self.data.images(index)

    def __len__(self) -> int:
        return len(self.data)


@dataclass(frozen=True, eq=False)
class Found:
    """The result as plain values, and what the pictures are drawn from."""

    result: Row
    standard: Classifier
    robust: Classifier
    sets: Mapping[str, Dataset]


@dataclass(frozen=True, eq=False)
class Experiment:
    """The data, the recipe, and the workshop in which nets and sets are made."""

    recipe: Recipe
    train_data: Dataset
    test_data: Dataset
    shop: Workshop

    def run(self) -> Found:
        """Carry out every part, and return the result as the page and `--json` show it."""
        begun = time.monotonic()
        standard, robust = self._standard_and_robust()
        sets: dict[str, Dataset] = {}
        rows: Row = {"standard": self._under_attack(standard), "robust": self._under_attack(robust)}
        constructed: Row = {
            "d_rand": self._perturbed("d_rand", standard, self._random_targets(), self.recipe.d_rand, sets),
            "d_det": self._perturbed("d_det", standard, self._next_targets(), self.recipe.d_det, sets),
            "d_r": self._represented("d_r", robust, self.recipe.d_r, sets),
            "d_nr": self._represented("d_nr", standard, self.recipe.d_nr, sets),
        }
        result = {**self._conditions(), **rows, "constructed": constructed}
        result["checks"] = [asdict(claim) for claim in claims(result)]
        result["seconds"] = round(time.monotonic() - begun, 1)
        result["peak_rss_bytes"] = peak_rss_bytes()
        return Found(result, standard, robust, sets)

    def terms(self) -> Row:
        """Return everything that a run is a function of: two runs with the same terms may share what they made."""
        names = ("data", "device", "recipe", "seeds", "versions")
        return {name: value for name, value in self._conditions().items() if name in names}

    def _conditions(self) -> Row:
        return {
            "data": {
                "name": self.train_data.name,
                "train": len(self.train_data),
                "test": len(self.test_data),
                "train_sha256": self.train_data.sha256,
                "test_sha256": self.test_data.sha256,
            },
            "classes": len(self.train_data.classes),
            "device": str(self.shop.device),
            "threat_model": self.recipe.threat_model,
            "eps": self.recipe.eps,
            "recipe": asdict(self.recipe),
            "seeds": {"run": self.shop.seed, "nets": {name: seed for seed, name in enumerate(SEEDS)}},
            "versions": {"python": sys.version.split()[0], "torch": torch.__version__, "featlab": _version()},
        }

    def _random_targets(self) -> Labels:
        return random_targets(self.train_data.labels, classes=len(self.train_data.classes), seed=self.shop.seed)

    def _next_targets(self) -> Labels:
        return next_targets(self.train_data.labels, classes=len(self.train_data.classes))

    def _net(self, name: str, data: Dataset, schedule: Schedule, inner: Adversary | None = None) -> Classifier:
        seed = SEEDS.index(name)
        return self.shop.train(name, data, like=self.train_data, schedule=schedule, seed=seed, inner=inner)

    def _standard_and_robust(self) -> tuple[Classifier, Classifier]:
        ball = threat_model(self.recipe.threat_model, eps=self.recipe.eps)
        inner = Adversary(ball, self.recipe.inner.steps, self.recipe.inner.step_size)
        standard = self._net("standard", self.train_data, self.recipe.standard)
        return standard, self._net("robust", self.train_data, self.recipe.robust, inner)

    def _accuracy(self, net: Classifier, data: Data) -> dict[str, float | int]:
        return accuracy(net, data, batch_size=self.recipe.batch_size).record()

    def _under_attack(self, net: Classifier) -> Row:
        """Return the clean accuracy, and the accuracy left in balls of growing size."""
        points = curve(
            net,
            self.test_data,
            along=[threat_model(self.recipe.threat_model, eps=eps) for eps in self.recipe.curve],
            suite=self.recipe.suite,
            batch_size=self.recipe.batch_size,
            seed=self.shop.seed,
            progress=lambda _, done, total: self.shop.progress(f"attack {net.name}", done, total),
        )
        robust = [{"eps": eps, **point.record()} for eps, point in zip(self.recipe.curve, points, strict=True)]
        return {"clean": self._accuracy(net, self.test_data), "robust": robust}

    def _perturbed(
        self, name: str, source: Classifier, targets: Labels, schedule: Schedule, sets: dict[str, Dataset]
    ) -> Row:
        """Build D_rand or D_det and its controls, and return what fresh nets learn from each."""
        recipe, data = self.recipe, self.train_data
        within = threat_model(recipe.threat_model, eps=recipe.eps)
        built = self.shop.build(
            name,
            Perturbed(source, data, targets, within, recipe.perturb.steps, recipe.perturb.step_size),
            like=data,
            recipe={"threat_model": repr(within), **asdict(recipe.perturb)},
            source=source,
            columns=("source_index", "original_label", "reached"),
        )
        lengths = lengths_of(built, data)
        noise, mislabelled = (
            self.shop.build(
                f"{name}_{control}",
                construction,
                like=data,
                recipe={"control_of": name, "of": built.facts["provenance"]},
                columns=("source_index", "original_label"),
            )
            for control, construction in (
                ("noise", Noised(data, lengths, targets, self.shop.seed)),
                ("mislabels", Relabelled(data, targets)),
            )
        )
        sets |= {name: built, f"{name}_noise": noise}
        net = self._net(name, built, schedule)
        return {
            "test": self._accuracy(net, self.test_data),
            "noise_control": self._accuracy(self._net(f"{name}_noise", noise, schedule), self.test_data),
            "mislabel_control": self._accuracy(self._net(f"{name}_mislabels", mislabelled, schedule), self.test_data),
            "shifted": self._accuracy(net, Shifted(self.test_data)),
            "second_seed": self._accuracy(self._net(f"{name}_again", built, schedule), self.test_data),
            "attack_success": Accuracy.of(built.columns["reached"].bool()).record(),
            "mean_norm": float(lengths.mean()),
            "noise_mean_norm": float(lengths_of(noise, data).mean()),
        }

    def _represented(self, name: str, source: Classifier, schedule: Schedule, sets: dict[str, Dataset]) -> Row:
        """Build D_R or D_NR, and return the clean and robust accuracy of a fresh net that is trained on it."""
        recipe, data = self.recipe, self.train_data
        starts = unrelated_rows(len(data), seed=self.shop.seed)
        built = self.shop.build(
            name,
            Represented(
                models.penultimate(source),
                data,
                starts,
                threat_model("box"),
                recipe.represent.steps,
                recipe.represent.step_size,
                self.shop.device,
            ),
            like=data,
            recipe=asdict(recipe.represent),
            source=source,
            columns=("source_index", "start_index"),
        )
        sets[name] = built
        found = self._under_attack(self._net(name, built, schedule))
        return {"test": found["clean"], "robust": found["robust"]}


SEEDS = (
    "standard",
    "robust",
    "d_rand",
    "d_rand_noise",
    "d_rand_mislabels",
    "d_rand_again",
    "d_det",
    "d_det_noise",
    "d_det_mislabels",
    "d_det_again",
    "d_r",
    "d_nr",
)
"""Every net of the experiment; its place is its seed, so that no two share their random numbers."""


def peak_rss_bytes() -> int:
    """Return the most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _version() -> str:
    from featlab import __version__

    return __version__
