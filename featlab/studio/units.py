"""Pictures of units: what each responds to, made when first asked for, with its neighbours."""

from __future__ import annotations

import threading
from typing import Final

import torch

from featlab import ops
from featlab.models import Classifier, Layer, Where, find
from featlab.objectives import activation
from featlab.plugins import threat_model
from featlab.problem import Problem, ascend
from featlab.report.pictures import to_png
from featlab.studio.catalog import Hosted
from featlab.studio.locked import locked
from featlab.studio.memory import Memory
from featlab.types import Images

BLOCK: Final = 8
"""So many neighbours are made together: one pass for all of them costs little more than one for each."""

STEPS: Final = 24
LENGTH: Final = 0.4
"""Length of the whole way per root of the number of values: 0.4 of the way from black to white, at every pixel."""


class UnitPictures:
    """Make pictures of units and remember them."""

    def __init__(self, most: int) -> None:
        self._memory: Memory[bytes] = Memory(most)
        self._making = threading.Lock()

    def png(self, hosted: Hosted, address: str) -> bytes:
        """Return the picture of a unit such as layer4.1:768; ValueError where there is none."""
        where = find(hosted.model, address)
        units, _ = hosted.layers.get(where.layer, (0, ()))
        if not isinstance(where.unit, int) or where.at is not None or where.unit >= units:
            raise ValueError(f"a unit is addressed as LAYER:NUMBER, the number less than {units}; got {address!r}")
        key = (hosted.name, where.layer, where.unit)
        if self._memory.get(key) is None:
            with self._making:  # One block at a time; whoever waited for it finds it made.
                if self._memory.get(key) is None:
                    self._make(hosted, where, units)
        return self._memory.get(key) or b""

    def _make(self, hosted: Hosted, where: Where, units: int) -> None:
        assert isinstance(where.unit, int)
        first = where.unit - where.unit % BLOCK
        block = range(first, min(first + BLOCK, units))
        for unit, image in zip(block, seen(hosted, where.layer, block), strict=True):
            self._memory.keep((hosted.name, where.layer, unit), to_png(image[None]))


def seen(hosted: Hosted, layer: str, units: range) -> Images:
    """Return for each unit an image that it responds to: uphill on its activation, from grey with a little noise."""
    model = hosted.model
    which = torch.arange(units.start, units.stop, device=model.device)
    grey = torch.full((len(units), *model.shape), 0.5, device=model.device)
    start = ops.linf_sample(grey, eps=0.05, seed=0, examples=which)
    score = activation(responding(model, layer), unit=which)
    size = LENGTH * grey[0].numel() ** 0.5 / STEPS
    problem = Problem(score, start, threat_model("box"), STEPS, size)
    images = start
    for step in locked(hosted.lock, ascend(problem)):
        images = step.images
    return images.cpu()


def responding(model: Classifier, layer: str) -> Layer:
    """Return the extractor of a layer's units, each the mean over its positions, reached through a ReLU that is off."""
    return Layer(model, layer, pool=True, pass_through=True)
