"""A unit in pictures: the images that it responds to most and least, and images made to drive it both ways."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import nn

from featlab.data import Data, as_data
from featlab.features.extremes import device_of
from featlab.features.retrieval import activating
from featlab.models import Layer
from featlab.plugins import task, threat_model
from featlab.problem import Problem, maximize
from featlab.types import Images, Labels, Progress, Rows, Scores, silent

WAYS: Mapping[str, tuple[str, float]] = MappingProxyType({"pixels": ("box", 1.0), "waves": ("fourier", 4.0)})
"""The ways of making images, each a threat model and how much longer its steps are than those in pixels."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """One unit: the examples at its two ends with labels and values, most extreme first, and images made for it.

    `top` and `bottom` are rows of the data. `highest` and `lowest` hold the images that were made to drive the unit up
    and down, (ways, ...) on the CPU, in the order of `ways`; `lowest` is None where it was not asked for.
    """

    unit: int
    top: Rows
    top_labels: Labels
    top_values: Scores
    bottom: Rows
    bottom_labels: Labels
    bottom_values: Scores
    highest: Images
    lowest: Images | None
    ways: tuple[str, ...]


def portraits(
    model: nn.Module,
    data: Data | tuple[Images, Labels],
    *,
    units: Sequence[int],
    layer: str = "penultimate",
    count: int = 5,
    another: bool = True,
    lowest: bool = True,
    steps: int = 128,
    batch_size: int = 512,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[Portrait, ...]:
    """Return for each unit of a layer the `count` examples at either end, and images made from grey to drive it.

    A channel of a map is judged by its mean over positions. The images are made by the task `visualize`, pixel by pixel
    and as spectra with the proportions of natural images; with `another` a second spectrum that is kept unlike the
    first. With `lowest` the unit is driven down too: what it responds to least, which for a unit behind a ReLU is
    whatever switches it off. Images are (batch, channels, height, width).
    Source: Engstrom et al. 2019, section 4.2 (images from noise beside those that activate most and least).
    """
    data = as_data(data)
    extract = Layer(model, layer, pool=True)
    ends = activating(extract, data, units=units, count=count, batch_size=batch_size, progress=progress)
    shape = data.images(torch.zeros(1, dtype=torch.int64)).shape
    grey = torch.full(shape, 0.5, device=device_of(extract))
    made = []
    progress("pictures", 0, len(units))
    for place, unit in enumerate(units):
        drawer = Drawer(model, grey, f"{layer}:{unit}", steps=steps, seed=seed, another=another)
        made.append(
            Portrait(
                unit,
                ends.top[place],
                data.labels[ends.top[place]],
                ends.top_values[place],
                ends.bottom[place],
                data.labels[ends.bottom[place]],
                ends.bottom_values[place],
                drawer.drawn(lowest=False),
                drawer.drawn(lowest=True) if lowest else None,
                drawer.ways,
            )
        )
        progress("pictures", place + 1, len(units))
    return tuple(made)


@dataclass(frozen=True, eq=False)
class Drawer:
    """Makes images of one unit in every way, from the same grey."""

    model: nn.Module
    grey: Images
    unit: str
    steps: int
    seed: int
    another: bool

    @property
    def ways(self) -> tuple[str, ...]:
        """How each image is made."""
        return (*WAYS, *(["waves, unlike the first"] if self.another else []))

    def drawn(self, *, lowest: bool) -> Images:
        """Return one image for each way, (ways, ...) on the CPU."""
        made = [maximize(self._problem(name, lowest=lowest)) for name in WAYS]
        if self.another:
            made.append(maximize(self._problem("waves", lowest=lowest, reference=made[-1])))
        return torch.cat(made).cpu()

    def _problem(self, way: str, *, lowest: bool, reference: Images | None = None) -> Problem:
        spec, longer = WAYS[way]
        made: Problem = task("visualize")(
            self.model,
            self.grey,
            self.unit,
            within=threat_model(spec),
            reference=reference,
            lowest=lowest,
            noise=0.05,
            pass_through=True,
            steps=self.steps,
            step_size=0.1 * longer * math.sqrt(self.grey.numel() / 784),  # Larger images have farther to go.
            seed=self.seed + (reference is not None),
        )
        return made
