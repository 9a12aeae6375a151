"""Strokes and paintings as data: what a hand did, from which the same images can be made again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from featlab.painting.masks import Area
from featlab.painting.reading import Json
from featlab.painting.sources import Source, read_source
from featlab.painting.targets import PAINT, Target, read_target

VERSION: Final = 1
MOST_STROKES: Final = 500
MOST_STEPS: Final = 10_000

AREA: Final = ("points", "radius", "softness", "mask")
STRENGTH: Final = ("within", "step_size", "keep")
"""The options of painting that stand in a stroke itself; whatever else a task takes stands in its `options`."""


@dataclass(frozen=True)
class Stroke:
    """One thing done to an image: a target is painted into an area, a task is run on it, or it is erased.

    `options` are those of the task, as JSON values or text; `steps` is how many were run. An eraser has no target, and
    brings back the image that the painting began with.
    """

    area: Area
    target: Target | None = None
    task: str = PAINT
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    steps: int = 0

    @property
    def erases(self) -> bool:
        """Whether the stroke brings back what was there at first."""
        return self.area.tool == "eraser"

    @classmethod
    def read(cls, given: Json) -> Stroke:
        """Read a stroke; what is not as it should be is a ValueError of one sentence."""
        record = given.record(needed=("tool",), optional=(*AREA, "target", "task", "options", "steps", *STRENGTH))
        area, steps = Area.read(record), record["steps"].whole(0, MOST_STEPS) if "steps" in record else 0
        if area.tool == "eraser":
            return cls(area)
        task = record["task"].text(most=100) if "task" in record else PAINT
        target = read_target(record["target"]) if "target" in record else None
        if task == PAINT and target is None:
            raise ValueError(f"{given.what} must have a target: a class, a unit or a reference; it has none")
        return cls(area, target, task, _options(record), steps)

    def json(self) -> dict[str, Any]:
        """Return the stroke as JSON, which `read` reads."""
        if self.erases:
            return self.area.json()
        strength = {name: self.options[name] for name in STRENGTH if name in self.options and self.task == PAINT}
        others = {name: value for name, value in self.options.items() if name not in strength}
        return {
            **self.area.json(),
            **({} if self.target is None else {"target": self.target.json()}),
            **({} if self.task == PAINT else {"task": self.task}),
            **strength,
            **({"options": others} if others else {}),
            "steps": self.steps,
        }

    def ran(self, steps: int) -> Stroke:
        """Return the stroke with the number of steps that were run."""
        return replace(self, steps=0 if self.erases else steps)


def _options(record: Mapping[str, Json]) -> dict[str, object]:
    """Return the options of a stroke: its strength, and those of its task."""
    readers = {
        "within": lambda each: each.text(),
        "step_size": lambda each: each.number(0, 1e6),
        "keep": lambda each: each.number(0, 1e9),
    }
    strength = {name: read(record[name]) for name, read in readers.items() if name in record}
    others = record["options"].values(most=50) if "options" in record else {}
    return {**strength, **others}


def usual_strength(shape: Sequence[int]) -> dict[str, Any]:
    """Return options of painting that show, for images of a shape.

    The size of the set grows with the root of the number of values, as that of one and the same change does: l2:eps=7
    for 28 x 28, l2:eps=97 for 3 x 224 x 224, where Santurkar et al. 2019 take 70.
    """
    eps = round(0.25 * math.sqrt(math.prod(shape)), 1)
    return {"within": f"l2:eps={eps:g}", "step_size": round(eps / 20, 3), "keep": 90.0}


@dataclass(frozen=True)
class Painting:
    """A model, an image to begin with, and what was done to it, one stroke after the other."""

    model: str
    image: Source
    strokes: tuple[Stroke, ...] = ()
    seed: int = 0

    @classmethod
    def read(cls, given: Json) -> Painting:
        """Read a painting; what is not as it should be is a ValueError of one sentence."""
        record = given.record(needed=("version", "model", "image", "seed", "strokes"))
        if record["version"].value != VERSION:
            raise ValueError(
                f"this featlab reads paintings of version {VERSION}; got version {record['version'].value!r}"
            )
        strokes = [
            Stroke.read(Json(f"stroke {number}", each))
            for number, each in enumerate(record["strokes"].items(most=MOST_STROKES), start=1)
        ]
        seed = record["seed"].whole(0, 2**31)
        return cls(record["model"].text(), read_source(record["image"]), tuple(strokes), seed)

    @classmethod
    def parse(cls, text: str | bytes) -> Painting:
        """Read a painting from JSON text."""
        return cls.read(Json.parse("a painting", text))

    def json(self) -> dict[str, Any]:
        """Return the painting as JSON, which `read` reads."""
        return {
            "version": VERSION,
            "model": self.model,
            "image": self.image.json(),
            "seed": self.seed,
            "strokes": [stroke.json() for stroke in self.strokes],
        }

    def then(self, stroke: Stroke) -> Painting:
        """Return the painting with one more stroke."""
        return replace(self, strokes=(*self.strokes, stroke))

    def on(self, model: str) -> Painting:
        """Return the same strokes on another model."""
        return replace(self, model=model)

    def before(self, count: int) -> Painting:
        """Return the painting as it was after its first strokes."""
        return replace(self, strokes=self.strokes[:count])
