"""Nets of packages that featlab does not need: torchvision and timm, imported when one of their nets is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import nn

from featlab.names import lookup

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
INCEPTIONS = ("googlenet", "inception_v3")


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


def torchvision_net(
    name: str, *, classes: int = 1000, image_size: int | None = None, transform_input: bool = False
) -> nn.Module:
    """Build a torchvision classifier by name, with random weights.

    `image_size` is the side that a vision transformer is built for; `transform_input` lets GoogLeNet and Inception
    undo the usual normalisation, as their published weights want it.
    """
    models = package("torchvision").models
    known = {each: each for each in models.list_models(module=models)}
    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if lookup("a torchvision classifier", name, known) in INCEPTIONS:
        options |= {"transform_input": transform_input, "init_weights": True}  # Not said aloud, it warns.
    if name.startswith("vit_") and image_size is not None:
        options["image_size"] = image_size
    net: nn.Module = models.get_model(name, **options)
    return net


def torchvision_weights(name: str, weights: str = "DEFAULT") -> Any:
    """Return one entry of torchvision's table of published weights, by its name there or `DEFAULT`."""
    models = package("torchvision").models
    lookup("a torchvision classifier", name, dict.fromkeys(models.list_models(module=models)))
    table = models.get_model_weights(name)
    return lookup(f"the weights of torchvision:{name}", weights, dict(table.__members__) | {"DEFAULT": table.DEFAULT})


def torchvision_arguments(name: str, weights: Any, *, published: bool) -> dict[str, Any]:
    """Return the arguments of `torchvision_net` that a table entry implies; `published` if its weights are taken."""
    arguments: dict[str, Any] = {}
    if name.startswith("vit_"):
        arguments["image_size"] = int(weights.transforms().crop_size[0])
    if name in INCEPTIONS and published:
        arguments["transform_input"] = True
    return arguments


def torchvision_expects(weights: Any, *, classes: int | None) -> Expectations:
    """Return what an entry of torchvision's table says about input and classes; other class counts get numbers."""
    preset = weights.transforms()
    side = int(preset.crop_size[0])
    names = class_names(weights.meta["categories"] or (), classes)
    return Expectations(tuple(preset.mean), tuple(preset.std), (3, side, side), names)


def imagenet_classes() -> tuple[str, ...]:
    """Return torchvision's names of the thousand ImageNet classes."""
    return tuple(torchvision_weights("resnet50").meta["categories"])


def imagenet_names() -> tuple[str, ...]:
    """Return torchvision's names of the thousand ImageNet classes, and where it is not installed their numbers."""
    try:
        return imagenet_classes()
    except ValueError:
        return class_names((), 1000)


def timm_net(name: str, *, classes: int = 1000) -> nn.Module:
    """Build a timm classifier by name, with random weights."""
    timm = package("timm")
    if not timm.is_model(name):  # It has some thousand names: too many for a sentence.
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "timm.list_models() lists them"
        raise ValueError(f"timm has no model {name!r}; {hint}")
    net: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes)
    return net


def timm_expects(net: nn.Module, *, classes: int | None) -> Expectations:
    """Return what a timm net says about its input."""
    facts: Mapping[str, Any] = getattr(net, "pretrained_cfg", None) or {}
    mean, std = facts.get("mean", IMAGENET_MEAN), facts.get("std", IMAGENET_STD)
    shape = facts.get("input_size", (3, 224, 224))
    count = classes or int(facts.get("num_classes", 1000))
    return Expectations(tuple(mean), tuple(std), tuple(shape), class_names((), count))


def class_names(names: Sequence[str], count: int | None) -> tuple[str, ...]:
    """Return the names where their number is right, otherwise "0", "1", ..."""
    if count is None or count == len(names):
        return tuple(names)
    return tuple(str(index) for index in range(count))
