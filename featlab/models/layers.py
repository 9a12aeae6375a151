"""Layers: find them by name, read them while the model runs, and list them with their shapes."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from featlab.freezing import frozen
from featlab.models.classifier import Classifier
from featlab.models.relus import Relus
from featlab.models.where import LOGITS, PENULTIMATE, Where
from featlab.names import lookup
from featlab.types import Features, Images

Address = str | nn.Module | Where
"""A layer by dotted name or address text, as the module itself, or as a parsed address."""

Hook = Callable[..., None]


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return a model's modules by dotted name; a classifier's are those of its net."""
    if isinstance(model, Classifier):
        return model.layers()
    return {name: module for name, module in model.named_modules(remove_duplicate=False) if name}


def head_of(model: nn.Module) -> nn.Linear:
    """Return the last linear module, whose input is the penultimate layer; a ValueError if it does not end the net."""
    net = model.net if isinstance(model, Classifier) else model
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    fits = not isinstance(model, Classifier) or (linear and linear[-1].out_features == len(model.classes))
    if not (linear and fits):
        raise ValueError(
            f"{type(net).__name__} does not end in a linear module, so it has no penultimate layer; name another layer"
        )
    return linear[-1]


def module_at(model: nn.Module, name: str) -> nn.Module | None:
    """Return the module of a dotted name, None if there is none; much faster than listing all layers."""
    try:
        return (model.net if isinstance(model, Classifier) else model).get_submodule(name)
    except AttributeError:
        return None


def find(model: nn.Module, where: Address) -> Where:
    """Return the address of an existing layer of `model`; an unknown one is a ValueError that names the nearest."""
    if isinstance(where, nn.Module):
        return Where(name_of(model, where))
    address = Where.parse(where) if isinstance(where, str) else where
    if address.layer == PENULTIMATE:
        head_of(model)
    elif address.layer != LOGITS and module_at(model, address.layer) is None:
        known = layers_of(model)
        near = difflib.get_close_matches(address.layer, [*known, LOGITS, PENULTIMATE], n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ";"
        raise ValueError(
            f"the model has no layer {address.layer!r}{hint} `featlab layers MODEL` lists its {len(known)} layers"
        )
    if isinstance(address.unit, str):
        return Where(address.layer, class_index(model, address), address.at)
    return address


def name_of(model: nn.Module, module: nn.Module) -> str:
    """Return the dotted name of a module of the model; the model itself and its net are the logits."""
    if module is model or (isinstance(model, Classifier) and module is model.net):
        return LOGITS
    for name, each in layers_of(model).items():
        if each is module:
            return name
    raise ValueError(f"this {type(module).__name__} is no module of the model; pass one of model.layers(), or its name")


def class_index(model: nn.Module, address: Where) -> int:
    """Return the index of a unit that is given as a class name."""
    if address.layer != LOGITS or not isinstance(model, Classifier):
        raise ValueError(f"a unit is a number, only a classifier's logits have named units; got {str(address)!r}")
    return lookup("the class", str(address.unit), {name: index for index, name in enumerate(model.classes)})


class Reading(Mapping[str, Tensor]):
    """What the last forward pass produced at the layers that are being read."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._values: dict[str, Tensor] = {}

    def forget(self) -> None:
        """Begin a new forward pass."""
        self._values.clear()

    def keep(self, name: str, value: object) -> None:
        """Keep a copy of one layer's value, so that an in-place operation further on cannot change it."""
        tensor = value[0] if isinstance(value, tuple | list) and value else value
        if not isinstance(tensor, Tensor):
            raise ValueError(f"layer {name!r} answers with a {type(value).__name__}, not with a tensor; read another")
        if name in self._values:
            raise ValueError(
                f"layer {name!r} runs more than once in one forward pass, so it has no single value; "
                "read a layer that runs once, such as the block around it"
            )
        self._values[name] = tensor.clone()

    def __getitem__(self, name: str) -> Tensor:
        if name in self._names and name not in self._values:
            raise ValueError(f"layer {name!r} took no part in the last forward pass; read one that does")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@contextmanager
def reading(model: nn.Module, *layers: Address) -> Iterator[Reading]:
    """Read layers while the model runs in this block: `read["layer4.1"]` after `model(images)`.

    The hooks are gone when the block ends, however it ends. The values stay, with their gradient history. A layer that
    runs twice in one forward pass is refused, for it has no single value.
    """
    read = Reading([find(model, layer).layer for layer in layers])
    with ExitStack() as hooks:
        hooks.callback(model.register_forward_pre_hook(lambda *_: read.forget()).remove)
        for name in read:
            hooks.callback(hooked(model, name, keeper(read, name)).remove)
        yield read


def hooked(model: nn.Module, name: str, hook: Hook) -> RemovableHandle:
    """Have a hook called where a layer's value is there: after the layer has run, before the head for `penultimate`."""
    if name == PENULTIMATE:
        return head_of(model).register_forward_pre_hook(hook)
    module = model if name == LOGITS else module_at(model, name)
    assert module is not None  # `find` has seen it.
    return module.register_forward_hook(hook)


def last_relu(model: nn.Module, name: str, images: Images) -> int:
    """Return the number, from 1, of the last ReLU that runs before a layer's value is there; 0 if there is none."""
    seen: list[int] = []
    with frozen(model), torch.no_grad(), Relus() as relus:
        handle = hooked(model, name, lambda *_: seen.append(relus.count))
        try:
            model(images[:1])
        finally:
            handle.remove()
    return seen[0] if seen else 0


def keeper(read: Reading, name: str) -> Hook:
    """Return a hook that keeps the last thing that it is given: inputs before a module runs, its output after."""

    def hook(*given: Any) -> None:
        read.keep(name, given[-1])

    return hook


@dataclass(frozen=True)
class Layer:
    """A feature extractor: what a layer of a model says about each image, as (batch, features).

    A whole layer gives all its values; `pool` gives the mean over positions of each channel instead. One unit
    (`layer4.1:768`) gives its mean over positions, one position (`layer4.1@3,5`) the values there. Channels are the
    second dimension of a map (batch, channels, height, width), and the last of tokens (batch, tokens, channels). Tokens
    that are the patches of a square image, after a class token or without one, go by their row and column
    (`encoder.ln:7@3,5`) as well as by their number (`encoder.ln:7@48`, where a class token is 0).
    The model runs frozen; gradients reach the images. float32, or float64 from a float64 net. With `pass_through` the
    last ReLU before the layer passes gradients where it is off too, so that a unit that is off can be driven uphill; no
    value changes. Source: Engstrom et al. 2019, whose code calls it a fake ReLU.
    """

    model: nn.Module = field(repr=False)
    where: Address
    pool: bool = False
    pass_through: bool = False
    _last_relu: int | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "where", find(self.model, self.where))

    def __call__(self, images: Images, /) -> Features:
        """Return one row of features per image."""
        assert isinstance(self.where, Where)
        name = self.where.layer
        passes = Relus(self._opened(name, images)) if self.pass_through else nullcontext()
        with frozen(self.model), reading(self.model, self.where) as read, passes:
            self.model(images)
        values = read[name] if read[name].dtype == torch.float64 else read[name].float()
        tokens = values.dim() == 3 and not is_signal(module_at(self.model, name))
        where = in_grid(self.where, values.shape[1], images) if tokens else self.where
        return select(values, where, pool=self.pool, channels_last=tokens)

    def _opened(self, name: str, images: Images) -> int:
        """Return which ReLU passes gradients, found at the first call: it takes a forward pass of its own."""
        if self._last_relu is None:
            object.__setattr__(self, "_last_relu", last_relu(self.model, name, images))
        assert self._last_relu is not None
        return self._last_relu


def is_signal(module: nn.Module | None) -> bool:
    """Say whether a module's three-dimensional output is (batch, channels, length), as opposed to tokens."""
    return isinstance(module, nn.Conv1d | nn.BatchNorm1d | nn.MaxPool1d | nn.AvgPool1d)


def in_grid(where: Where, tokens: int, images: Images) -> Where:
    """Return the address of a token by its number, where it is given by row and column in a square grid of patches."""
    side = math.isqrt(tokens)
    first = tokens - side * side
    square = images.dim() == 4 and images.shape[2] == images.shape[3]
    if where.at is None or len(where.at) != 2 or first > 1 or not square:
        return where
    row, column = where.at
    if max(row, column) >= side:
        raise ValueError(f"layer {where.layer!r} has {side} x {side} patches; got @{row},{column}")
    return Where(where.layer, where.unit, (first + row * side + column,))


def select(values: Tensor, where: Where, *, pool: bool = False, channels_last: bool = False) -> Features:
    """Return the part of a layer's values that an address asks for, as (batch, features)."""
    if values.dim() < 2:
        raise ValueError(f"layer {where.layer!r} has no features: its output has shape {tuple(values.shape)}")
    maps = values.movedim(-1, 1) if channels_last else values
    if where.at is not None:
        index: tuple[int | slice, ...] = (slice(None), slice(None), *position(maps, where))
        maps = maps[index]
    if where.unit is not None:
        if not (isinstance(where.unit, int) and where.unit < maps.shape[1]):
            raise ValueError(f"layer {where.layer!r} has units 0 to {maps.shape[1] - 1}; got {where.unit}")
        maps = maps[:, where.unit : where.unit + 1]
    if pool or where.unit is not None:
        return maps.flatten(2).mean(dim=2) if maps.dim() > 2 else maps
    return maps.flatten(1)


def position(maps: Tensor, where: Where) -> tuple[int, ...]:
    """Return the position of an address after checking it against the map."""
    sides = tuple(maps.shape[2:])
    at = where.at or ()
    if len(at) != len(sides) or any(index >= side for index, side in zip(at, sides, strict=True)):
        having = f"positions below {','.join(map(str, sides))}" if sides else "no positions"
        raise ValueError(f"layer {where.layer!r} has {having}; got @{','.join(map(str, at))}")
    return at


def penultimate(model: nn.Module) -> Layer:
    """Return the extractor of the representation R(x), the input of the last linear module."""
    return Layer(model, PENULTIMATE)


@dataclass(frozen=True)
class LayerShape:
    """One row of `featlab layers`: a layer's name, kind, output shape without the batch, size, and runs per pass."""

    name: str
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    runs: int


def layer_shapes(model: nn.Module, *, shape: Sequence[int] | None = None) -> list[LayerShape]:
    """Return every layer in the order of definition, with the shapes that one image of `shape` has there.

    `shape` may be left out for a classifier, which knows it. A layer without a tensor output has shape None.
    """
    subject = model.with_shape(shape) if isinstance(model, Classifier) and shape is not None else model
    sides = subject.shape if isinstance(subject, Classifier) else shape
    if sides is None:
        raise ValueError("layer_shapes needs shape=(channels, height, width) for a model that is no Classifier")
    known = layers_of(subject)
    shapes, runs = observe(subject, known, tuple(sides))
    return [
        LayerShape(
            name,
            type(module).__name__,
            shapes.get(module),
            sum(parameter.numel() for parameter in module.parameters()),
            runs[module],
        )
        for name, module in known.items()
    ]


def observe(
    model: nn.Module, known: Mapping[str, nn.Module], shape: tuple[int, ...]
) -> tuple[dict[nn.Module, tuple[int, ...]], Counter[nn.Module]]:
    """Run one image through the model and return each module's output shape and number of runs."""
    shapes: dict[nn.Module, tuple[int, ...]] = {}
    runs: Counter[nn.Module] = Counter()

    def hook(module: nn.Module, _: object, output: object) -> None:
        tensor = output[0] if isinstance(output, tuple | list) and output else output
        runs[module] += 1
        if isinstance(tensor, Tensor):
            shapes[module] = tuple(tensor.shape[1:])

    first = next(model.parameters(), torch.zeros(()))
    image = torch.zeros((1, *shape), device=first.device, dtype=first.dtype)
    with ExitStack() as hooks, frozen(model), torch.no_grad():
        for module in dict.fromkeys(known.values()):
            hooks.callback(module.register_forward_hook(hook).remove)
        try:
            model(image)
        except RuntimeError as error:
            raise ValueError(f"the model does not take images of shape {shape}: {error}") from error
    return shapes, runs
