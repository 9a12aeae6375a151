"""Nets from their architecture, and classifiers around them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from featlab.models.architecture import Architecture, architecture_of
from featlab.models.classifier import Classifier
from featlab.models.nets import mlp, small_cnn
from featlab.models.optional import timm_net, torchvision_net
from featlab.models.resnet import DEPTHS, resnet
from featlab.names import lookup

NETS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {"small_cnn": small_cnn, "mlp": mlp, **{f"resnet{depth}": partial(resnet, depth) for depth in DEPTHS}}
)
"""featlab's own nets by name."""

FOREIGN: Mapping[str, Callable[..., nn.Module]] = MappingProxyType({"torchvision": torchvision_net, "timm": timm_net})
"""Other packages whose nets can be named `package:NET`."""


def architectures() -> list[str]:
    """Return the names of featlab's own architectures."""
    return list(NETS)


def builder_of(name: str) -> Callable[..., nn.Module]:
    """Return the function that builds nets of this name; an unknown name is a ValueError."""
    package, colon, net = name.partition(":")
    if colon:
        return partial(lookup("the package of an architecture", package, FOREIGN), net)
    return lookup("an architecture", name, NETS)


def build_net(architecture: Architecture, *, seed: int | None = None) -> nn.Module:
    """Build a net with random weights, which depend on `seed` alone where it is given.

    The caller's random state stays as it is. An unknown name and unknown or impossible arguments are a ValueError.
    """
    builder = builder_of(architecture.name)
    try:
        inspect.signature(builder).bind(**architecture.arguments)
        with own_randomness(seed):
            return builder(**architecture.arguments)
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"architecture {architecture.name!r} cannot be built with {dict(architecture.arguments)}: {error}"
        ) from error


def build(
    name: str,
    *,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    classes: Sequence[str],
    shape: Sequence[int],
    arguments: Mapping[str, Any] | None = None,
    seed: int | None = None,
    title: str = "",
) -> Classifier:
    """Build a fresh classifier of a named architecture (`small_cnn`, `resnet18`, `torchvision:resnet50`).

    The number of classes and the size of the images go to the net by themselves; `arguments` holds what else it takes.
    `seed` fixes the weights whatever was drawn before; `title` becomes the classifier's name.
    """
    implied = {"classes": len(classes), "in_channels": shape[0], "size": list(shape[1:])}
    known = inspect.signature(builder_of(name)).parameters
    taken = {key: value for key, value in implied.items() if key in known}
    architecture = Architecture(name, taken | dict(arguments or {}))
    net = build_net(architecture, seed=seed)
    return Classifier(
        net,
        mean=mean,
        std=std,
        classes=classes,
        shape=shape,
        name=title,
        architecture=architecture_of(net) or architecture,  # A net's own record holds its defaults too.
    )


@contextmanager
def own_randomness(seed: int | None) -> Iterator[None]:
    """Draw random numbers on the CPU without a trace, from `seed` or, without one, as they would come now."""
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            # The generator itself, because torch.manual_seed would seed every CUDA device as well.
            torch.default_generator.manual_seed(seed)
        yield
