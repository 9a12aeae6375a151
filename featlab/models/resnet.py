"""Residual nets for 32x32 pictures: a 3x3 stem, no early pooling.

Source: He et al. 2016, "Deep Residual Learning for Image Recognition", section 3 and table 1, with the stem of their
CIFAR nets (section 4.2) and projection shortcuts (option B) where the shape changes. Module names (conv1, bn1,
layer1..layer4, shortcut, linear) are those of the CIFAR checkpoints in circulation, so that these load.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch.nn.functional as F
from torch import Tensor, nn

from featlab.models.architecture import Architecture

DEPTHS: Mapping[int, tuple[bool, tuple[int, int, int, int]]] = MappingProxyType(
    {
        18: (False, (2, 2, 2, 2)),
        34: (False, (3, 4, 6, 3)),
        50: (True, (3, 4, 6, 3)),
        101: (True, (3, 4, 23, 3)),
        152: (True, (3, 8, 36, 3)),
    }
)
"""Table 1 of the paper: whether the blocks have bottlenecks, and the number of blocks per stage."""

EXPANSION = 4
"""A bottleneck's output has this many times the channels of its 3x3 convolution."""


def conv3x3(before: int, after: int, *, stride: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size, up to its stride."""
    return nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)


def shortcut(before: int, after: int, *, stride: int) -> nn.Sequential:
    """Return the identity (an empty sequence), or a projection where the shape changes."""
    if stride == 1 and before == after:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))


class Basic(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, before: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(before, width, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = shortcut(before, width, stride=stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Return relu(F(x) + shortcut(x))."""
        inner = F.relu(self.bn1(self.conv1(maps)))
        return F.relu(self.bn2(self.conv2(inner)) + self.shortcut(maps))


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 convolutions, beside a shortcut; the stride is at the 3x3 convolution."""

    def __init__(self, before: int, width: int, *, stride: int) -> None:
        super().__init__()
        after = EXPANSION * width
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride=stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.shortcut = shortcut(before, after, stride=stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Return relu(F(x) + shortcut(x))."""
        inner = F.relu(self.bn1(self.conv1(maps)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        return F.relu(self.bn3(self.conv3(inner)) + self.shortcut(maps))


class ResNet(nn.Module):
    """Four stages of residual blocks, the mean over positions, and a linear head."""

    def __init__(self, depth: int, *, classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        arguments = {"classes": classes, "in_channels": in_channels, "width": width}
        self.architecture = Architecture(f"resnet{depth}", arguments)
        deep, counts = DEPTHS[depth]
        self.conv1 = conv3x3(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        widths = [width * 2**stage for stage in range(4)]
        outputs = [each * (EXPANSION if deep else 1) for each in widths]
        inputs = [width, *outputs]
        self.layer1 = stage(inputs[0], widths[0], counts[0], deep=deep, stride=1)
        self.layer2 = stage(inputs[1], widths[1], counts[1], deep=deep, stride=2)
        self.layer3 = stage(inputs[2], widths[2], counts[2], deep=deep, stride=2)
        self.layer4 = stage(inputs[3], widths[3], counts[3], deep=deep, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(outputs[3], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of normalised images."""
        maps = F.relu(self.bn1(self.conv1(images)))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        logits: Tensor = self.linear(self.avgpool(maps).flatten(1))
        return logits


def stage(before: int, width: int, count: int, *, deep: bool, stride: int) -> nn.Sequential:
    """Return `count` blocks; the first one has the stride and changes the number of channels."""
    block = Bottleneck if deep else Basic
    after = width * (EXPANSION if deep else 1)
    later = [block(after, width, stride=1) for _ in range(count - 1)]
    return nn.Sequential(block(before, width, stride=stride), *later)


def resnet(depth: int, /, *, classes: int = 10, in_channels: int = 3, width: int = 64) -> ResNet:
    """Build a residual net for small pictures: `depth` 18, 34, 50, 101 or 152; `width` channels in the first stage."""
    if depth not in DEPTHS:
        raise ValueError(f"a ResNet's depth must be one of {', '.join(map(str, DEPTHS))}; got {depth}")
    return ResNet(depth, classes=classes, in_channels=in_channels, width=width)


def resnet18(*, classes: int = 10, in_channels: int = 3, width: int = 64) -> ResNet:
    """Build ResNet-18 for small pictures."""
    return resnet(18, classes=classes, in_channels=in_channels, width=width)


def resnet50(*, classes: int = 10, in_channels: int = 3, width: int = 64) -> ResNet:
    """Build ResNet-50 for small pictures."""
    return resnet(50, classes=classes, in_channels=in_channels, width=width)
