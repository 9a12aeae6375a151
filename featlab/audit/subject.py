"""Who is audited: a classifier, the data that it is to be good at, and how much work may be done."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor, nn

from featlab.data import batches
from featlab.datasets import Dataset
from featlab.engine import Engine
from featlab.engine import engine as engine_of
from featlab.freezing import frozen
from featlab.models import Classifier, Layer, head_of
from featlab.models.layers import find
from featlab.models.where import LOGITS, PENULTIMATE
from featlab.threat_models import ThreatModel
from featlab.types import FeatureExtractor, Labels, Progress, Scores, silent


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much work an audit does: counts of images and units, all stated in the report.

    `images` are attacked; `units` are measured for robust usefulness, those that are most useful on `train` training
    images; `seen` units of either kind are shown; `inversions` images are made from their representations; `saliency`
    images are explained; `mistakes` are looked into. On `radii` of the attacked images the size of the set is searched
    at which units lose their use; with 0 it is not.
    """

    images: int = 128
    units: int = 24
    seen: int = 4
    inversions: int = 50
    saliency: int = 12
    mistakes: int = 5
    train: int = 2000
    radii: int = 48

    def __post_init__(self) -> None:
        several = ("images", "inversions", "saliency", "train")
        least = {name: 2 if name in several else 1 for name in asdict(self)} | {"radii": 0}
        for name, value in asdict(self).items():
            if value < least[name]:
                raise ValueError(f"an audit needs {name} >= {least[name]}, got {value}")

    @classmethod
    def of(
        cls,
        shape: Sequence[int],
        *,
        images: int | None = None,
        units: int | None = None,
        seen: int | None = None,
        inversions: int | None = None,
        saliency: int | None = None,
        mistakes: int | None = None,
        radii: int | None = None,
    ) -> Limits:
        """Return the limits for images of a shape: what was chosen, and else what ends in minutes on a few cores.

        An image of more than 64 x 64 pixels costs a hundred times what a small one does, so fewer are looked at.
        """
        chosen = {
            "images": images,
            "units": units,
            "seen": seen,
            "inversions": inversions,
            "saliency": saliency,
            "mistakes": mistakes,
            "radii": radii,
        }
        usual = dict(LARGE) if is_large(shape) else {}
        return cls(**usual | {name: value for name, value in chosen.items() if value is not None})


SMALL_PIXELS = 64 * 64
LARGE: Mapping[str, int] = MappingProxyType(
    {"images": 32, "units": 8, "seen": 2, "inversions": 8, "saliency": 4, "mistakes": 3, "radii": 0}
)
"""What is done to images of more than `SMALL_PIXELS` if nothing else is asked for."""


def is_large(shape: Sequence[int]) -> bool:
    """Say whether images of a shape cost so much that less must do."""
    return math.prod(shape[1:]) > SMALL_PIXELS


@dataclass(frozen=True, eq=False)
class Subject:
    """A classifier with its data and the threat models, the first of which is the main one."""

    model: Classifier
    spec: str
    test: Dataset
    train: Dataset
    specs: tuple[str, ...]
    within: tuple[ThreatModel, ...]
    limits: Limits = field(default_factory=Limits)
    layer: str | None = None
    suite: str = "pgd"
    engine: str = "fast"
    batch_size: int = 256
    seed: int = 0
    progress: Progress = silent

    @property
    def main(self) -> ThreatModel:
        """The threat model of every section."""
        return self.within[0]

    @cached_property
    def address(self) -> str:
        """The layer whose features are judged: the penultimate one, or the logits of a net without a linear head."""
        if self.layer is not None:
            return self.layer
        return PENULTIMATE if self.has_head else LOGITS

    @cached_property
    def has_head(self) -> bool:
        """Whether the net ends in a linear module, so that its answers are sums over features."""
        try:
            head_of(self.model)
        except ValueError:
            return False
        return True

    @property
    def splits(self) -> bool:
        """Whether the features that are judged are those that a linear head sums up."""
        return self.has_head and self.address == PENULTIMATE

    @cached_property
    def extract(self) -> Layer:
        """The extractor of the features: of a map, the mean of each channel."""
        return Layer(self.model, self.address, pool=True)

    @cached_property
    def quick(self) -> tuple[Engine, str]:
        """The engine of attacks and ascents: the one asked for, or the next that the model runs in, and why.

        The model itself judges whatever its quick copy finds.
        """
        wanted, reason = engine_of(self.engine), ""
        for each in (wanted, replace(wanted, fold=False), replace(wanted, fold=False, precision="float32")):
            refusal = _refusal(self, each)
            reason = reason or refusal
            if not refusal:
                return each, reason
        return Engine(), reason

    @cached_property
    def follow(self) -> FeatureExtractor:
        """The extractor of the same features that ascents follow."""
        copy = self.quick[0].prepare(self.model)
        if not isinstance(copy, nn.Module) or copy is self.model:
            return self.extract
        return Layer(copy.get_submodule("model"), self.address, pool=True)

    @cached_property
    def some(self) -> Dataset:
        """The test images that are attacked, spread evenly over the classes."""
        return self.test.subset(min(self.limits.images, len(self.test)))

    @cached_property
    def known(self) -> Dataset:
        """The training images on which units are picked, means taken, and neighbours looked for."""
        return self.train.subset(min(self.limits.train, len(self.train)))

    @property
    def large(self) -> bool:
        """Whether the images are so large that less must do."""
        return is_large(self.test.shape)

    @cached_property
    def grouped(self) -> bool:
        """Whether the data name groups of classes, each image's group being a column of theirs."""
        return all("groups" in data.facts and "group" in data.columns for data in (self.test, self.train))

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """What features are to tell apart: the groups that the data name, otherwise the classes that have images."""
        if self.grouped:
            return tuple(map(str, self.test.facts["groups"]))  # type: ignore[call-overload]
        return tuple(map(self.name, self._present.tolist()))

    def kind(self, data: Dataset) -> Labels:
        """Return which of the kinds each image of the attacked or the training images is of."""
        kinds: Labels = data.columns["group"] if self.grouped else torch.searchsorted(self._present, data.labels)
        return kinds

    @cached_property
    def _present(self) -> Labels:
        present: Labels = torch.cat([self.some.labels, self.known.labels]).unique()
        return present

    @cached_property
    def logits(self) -> Tensor:
        """The model's logits on all test images, on the CPU."""
        return logits_of(self.model, self.test, batch_size=self.batch_size, progress=self.progress)

    def refuse_broken(self) -> None:
        """Refuse a layer that there is not, and a model that answers NaN: before anything is written."""
        find(self.model, self.address)
        _ = self.logits

    @property
    def sure(self) -> Scores:
        """The probability of each answer to a test image."""
        return self.logits.softmax(dim=1).amax(dim=1)

    @property
    def answers(self) -> Labels:
        """The answer to each test image."""
        return self.logits.argmax(dim=1)

    def name(self, label: int) -> str:
        """Return the name of a class."""
        return self.model.classes[label]


def _refusal(subject: Subject, engine: Engine) -> str:
    """Return why a model's quick copy cannot be used: it fails, warns, or answers otherwise; nothing where it can."""
    images = subject.test.images(torch.arange(min(8, len(subject.test)))).to(subject.model.device).requires_grad_()
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("error")
            logits = engine.prepare(subject.model)(images)
            (grad,) = torch.autograd.grad(logits.sum(), images)
    except Exception as error:  # The model's own code runs in another type and layout, and may fail in any way.
        return " ".join(f"{type(error).__name__}: {error}".split())
    return "" if bool(logits.isfinite().all() & grad.isfinite().all()) else "its quick copy answers NaN or infinity"


def logits_of(model: Classifier, data: Dataset, *, batch_size: int, progress: Progress = silent) -> Tensor:
    """Return the logits of all images; a model that answers with anything but numbers is a ValueError."""
    rows = []
    progress("answers", 0, len(data))
    for images, _, index in batches(data, batch_size):
        with frozen(model), torch.no_grad():
            logits = model(images.to(model.device)).float().cpu()
        bad = ~logits.isfinite().all(dim=1)
        if bool(bad.any()):
            first = int(index[bad][0])
            raise ValueError(
                f"{model.label} answers NaN or infinity to {int(bad.sum())} of {len(images)} images, first to test "
                "image "
                f"{first} of {data.name}, so nothing about it can be measured; mend the model, or load its weights "
                "again"
            )
        rows.append(logits)
        progress("answers", int(index[-1]) + 1, len(data))
    return torch.cat(rows)


def fitted(model: Classifier, data: Dataset) -> Dataset:
    """Return the data with the model's classes; a pair that does not belong together is a ValueError.

    Data of some of the model's classes, by their names, are relabelled; otherwise there must be as many classes as
    logits, and those of the same names in the same order.
    """
    if model.shape != data.shape:
        raise ValueError(
            f"{model.label} takes images of {_sides(model.shape)} and {data.name} has {_sides(data.shape)}; choose "
            "data "
            "of that shape, or load the model with ?shape=... if its net is fit for it"
        )
    if len(data.labels.unique()) < 2:
        raise ValueError(
            f"an audit asks what tells classes apart, and all {len(data)} images of {data.name} are of one class; "
            "choose data with two classes or more"
        )
    if model.classes == data.classes:
        return data
    known = set(data.classes) & set(model.classes)
    if len(known) == len(data.classes):
        return _renamed(data, model.classes)
    if len(model.classes) != len(data.classes):
        raise ValueError(
            f"{model.label} has {len(model.classes)} classes and {data.name} has {len(data.classes)}, which are not "
            "named "
            "like some of them; choose the data that the model was trained on"
        )
    return replace(data, classes=model.classes) if _numbered(data.classes) else data


def _numbered(classes: Sequence[str]) -> bool:
    return all(name.isdecimal() for name in classes)


def _renamed(data: Dataset, classes: tuple[str, ...]) -> Dataset:
    """Return the data with labels that count in another list of classes."""
    place = torch.tensor([classes.index(name) for name in data.classes])
    return replace(data, labels=place[data.labels], classes=classes)


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
