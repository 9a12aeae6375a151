"""Checkpoints of the MadryLab `robustness` package, read as data: no pickled code runs.

The layout: a dictionary with the weights under `model` (older files: `state_dict`), whose names are
`module.model.NAME` or `module.attacker.model.NAME` beside `module.normalizer.new_mean` and `new_std`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from featlab.models.architecture import Architecture
from featlab.models.building import NETS, build_net
from featlab.models.checkpoints import weights_of
from featlab.models.classifier import Classifier
from featlab.models.optional import IMAGENET_MEAN, IMAGENET_STD, imagenet_classes
from featlab.names import lookup

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RESTRICTED = ("dog", "cat", "frog", "turtle", "bird", "monkey", "fish", "crab", "insect")


@dataclass(frozen=True)
class DataFacts:
    """What `robustness` assumes about a data set; empty `classes` are torchvision's ImageNet classes."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    shape: tuple[int, ...]
    classes: tuple[str, ...]


DATA: Mapping[str, DataFacts] = MappingProxyType(
    {
        # This std is not that of CIFAR-10's pixels, but every released checkpoint was trained with it.
        "cifar10": DataFacts((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010), (3, 32, 32), CIFAR10),
        "cinic": DataFacts(
            (0.47889522, 0.47227842, 0.43047404), (0.24205776, 0.23828046, 0.25874835), (3, 32, 32), CIFAR10
        ),
        "imagenet": DataFacts(IMAGENET_MEAN, IMAGENET_STD, (3, 224, 224), ()),
        "restricted_imagenet": DataFacts((0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575), (3, 224, 224), RESTRICTED),
    }
)

STAGES: Mapping[tuple[str | int, ...], str] = {
    ("basic", 2, 2, 2, 2): "resnet18",
    ("basic", 3, 4, 6, 3): "resnet34",
    ("bottleneck", 3, 4, 6, 3): "resnet50",
    ("bottleneck", 3, 4, 23, 3): "resnet101",
    ("bottleneck", 3, 8, 36, 3): "resnet152",
}


def load_madrylab(path: Path, *, arch: str | None = None, data: str | None = None) -> Classifier:
    """Read a checkpoint of `robustness`, on the CPU, in float32.

    `arch` (resnet18, resnet50, ...) and `data` (cifar10, cinic, imagenet, restricted_imagenet) follow from the weights
    where they are left out. The normalisation is the checkpoint's own, else that of `data`. A file that needs pickled
    code to be run, or does not fit, is a ValueError.
    """
    weights, mean, std = split(weights_of(path))
    facts = lookup("the data of a robustness checkpoint", data or guess_data(path, weights), DATA)
    architecture = describe(path, weights, arch=arch)
    net = build_net(architecture)
    fill(path, net, weights, architecture)
    return Classifier(
        net,
        mean=mean or facts.mean,
        std=std or facts.std,
        classes=names_for(facts, architecture),
        shape=facts.shape,
        name=path.stem,
        architecture=architecture,
    ).eval()


def split(
    tensors: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], tuple[float, ...] | None, tuple[float, ...] | None]:
    """Return the net's weights by their own names, and the mean and std of the checkpoint where it has them."""
    named = {name.removeprefix("module."): value for name, value in tensors.items()}
    weights = below(named, "model.") or below(named, "attacker.model.") or named
    weights = below(weights, "model.") or weights  # A net with a custom forward is wrapped once more.
    normalizer = below(named, "normalizer.") or below(named, "attacker.normalize.")
    return weights, numbers(normalizer.get("new_mean")), numbers(normalizer.get("new_std"))


def below(named: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the entries whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}


def numbers(value: Tensor | None) -> tuple[float, ...] | None:
    """Return one float per channel, as the shortest decimal that is the same float32: 0.2023, not 0.20229999721."""
    return None if value is None else tuple(float(str(each)) for each in value.float().flatten().numpy())


def describe(path: Path, weights: Mapping[str, Tensor], *, arch: str | None) -> Architecture:
    """Return the architecture that the names and shapes of the weights imply."""
    pictures32 = "linear.weight" in weights
    head = weights.get("linear.weight", weights.get("fc.weight"))
    stem = weights.get("conv1.weight")
    counts = [len({name.split(".")[1] for name in weights if name.startswith(f"layer{n}.")}) for n in (1, 2, 3, 4)]
    kind = "bottleneck" if "layer1.0.conv3.weight" in weights else "basic"
    found = STAGES.get((kind, *counts))
    if found is None or head is None or stem is None:
        raise ValueError(f"{path} holds no ResNet that featlab knows ({', '.join(sorted(STAGES.values()))})")
    if arch is not None and lookup("arch", arch, {name: name for name in STAGES.values()}) != found:
        raise ValueError(f"{path} holds a {found}, not a {arch}; leave arch out or write arch={found}")
    if not pictures32:
        return Architecture(f"torchvision:{found}", {"classes": len(head)})
    arguments: dict[str, Any] = {"classes": len(head), "in_channels": stem.shape[1], "width": stem.shape[0]}
    assert found in NETS
    return Architecture(found, arguments)


def guess_data(path: Path, weights: Mapping[str, Tensor]) -> str:
    """Return the data set that the head implies; a ValueError asks where it implies none."""
    small = "linear.weight" in weights
    head = weights.get("linear.weight", weights.get("fc.weight"))
    known = {(True, 10): "cifar10", (False, 1000): "imagenet", (False, 9): "restricted_imagenet"}
    found = None if head is None else known.get((small, len(head)))
    if found is None:
        raise ValueError(f"{path} does not say which data it is for; write robustness:PATH?data={'|'.join(DATA)}")
    return found


def fill(path: Path, net: nn.Module, weights: Mapping[str, Tensor], architecture: Architecture) -> None:
    """Load the weights, all of them; only counters that older versions of torch did not write may be missing."""
    try:
        outcome = net.load_state_dict(dict(weights), strict=False)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit {architecture.name}: {error}") from error
    missing = [name for name in outcome.missing_keys if not re.search(r"num_batches_tracked$", name)]
    if missing or outcome.unexpected_keys:
        strange = [*(f"no {name}" for name in missing), *(f"unknown {name}" for name in outcome.unexpected_keys)]
        raise ValueError(f"{path} does not fit {architecture.name}: {', '.join(strange[:4])} ({len(strange)} in all)")


def names_for(facts: DataFacts, architecture: Architecture) -> tuple[str, ...]:
    """Return the names of the classes, numbers where the net has another count of them."""
    count = int(architecture.arguments["classes"])
    names = facts.classes or imagenet_classes()
    return names if len(names) == count else tuple(map(str, range(count)))
