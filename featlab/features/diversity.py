"""Several pictures of one unit that differ from each other: each is kept unlike those that were found before it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from featlab.freezing import frozen
from featlab.models import Layer, Reading, find, layer_shapes, reading
from featlab.models.layers import is_signal, module_at
from featlab.models.where import PENULTIMATE, Where
from featlab.objectives import OnModel
from featlab.problem import Problem, maximize
from featlab.types import Images, Rows, Scores

Maps = Tensor
"""A layer's values as (batch, channels, positions)."""

TINY = 1e-12


def likeness(model: nn.Module, images: Images, others: Images, *, layer: str | None = None) -> Tensor:
    """Return how alike images are in a layer's eyes, whatever stands where: (batch, others), 0 to 1 behind a ReLU.

    <G(x), G(x')> / (|G(x)| |G(x')|) with G = F F^T the Gram matrix of the layer's map F (channels, positions). `layer`
    is by default the last one of the net that has several positions, or the penultimate one of a net without any.
    Source: Olah et al. 2017, "Feature Visualization", the section on diversity; Gatys et al. 2015 (Gram matrices).
    """
    maps = _Maps(model, layer or last_with_positions(model, images) or PENULTIMATE)
    with torch.no_grad():
        return gram_cosines(maps(images), maps(others))


def gram_cosines(maps: Maps, others: Maps) -> Tensor:
    """Return the cosine of every pair of Gram matrices, (batch, others); 0 with a map that is 0 everywhere.

    <A A^T, B B^T> = |A^T B|_F^2, so that whichever is smaller is multiplied out: channels or positions.
    """
    maps, others = _unit(maps), _unit(others)
    channels, positions = maps.shape[1:]
    if positions > channels:
        first, second = (_unit(each @ each.mT).flatten(1) for each in (maps, others))
        return first @ second.T
    shared = (maps.mT[:, None] @ others).square().sum(dim=(2, 3))
    first, second = ((each.mT @ each).flatten(1).square().sum(dim=1).sqrt() for each in (maps, others))
    return shared / (first[:, None] * second).clamp_min(TINY)


def _unit(maps: Maps) -> Maps:
    """Return maps of length 1, so that no product overflows."""
    size: Tensor = maps.flatten(1).norm(dim=1).clamp_min(TINY)
    return maps / size[:, None, None]


def last_with_positions(model: nn.Module, images: Images) -> str | None:
    """Return the name of the last layer that runs once and answers with several positions: of a map, or tokens."""
    rows = layer_shapes(model, shape=images.shape[1:])
    known = [row.name for row in rows if row.runs == 1 and row.shape is not None and _several(row.shape)]
    return known[-1] if known else None


def _several(shape: tuple[int, ...]) -> bool:
    return len(shape) > 1 and (shape[0] > 1 if len(shape) == 2 else math.prod(shape[1:]) > 1)


@dataclass(frozen=True)
class _Maps:
    """A layer's map as (batch, channels, positions); of tokens, the positions are the tokens."""

    model: nn.Module = field(repr=False)
    layer: str

    def __call__(self, images: Images, /) -> Maps:
        with frozen(self.model), reading(self.model, self.layer) as read:
            self.model(images)
        return self.of(read)

    def of(self, read: Reading) -> Maps:
        """Return what was read as a map."""
        name = find(self.model, self.layer).layer
        values = read[name]
        tokens = values.dim() == 3 and not is_signal(module_at(self.model, name))
        maps = values.movedim(-1, 1) if tokens else values
        return maps.reshape(*maps.shape[:2], -1).float()


@dataclass(frozen=True)
class _Beside:
    """A unit beside the map of a layer, both of one forward pass: (batch, 1 + channels * positions)."""

    unit: Layer
    maps: _Maps

    @property
    def model(self) -> nn.Module:
        """The model that both read, which says where the images are to be."""
        return self.unit.model

    def __call__(self, images: Images, /) -> Tensor:
        with reading(self.model, self.maps.layer) as read:
            value = self.unit(images)
        return torch.cat([value, self.maps.of(read).flatten(1).to(value)], dim=1)


@dataclass(frozen=True)
class _Apart:
    """sign * a - weight * the sum of the likenesses to the references, which are the same for every example."""

    reference: Maps
    weight: float
    sign: int

    def __call__(self, outputs: Tensor, /) -> Scores:
        maps = outputs[:, 1:].reshape(-1, *self.reference.shape[1:])
        alike = gram_cosines(maps, self.reference.to(maps)).sum(dim=1)
        return self.sign * outputs[:, 0] - self.weight * alike

    def rows(self, index: Rows, /) -> _Apart:
        del index
        return self


def distinct(
    model: nn.Module,
    unit: str,
    reference: Images,
    *,
    layer: str | None = None,
    weight: float = 1.0,
    lowest: bool = False,
    pass_through: bool = False,
) -> OnModel[Scores]:
    """Return the activation of a unit, less what images have in common with `reference`: a(x) - w s sum_r c(x, r).

    c is the `likeness` in `layer` (by default the unit's own where it has several positions, or the last that has, or
    the unit's own in a net without any), and s the mean |a(r)| of the references: with `weight` 1, to be wholly unlike
    one of them is worth as much as they are. More than 0.5 often switches the unit off.
    With `lowest` it is -a(x) that is to rise. Olah et al. find the images of a unit together, with a penalty on each
    pair. Here they are found one after another (`one_by_one`): so no example of a batch influences another, and the
    first three images are the same whether three are asked for or ten. Both read one forward pass.
    Raises ValueError where `unit` is not the address of one unit, or where there is no reference.
    Source: Olah et al. 2017, "Feature Visualization", the section on diversity.
    """
    if not len(reference):
        raise ValueError("an image can be unlike others only where there are some: reference has none")
    if not weight >= 0:
        raise ValueError(f"weight must be >= 0, got {weight}")
    reference = reference.unique(dim=0)  # An image that is given twice counts once.
    read = Layer(model, unit, pass_through=pass_through)
    both = _Beside(read, _Maps(model, layer or _own(model, read, reference)))
    with torch.no_grad():
        value, maps = read(reference), both.maps(reference)
    if value.shape[1] != 1:
        raise ValueError(f"unit must be the address of one unit, such as layer4.1:768; {unit!r} has {value.shape[1]}")
    scale = float(value.abs().mean())
    return OnModel(both, _Apart(maps, weight * scale, -1 if lowest else 1))


def _own(model: nn.Module, unit: Layer, images: Images) -> str:
    """Return the layer of a unit where it has several positions, or the last layer that has, or the unit's own."""
    assert isinstance(unit.where, Where)
    with torch.no_grad():
        maps = _Maps(model, unit.where.layer)(images[:1])
    return unit.where.layer if maps.shape[2] > 1 else last_with_positions(model, images) or unit.where.layer


def one_by_one(make: Callable[[Images | None], Problem], *, count: int) -> Images:
    """Return `count` solutions, (count, ...), each of a problem that knows those before it.

    `make` is given None, then the images found so far, and returns a problem of one example, such as
    `lambda found: fl.task("visualize")(model, grey, "layer4:7", reference=found)`.
    """
    if count < 1:
        raise ValueError(f"count must be 1 or more, got {count}")
    found = maximize(make(None))
    if len(found) != 1:
        raise ValueError(f"images are found one by one, so the problem must have one example; it has {len(found)}")
    for _ in range(count - 1):
        found = torch.cat([found, maximize(make(found))])
    return found
