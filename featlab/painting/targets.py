"""What a stroke paints: a class, a unit of a layer, or a patch of another image."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from featlab.models import Classifier, Layer, find
from featlab.objectives import Objective, activation, match
from featlab.painting.reading import Json
from featlab.painting.sources import Source, read_source

PAINT: Final = "paint"
"""The task that takes a patch of any size, and lays it into the mask itself."""


class Target(Protocol):
    """What a stroke paints: it fills in a word of the tasks' vocabulary, and can be measured in any image."""

    def word(self, model: Classifier, task: str, /) -> tuple[str, object]:
        """Return the word and what it stands for."""
        ...

    def measure(self, model: Classifier, /) -> Objective:
        """Return how much of it an image shows, to a model."""
        ...

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        ...


@dataclass(frozen=True)
class ToClass:
    """A class of the model, by its index."""

    index: int

    @classmethod
    def read(cls, given: Json) -> ToClass:
        """Read {"class": 3}."""
        return cls(given.whole(0, 2**31))

    def word(self, model: Classifier, task: str, /) -> tuple[str, object]:
        """Return the labels of a batch of one."""
        del task
        return "labels", torch.tensor([self._checked(model)], device=model.device)

    def measure(self, model: Classifier, /) -> Objective:
        """Return the class's logit."""
        return activation(model, unit=self._checked(model))

    def _checked(self, model: Classifier) -> int:
        if self.index >= len(model.classes):
            raise ValueError(f"{model.label} has classes 0 to {len(model.classes) - 1}; got class {self.index}")
        return self.index

    def json(self) -> dict[str, Any]:
        """Return the class as JSON."""
        return {"class": self.index}


@dataclass(frozen=True)
class ToUnit:
    """One unit of a layer, by its address, such as layer4.1:768."""

    address: str

    @classmethod
    def read(cls, given: Json) -> ToUnit:
        """Read {"unit": "layer4.1:768"}."""
        return cls(given.text(most=200))

    def word(self, model: Classifier, task: str, /) -> tuple[str, object]:
        """Return the address, after looking for it in the model."""
        del task
        return "unit", str(self._found(model).where)

    def measure(self, model: Classifier, /) -> Objective:
        """Return the unit's activation."""
        return activation(self._found(model))

    def _found(self, model: Classifier) -> Layer:
        where = find(model, self.address)
        if where.unit is None:
            raise ValueError(f"a unit is addressed as {where.layer}:5; got {self.address!r}, which is a whole layer")
        return Layer(model, where)

    def json(self) -> dict[str, Any]:
        """Return the unit as JSON."""
        return {"unit": self.address}


@dataclass(frozen=True)
class ToReference:
    """A patch of another image: what of it lies in a box (x0, y0, x1, y1), in pixels at the model's shape."""

    source: Source
    box: tuple[float, float, float, float]

    @classmethod
    def read(cls, given: Json) -> ToReference:
        """Read {"reference": {"image": IMAGE, "box": [0, 0, 14, 14]}}."""
        record = given.record(needed=("image", "box"))
        numbers = [Json(f"a side of {record['box'].what}", each) for each in record["box"].items(least=4, most=4)]
        x0, y0, x1, y1 = (each.number(-1e5, 1e5) for each in numbers)
        if not (x0 < x1 and y0 < y1):
            raise ValueError(
                f"{record['box'].what} must be [x0, y0, x1, y1] with x0 < x1, y0 < y1; got {[x0, y0, x1, y1]}"
            )
        return cls(read_source(record["image"]), (x0, y0, x1, y1))

    def patch(self, model: Classifier) -> Tensor:
        """Return the pixels that the box touches, (1, channels, height, width)."""
        image = self.source.image(model.shape)
        height, width = image.shape[2:]
        x0, y0, x1, y1 = self.box
        left, right = max(0, math.floor(x0)), min(width, math.ceil(x1))
        top, bottom = max(0, math.floor(y0)), min(height, math.ceil(y1))
        if left >= right or top >= bottom:
            raise ValueError(f"the box of a reference must lie in its {width} x {height} image; got {list(self.box)}")
        return image[:, :, top:bottom, left:right].to(model.device)

    def word(self, model: Classifier, task: str, /) -> tuple[str, object]:
        """Return the patch as it is where it is laid into a mask, and at the images' size for other tasks."""
        return "reference", self.patch(model) if task == PAINT else self._whole(model)

    def measure(self, model: Classifier, /) -> Objective:
        """Return how near the penultimate layer is to that of the patch, drawn to the images' size."""
        extract = Layer(model, "penultimate")
        with torch.no_grad():
            wanted = extract(self._whole(model))
        return match(extract, wanted, relative=True)

    def _whole(self, model: Classifier) -> Tensor:
        size, patch = model.shape[1:], self.patch(model)
        if patch.shape[2:] == size:
            return patch
        return F.interpolate(patch, size=size, mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)

    def json(self) -> dict[str, Any]:
        """Return the patch as JSON."""
        return {"reference": {"image": self.source.json(), "box": list(self.box)}}


KINDS: Final[Mapping[str, Callable[[Json], Target]]] = MappingProxyType(
    {"class": ToClass.read, "unit": ToUnit.read, "reference": ToReference.read}
)
"""How each kind of target is read."""


def read_target(given: Json) -> Target:
    """Read what a stroke paints: an object with exactly one of class, unit and reference."""
    record = given.record(optional=tuple(KINDS))
    if len(record) != 1:
        raise ValueError(
            f"{given.what} must have exactly one of {', '.join(KINDS)}; got {' and '.join(record) or 'none'}"
        )
    ((kind, member),) = record.items()
    return KINDS[kind](member)
