"""Nets of packages that featlab does not need: torchvision and timm, imported when one of their nets is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from featlab.names import lookup

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Expectations:
    """What a net of another package expects and answers: its input, its normalisation, its classes."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    shape: tuple[int, ...]
    classes: tuple[str, ...]


def package(name: str) -> ModuleType:
    """Import a package that is not a dependency; a ValueError says how to get it."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError, OSError) as error:  # torchvision beside a foreign torch: RuntimeError
        raise ValueError(
            f"{name}:NAME needs the package {name}, which cannot be imported here ({error}); pip install {name}"
        ) from error


def torchvision_net(name: str, *, classes: int = 1000) -> nn.Module:
    """Build a torchvision classifier by name, with random weights."""
    models = package("torchvision").models
    known = {each: each for each in models.list_models(module=models)}
    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if lookup("a torchvision classifier", name, known) in ("googlenet", "inception_v3"):
        options["init_weights"] = True  # Its own default, said aloud: left out, torchvision warns.
    net: nn.Module = models.get_model(name, **options)
    return net


def timm_net(name: str, *, classes: int = 1000) -> nn.Module:
    """Build a timm classifier by name, with random weights."""
    timm = package("timm")
    known = {each: each for each in timm.list_models()}
    if name not in known:  # Some thousand names: too many for a sentence.
        raise ValueError(f"timm has no model {name!r}; timm.list_models('*{name[:6]}*') shows what it has")
    net: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes)
    return net


def torchvision_expects(name: str, *, classes: int | None) -> Expectations:
    """Return what torchvision's own weights of this net expect; other class counts get numbers for names."""
    weights = package("torchvision").models.get_model_weights(name).DEFAULT
    preset = weights.transforms()
    names = tuple(weights.meta["categories"])
    side = int(preset.crop_size[0])
    return Expectations(tuple(preset.mean), tuple(preset.std), (3, side, side), class_names(names, classes))


def timm_expects(name: str, *, net: nn.Module, classes: int | None) -> Expectations:
    """Return what timm says about this net's input."""
    del name
    facts: Mapping[str, Any] = getattr(net, "pretrained_cfg", None) or {}
    mean, std = facts.get("mean", IMAGENET_MEAN), facts.get("std", IMAGENET_STD)
    shape = facts.get("input_size", (3, 224, 224))
    count = classes or int(facts.get("num_classes", 1000))
    return Expectations(tuple(mean), tuple(std), tuple(shape), class_names((), count))


def torchvision_weights(name: str, weights: str) -> Mapping[str, Tensor]:
    """Return weights that torchvision itself publishes, by their name there or `DEFAULT`; torchvision fetches them."""
    known = package("torchvision").models.get_model_weights(name).__members__
    chosen = lookup(f"the weights of torchvision:{name}", weights, known | {"DEFAULT": known_default(known)})
    state: Mapping[str, Tensor] = chosen.get_state_dict(progress=False, check_hash=True, weights_only=True)
    return state


def known_default(known: Mapping[str, Any]) -> Any:
    """Return the weights that the enumeration itself calls its default."""
    return type(next(iter(known.values()))).DEFAULT


def class_names(names: Sequence[str], count: int | None) -> tuple[str, ...]:
    """Return the names where their number is right, otherwise "0", "1", ..."""
    if count is None or count == len(names):
        return tuple(names)
    return tuple(str(index) for index in range(count))
