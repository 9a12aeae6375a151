"""What can be painted with: models, their layers and samples, threat models, and every task that a plugin provides."""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, get_args

import torch

from featlab.datasets import Dataset
from featlab.forms import fields_of, words_of
from featlab.models import Classifier, head_of, layer_shapes, load
from featlab.models.layers import is_signal, module_at
from featlab.models.loading import Spec, card
from featlab.names import lookup
from featlab.painting import PAINT, Painting, Sample, Source, Stroke, ToReference, usual_strength
from featlab.painting.sources import opened
from featlab.plugins import Offer, registry
from featlab.specs import hints_of, options_of
from featlab.studio.limits import Limits
from featlab.threat_models import ThreatModel

EMBEDDED: Final = "fashion-mini"
"""The data set that comes with featlab: samples for models of its shape and classes."""


@dataclass(frozen=True, eq=False)
class Hosted:
    """A model that the studio serves, by its name; its hooks are not for two threads at once, so `lock` is taken."""

    name: str
    model: Classifier
    data: str | None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def layers(self) -> dict[str, tuple[int, tuple[int, ...]]]:
        """The layers that can be read: of each, the number of its units and the shape of its output."""
        with self.lock:
            rows = [row for row in layer_shapes(self.model) if row.runs == 1 and row.shape]
        found = {row.name: (_units(self.model, row.name, row.shape or ()), row.shape or ()) for row in rows}
        try:
            inputs = head_of(self.model).in_features
        except ValueError:  # Not every net ends in a linear module; then there is no such layer.
            return found
        return {**found, "penultimate": (inputs, (inputs,))}

    @property
    def samples(self) -> Dataset | None:
        """The test images that come with the model."""
        return None if self.data is None else opened(self.data)

    def defaults(self) -> dict[str, Any]:
        """Return how strongly, and for how many steps, the page paints at first."""
        return {**usual_strength(self.model.shape), "steps": 60}

    def record(self) -> dict[str, Any]:
        """Return what the page is told of the model."""
        layers = [{"name": name, "units": units, "shape": list(shape)} for name, (units, shape) in self.layers.items()]
        has_card = Spec.parse(self.name).scheme in ("zoo", "file")
        return {
            "name": self.name,
            "classes": list(self.model.classes),
            "shape": list(self.model.shape),
            "layers": layers,
            "data": self.data,
            "card": card(self.name)["card"] if has_card else None,
            "defaults": self.defaults(),
        }


@dataclass(frozen=True, eq=False)
class Catalog:
    """Everything that a page may ask for by name; what is not here, is not read from any file."""

    hosted: Mapping[str, Hosted]
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def of(cls, models: Mapping[str, Classifier], *, data: str | None = None, limits: Limits | None = None) -> Catalog:
        """Return a catalog of loaded models; `data` names a data set, by default the embedded one where it fits."""
        hosted = {}
        for name, model in models.items():
            if len(model.shape) != 3 or model.shape[0] not in (1, 3):
                raise ValueError(f"only models of pictures of 1 or 3 channels can paint; {name} takes {model.shape}")
            model.eval().requires_grad_(False)  # Nothing is left to freeze, so threads have nothing to restore.
            hosted[name] = Hosted(name, model, _fitting(model, data))
        return cls(hosted, limits or Limits())

    @classmethod
    def load(cls, specs: Sequence[str], *, data: str | None, device: str) -> Catalog:
        """Load models by their specs."""
        return cls.of({spec: load(spec, device=device) for spec in dict.fromkeys(specs)}, data=data)

    def find(self, name: str) -> Hosted:
        """Return a model by name."""
        return lookup("the model", name, self.hosted)

    def admit(self, painting: Painting, stroke: Stroke | None = None) -> None:
        """Refuse images of data sets that no model here comes with, and tasks that ask for too much."""
        strokes = painting.strokes if stroke is None else (*painting.strokes, stroke)
        sources: list[Source] = [painting.image]
        for each in strokes:
            sources += [each.target.source] if isinstance(each.target, ToReference) else []
            self._admit_options(each)
        for source in sources:
            if isinstance(source, Sample):
                lookup("the data of a sample", source.data, self._offered_data())

    def _offered_data(self) -> dict[str, None]:
        return {hosted.data: None for hosted in self.hosted.values() if hosted.data is not None}

    def _paths(self, task: str) -> set[str]:
        """Return the options of a task that are paths; none of a task that there is not, which is told when it runs."""
        if task not in registry().names("tasks"):
            return set()
        return path_options(registry().resolve("tasks", task))

    def _admit_options(self, stroke: Stroke) -> None:
        paths, offered = self._paths(stroke.task), self._offered_data()
        for name, value in stroke.options.items():
            if name in paths:
                raise ValueError(
                    f"{name} of task {stroke.task!r} is a path, which the studio does not open; got {value}"
                )
            if name == "data":
                lookup(f"data of task {stroke.task!r}", str(value), offered)
            most = self.limits.steps if name == "steps" else self.limits.whole
            wholes = [int(part) for part in re.split(r"[^\d.eE-]+", str(value)) if part.isdecimal()]
            if name != "seed" and any(whole > most for whole in wholes):
                raise ValueError(f"{name} of task {stroke.task!r} must be at most {most} in the studio; got {value}")

    @cached_property
    def record(self) -> dict[str, Any]:
        """What the page is told at first."""
        from featlab import __version__

        return {
            "version": __version__,
            "models": [hosted.record() for hosted in self.hosted.values()],
            "threat_models": self._offers("threat_models", _paintable),
            "tasks": [row for row in self._offers("tasks", lambda _: True) if row["name"] != PAINT],
            "paint": {"fields": self._form(registry().find("tasks", PAINT))["fields"]},
            "limits": self.limits.record(),
        }

    def _offers(self, kind: str, fits: Callable[[Any], bool]) -> list[dict[str, Any]]:
        """Return the forms of everything of a kind that fits; a plugin's fault is told in its row."""
        rows = []
        for name in registry().names(kind):
            offer = next(each for each in registry().offers if (each.kind, each.entry.name) == (kind, name))
            row = self._form(offer)
            if row["error"] is None and not fits(registry().resolve(kind, name)):
                continue
            if kind == "tasks" or row["error"] is None:
                rows.append(row)
        return rows

    def _form(self, offer: Offer) -> dict[str, Any]:
        row: dict[str, Any] = {"name": offer.entry.name, "help": offer.entry.summary, "fields": [], "error": None}
        row |= {"words": {}} if offer.kind == "tasks" else {}
        try:
            make = registry().resolve(offer.kind, offer.entry.name)
            paths = path_options(make)
            row["fields"] = [each.record() for each in fields_of(make) if each.name not in paths]
            row |= {"words": words_of(make)} if offer.kind == "tasks" else {}
        except ValueError as error:
            row["error"] = str(error)
        return row


def _units(model: Classifier, name: str, shape: tuple[int, ...]) -> int:
    """Return the number of units of a layer: channels come first, but in tokens, which are no signal, last."""
    tokens = len(shape) == 2 and not is_signal(module_at(model, name))
    return shape[-1] if tokens else shape[0]


def _fitting(model: Classifier, data: str | None) -> str | None:
    """Return the data set that samples come from: the one asked for, or the embedded one where model and set agree."""
    if data is not None:
        if opened(data).shape[0] not in (1, 3):
            raise ValueError(f"data {data!r} has no pictures of 1 or 3 channels to paint on")
        return data
    embedded = opened(EMBEDDED)
    return EMBEDDED if embedded.shape == model.shape and embedded.classes == model.classes else None


def _paintable(make: Any) -> bool:
    """Say whether a set can be painted in: its points are images, and it can be named in text."""
    whole = inspect.isclass(make) and issubclass(make, ThreatModel) and make.decode is ThreatModel.decode
    return whole and not words_of(make)  # Masks and the like are not text.


def path_options(make: Callable[..., Any]) -> set[str]:
    """Return the options of a maker that are paths, which a page may not name."""
    hints = hints_of(make)
    return {name for name in options_of(make) if Path in {hints.get(name), *get_args(hints.get(name))}}


def sample_rows(hosted: Hosted, *, offset: int, count: int) -> dict[str, Any]:
    """Return some of a model's samples, and how many there are."""
    data = hosted.samples
    if data is None:
        return {"samples": [], "total": 0}
    rows = range(min(offset, len(data)), min(offset + count, len(data)))
    labels = data.labels[torch.tensor(list(rows), dtype=torch.int64)].tolist()
    samples = [
        {"index": index, "label": label, "class": data.classes[label], "image": Sample(hosted.data or "", index).json()}
        for index, label in zip(rows, labels, strict=True)
    ]
    return {"samples": samples, "total": len(data)}


def unit_rows(hosted: Hosted, layer: str, *, offset: int, count: int) -> dict[str, Any]:
    """Return some of a layer's units, and how many there are; those before the head with the classes that want them."""
    total, _ = lookup("the layer", layer, hosted.layers)
    units = range(min(offset, total), min(offset + count, total))
    rows = [{"unit": f"{layer}:{unit}", "classes": _wanted_by(hosted, layer, unit)} for unit in units]
    return {"units": rows, "total": total}


def _wanted_by(hosted: Hosted, layer: str, unit: int) -> list[str]:
    """Return the three classes whose logits a unit of the penultimate layer raises most."""
    if layer != "penultimate":
        return []
    weight = head_of(hosted.model).weight[:, unit]
    order = weight.argsort(descending=True)[:3].tolist()
    return [hosted.model.classes[index] for index in order if weight[index] > 0]
