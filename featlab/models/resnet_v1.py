"""ResNet-50 for ImageNet as it was first published: He et al. 2016, table 1, with the stride in a block's first 1x1.

The weights in circulation for Keras are of this net (Caffe's): batch normalisation with eps 1e-3, a bias in every
convolution, channels in the order blue, green, red. `from_keras` folds the biases into the running means and turns the
first kernel round, so that the net is a plain one for red, green, blue.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featlab.models.architecture import Architecture
from featlab.models.resnet import DEPTHS, EXPANSION, Bottleneck, stage

WIDTH = 64
EPS = 1e-3


class ResNet50V1(nn.Module):
    """A 7x7 convolution and a maximum, each halving the sides, four stages of bottlenecks, the mean, a linear layer."""

    def __init__(self, *, classes: int, in_channels: int) -> None:
        super().__init__()
        self.architecture = Architecture("resnet50_v1", {"classes": classes, "in_channels": in_channels})
        self.conv1 = nn.Conv2d(in_channels, WIDTH, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTH)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        before = WIDTH
        for number, count in enumerate(DEPTHS[50][1]):
            blocks = stage(before, WIDTH << number, count, deep=True, stride=1 if number == 0 else 2)
            before = EXPANSION * (WIDTH << number)
            self.add_module(f"layer{number + 1}", blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, Bottleneck):
                module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride
            elif isinstance(module, nn.BatchNorm2d):
                module.eps = EPS
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of normalised images."""
        maps = self.maxpool(F.relu(self.bn1(self.conv1(images))))
        for number in range(1, 5):
            maps = self.get_submodule(f"layer{number}")(maps)
        logits: Tensor = self.linear(self.avgpool(maps).flatten(1))
        return logits


def resnet50_v1(*, classes: int = 1000, in_channels: int = 3) -> ResNet50V1:
    """Build ResNet-50 as first published; Keras' weights want 224 pixels and images as 255 x less their means."""
    return ResNet50V1(classes=classes, in_channels=in_channels)


CONVOLUTIONS: Mapping[str, tuple[str, str]] = {
    "2a": ("conv1", "bn1"),
    "2b": ("conv2", "bn2"),
    "2c": ("conv3", "bn3"),
    "1": ("shortcut.0", "shortcut.1"),
}
"""Keras' names of a block's branches, and what the convolution and the batch normalisation are called here."""

STATISTICS: Mapping[str, str] = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def from_keras(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under featlab's names from Keras' (`res2a_branch2a/kernel`); a missing one is a ValueError."""
    try:
        state = _layer(arrays, "conv1", "bn_conv1", "conv1", "bn1")
        state["conv1.weight"] = state["conv1.weight"].flip(1).contiguous()  # Red first, not blue.
        for number, count in enumerate(DEPTHS[50][1]):
            for place in range(count):
                title, block = f"{number + 2}{'abcdef'[place]}", f"layer{number + 1}.{place}"
                for branch, (conv, norm) in CONVOLUTIONS.items():
                    if branch != "1" or place == 0:
                        names = (f"res{title}_branch{branch}", f"bn{title}_branch{branch}")
                        state |= _layer(arrays, *names, f"{block}.{conv}", f"{block}.{norm}")
        head = {"weight": arrays["fc1000/kernel"].T.contiguous(), "bias": arrays["fc1000/bias"]}
    except KeyError as error:
        raise ValueError(f"Keras' weights of ResNet-50 lack {error}") from error
    return state | {f"linear.{name}": value for name, value in head.items()}


def _layer(arrays: Mapping[str, Tensor], conv: str, norm: str, to_conv: str, to_norm: str) -> dict[str, Tensor]:
    """Return a convolution and its batch normalisation; norm(w x + b) is norm'(w x) with the mean less b."""
    state = {f"{to_conv}.weight": arrays[f"{conv}/kernel"].permute(3, 2, 0, 1).contiguous()}
    state |= {f"{to_norm}.{name}": arrays[f"{norm}/{title}"] for name, title in STATISTICS.items()}
    state[f"{to_norm}.num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
    state[f"{to_norm}.running_mean"] = state[f"{to_norm}.running_mean"] - arrays[f"{conv}/bias"]
    return state
