"""Pictures of units: what each responds to, made when first asked for, with its neighbours."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

import torch

from featlab import ops
from featlab.models import Classifier, Layer, find
from featlab.objectives import activation
from featlab.painting import is_small
from featlab.plugins import threat_model
from featlab.problem import Problem, ascend
from featlab.report.pictures import to_png
from featlab.studio.catalog import Hosted
from featlab.studio.jobs import Jobs
from featlab.studio.locked import locked
from featlab.studio.memory import Memory
from featlab.types import Images


@dataclass(frozen=True)
class Effort:
    """How many neighbours are made together, and in how many steps."""

    block: int
    steps: int


SMALL: Final = Effort(block=8, steps=24)
"""For small images, where one pass for all neighbours costs little more than one for each."""

LARGE: Final = Effort(block=1, steps=12)
"""For others, where it costs as much."""

LENGTH: Final = 0.4
"""Length of the whole way per root of the number of values: 0.4 of the way from black to white, at every pixel."""

COURTESY: Final = 0.05
"""Seconds between two steps while jobs run: whoever paints goes before."""


class UnitPictures:
    """Make pictures of units and remember them."""

    def __init__(self, most: int, *, jobs: Jobs, closing: threading.Event) -> None:
        self._memory: Memory[bytes] = Memory(most)
        self._making = threading.Lock()
        self._jobs, self._closing = jobs, closing

    def png(self, hosted: Hosted, address: str) -> bytes:
        """Return the picture of a unit such as layer4.1:768; ValueError where there is none."""
        where = find(hosted.model, address)
        units, _ = hosted.layers.get(where.layer, (0, ()))
        if not isinstance(where.unit, int) or where.at is not None or where.unit >= units:
            raise ValueError(f"a unit is addressed as LAYER:NUMBER, the number less than {units}; got {address!r}")
        key = (hosted.name, where.layer, where.unit)
        found = self._memory.get(key)
        if found is None:
            with self._making:  # One block at a time; whoever waited for it finds it made.
                found = self._memory.get(key) or self._made(hosted, where.layer, where.unit, units)
        return found

    def _made(self, hosted: Hosted, layer: str, unit: int, units: int) -> bytes:
        """Make the block that a unit is in, and return its picture."""
        effort = SMALL if is_small(hosted.model) else LARGE
        first = unit - unit % effort.block
        block = range(first, min(first + effort.block, units))
        pictures = [to_png(image[None]) for image in self._seen(hosted, layer, block, effort.steps)]
        for each, picture in zip(block, pictures, strict=True):
            self._memory.keep((hosted.name, layer, each), picture)
        return pictures[unit - first]

    def _seen(self, hosted: Hosted, layer: str, units: range, steps: int) -> Images:
        """Return for each unit an image that it responds to."""
        images: Images | None = None
        for step in locked(hosted.lock, ascend(portrait(hosted.model, layer, units, steps))):
            images = step.images
            if self._closing.wait(COURTESY if self._jobs.running else 0):
                raise ValueError("the studio is closing")
        assert images is not None  # There is always the frame of the start.
        return images.cpu()


def portrait(model: Classifier, layer: str, units: range, steps: int) -> Problem:
    """Return the problem of an image for each unit: uphill on its mean activation, from grey with a little noise."""
    which = torch.arange(units.start, units.stop, device=model.device)
    grey = torch.full((len(units), *model.shape), 0.5, device=model.device)
    start = ops.linf_sample(grey, eps=0.05, seed=0, examples=which)
    score = activation(Layer(model, layer, pool=True, pass_through=True), unit=which)
    return Problem(score, start, threat_model("box"), steps, LENGTH * grey[0].numel() ** 0.5 / steps)
