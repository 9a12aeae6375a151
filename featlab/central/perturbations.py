"""What the experiments about perturbations share: their recipe, and a bench on which nets and sets are made."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from featlab.attacks import Adversary, Model
from featlab.central.recipe import Ascent
from featlab.central.workshop import Workshop
from featlab.data import Data, batches
from featlab.datasets.construct import Noised, Perturbed, Relabelled, lengths_of, next_targets, random_targets
from featlab.datasets.dataset import Dataset
from featlab.evaluation import Accuracy, predict
from featlab.intervals import Mean
from featlab.models import Classifier
from featlab.plugins import threat_model
from featlab.recipes.nets import Net
from featlab.threat_models import ThreatModel
from featlab.training import Schedule
from featlab.types import Labels

Row = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """An architecture under the name that tables give it."""

    name: str
    net: Net


@dataclass(frozen=True, kw_only=True)
class PerturbationRecipe:
    """Everything that the experiments about perturbations are a function of, besides data, source and seed.

    `net` is the architecture of the source where none is given, of its peers and of the students; `perturb` moves
    images towards their targets. `peers` nets are those that perturbations are tried on, `bystanders` those that the
    non-transferable attack must not fool. Each of the `contenders` is trained on the data once and on the source's
    D_det `students` times. `robust` and `linear` train the nets whose features leak, by `inner`; of the robust net
    `units` units are measured on `images` images; linear features count as robust whose radius is certainly `certified`
    times that of the set (Goh 2019: half of it). `train_count` and `test_count` take a balanced subset; 0 takes all.
    """

    net: Net
    threat_model: str
    perturb: Ascent
    standard: Schedule
    student: Schedule
    robust: Schedule
    linear: Schedule
    inner: Ascent
    contenders: tuple[Contender, ...]
    peers: int = 2
    bystanders: int = 3
    students: int = 2
    units: int = 24
    images: int = 100
    certified: float = 0.5
    train_count: int = 0
    test_count: int = 0
    batch_size: int = 500

    def __post_init__(self) -> None:
        if min(self.peers, self.bystanders, self.students, self.units) < 1 or self.images < 2:
            raise ValueError(
                "peers, bystanders, students and units must be 1 or more and images 2 or more; got "
                f"{self.peers}, {self.bystanders}, {self.students}, {self.units} and {self.images}"
            )
        if not self.certified > 0:
            raise ValueError(f"certified is a multiple > 0 of the set's radius, got {self.certified}")
        names = [each.name for each in self.contenders]
        if len(names) < 3 or len(set(names)) < len(names):
            raise ValueError(f"contenders must be three architectures or more, each of its own name; got {names}")

    def inside(self, spec: str) -> PerturbationRecipe:
        """Return the recipe with another set, whose steps are as large for its radius as they were for the old one."""
        new, old = (float(torch.as_tensor(threat_model(each).radius).max()) for each in (spec, self.threat_model))

        def scaled(ascent: Ascent) -> Ascent:
            return replace(ascent, step_size=ascent.step_size * new / old)

        return replace(self, threat_model=spec, perturb=scaled(self.perturb), inner=scaled(self.inner))


@dataclass(frozen=True, eq=False)
class Bench:
    """The data, the recipe, and the workshop in which nets and sets are made; `given` is the user's own source."""

    recipe: PerturbationRecipe
    train_data: Dataset
    test_data: Dataset
    shop: Workshop
    given: Classifier | None = None

    @property
    def within(self) -> ThreatModel:
        """The set in which images are perturbed."""
        return threat_model(self.recipe.threat_model)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.train_data.classes)

    def source(self) -> Classifier:
        """Return the net whose perturbations are looked at: the one that was given, or a standard one."""
        return self.given or self.net("source", self.train_data, seed=1)

    def net(
        self,
        name: str,
        data: Dataset,
        *,
        seed: int,
        net: Net | None = None,
        schedule: Schedule | None = None,
        robust: bool = False,
    ) -> Classifier:
        """Return a net trained on some data, by default as the source is; its seed is its own in an experiment."""
        shop = self.shop if net is None else replace(self.shop, net=net)
        inner = Adversary(self.within, self.recipe.inner.steps, self.recipe.inner.step_size) if robust else None
        return shop.train(
            name, data, like=self.train_data, schedule=schedule or self.recipe.standard, seed=seed, inner=inner
        )

    def student(self, name: str, data: Dataset, *, seed: int, net: Net | None = None) -> Classifier:
        """Return a fresh net trained on a constructed set."""
        return self.net(name, data, seed=seed, net=net, schedule=self.recipe.student)

    def next(self, data: Dataset) -> Labels:
        """Return the class after each example's own."""
        return next_targets(data.labels, classes=self.classes)

    def random(self, data: Dataset) -> Labels:
        """Return a random class for each example."""
        return random_targets(data.labels, classes=self.classes, seed=self.shop.seed)

    def perturbed(
        self, name: str, source: Classifier, data: Dataset, targets: Labels, *, others: Sequence[Model] = ()
    ) -> Dataset:
        """Return a data set moved towards its targets, with them as labels."""
        ascent = self.recipe.perturb
        return self.shop.build(
            name,
            Perturbed(source, data, targets, self.within, ascent.steps, ascent.step_size, others),
            like=data,
            recipe={"threat_model": repr(self.within), **asdict(ascent), "others": len(others)},
            source=source,
            columns=("source_index", "original_label", "reached"),
        )

    def noised(self, name: str, built: Dataset, data: Dataset) -> Dataset:
        """Return the control of a perturbed set: noise of the same lengths, the same labels."""
        lengths = lengths_of(built, data)
        made = Noised(data, lengths, built.labels, self.shop.seed)
        return self._control(name, made, built, data)

    def relabelled(self, name: str, built: Dataset, data: Dataset) -> Dataset:
        """Return the second control: the images themselves under the labels of a perturbed set."""
        return self._control(name, Relabelled(data, built.labels), built, data)

    def _control(self, name: str, made: Noised | Relabelled, built: Dataset, data: Dataset) -> Dataset:
        facts: dict[str, object] = {"control_of": built.facts["provenance"]}
        return self.shop.build(name, made, like=data, recipe=facts, columns=("source_index", "original_label"))

    def answers(self, net: Classifier, data: Data) -> Labels:
        """Return a net's answers to all images."""
        parts = batches(data, self.recipe.batch_size)
        return torch.cat([predict(net, images.to(net.device)).cpu() for images, _, _ in parts])

    def right(self, net: Classifier) -> Tensor:
        """Return which test images a net answers as their label says."""
        return self.answers(net, self.test_data) == self.test_data.labels

    def conditions(self, command: str, source: str | None) -> Row:
        """Return everything that a run is a function of."""
        from featlab import __version__

        return {
            "command": command,
            "source": "trained here" if source is None else source,
            "source_sha256": None if self.given is None else self.given.hash(),
            "data": {
                "name": self.train_data.name,
                "train": len(self.train_data),
                "test": len(self.test_data),
                "train_sha256": self.train_data.sha256,
                "test_sha256": self.test_data.sha256,
            },
            "classes": self.classes,
            "device": str(self.shop.device),
            "threat_model": self.recipe.threat_model,
            "recipe": asdict(self.recipe),
            "seed": self.shop.seed,
            "versions": {"python": sys.version.split()[0], "torch": torch.__version__, "featlab": __version__},
        }


def share_of(verdicts: Tensor | Sequence[Tensor]) -> Accuracy:
    """Return the mean share of true verdicts over several nets, with its interval over the images.

    One net's verdicts (images,) have the Wilson interval; of several the mean of each image is one observation.
    """
    several = torch.stack(list(verdicts)) if not isinstance(verdicts, Tensor) else verdicts[None]
    if len(several) == 1:
        return Accuracy.of(several[0])
    mean = Mean.of(several.double().mean(dim=0))
    return Accuracy(mean.value, max(0.0, mean.low), min(1.0, mean.high), mean.n)


def timed(begun: float) -> float:
    """Return the seconds since a moment of the monotonic clock."""
    return round(time.monotonic() - begun, 1)
