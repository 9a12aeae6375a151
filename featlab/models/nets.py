"""Small nets for small pictures: a convolutional one, and one of linear layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from featlab.models.architecture import Architecture


class SmallCNN(nn.Module):
    """Blocks of convolution, batch normalisation and ReLU named layer1, layer2, ..., and a linear head."""

    def __init__(
        self,
        *,
        classes: int,
        channels: Sequence[int],
        strides: Sequence[int],
        in_channels: int,
        size: Sequence[int],
        kernel: int,
        pool: bool,
    ) -> None:
        super().__init__()
        arguments = {"channels": list(channels), "strides": list(strides), "size": list(size), "kernel": kernel}
        arguments |= {"classes": classes, "in_channels": in_channels, "pool": pool}
        self.architecture = Architecture("small_cnn", arguments)
        self.blocks = tuple(f"layer{index}" for index in range(1, len(channels) + 1))
        height, width = size
        before = in_channels
        for name, after, stride in zip(self.blocks, channels, strides, strict=True):
            part = block(before, after, stride=stride, kernel=kernel if name == "layer1" else 3)
            self.add_module(name, part)  # layer1, not blocks.layer1: people type these names.
            height, width, before = -(-height // stride), -(-width // stride), after
        self.pool = nn.AdaptiveAvgPool2d(1) if pool else nn.Identity()
        self.linear = nn.Linear(before * (1 if pool else height * width), classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of normalised images."""
        maps = images
        for name in self.blocks:
            maps = self.get_submodule(name)(maps)
        logits: Tensor = self.linear(self.pool(maps).flatten(1))
        return logits


class MLP(nn.Module):
    """Linear layers with ReLUs, named layer1, layer2, ..., and a linear head; without hidden layers it is linear."""

    def __init__(self, *, classes: int, in_channels: int, size: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        arguments = {"classes": classes, "in_channels": in_channels, "size": list(size), "hidden": list(hidden)}
        self.architecture = Architecture("mlp", arguments)
        self.blocks = tuple(f"layer{index}" for index in range(1, len(hidden) + 1))
        before = in_channels * size[0] * size[1]
        for name, after in zip(self.blocks, hidden, strict=True):
            self.add_module(name, nn.Sequential(OrderedDict(linear=nn.Linear(before, after), relu=nn.ReLU())))
            before = after
        self.linear = nn.Linear(before, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of normalised images."""
        values = images.flatten(1)
        for name in self.blocks:
            values = self.get_submodule(name)(values)
        logits: Tensor = self.linear(values)
        return logits


def mlp(
    *, classes: int = 10, hidden: Sequence[int] = (256,), in_channels: int = 1, size: int | Sequence[int] = 28
) -> MLP:
    """Build a net of linear layers, one hidden one per entry of `hidden`; with none, a linear classifier.

    `size` is the side or (height, width) of the images.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or any(width < 1 for width in hidden):
        raise ValueError(f"mlp takes pictures and widths >= 1; got size {size!r} and hidden {list(hidden)}")
    return MLP(classes=classes, in_channels=in_channels, size=sides, hidden=hidden)


def block(before: int, after: int, *, stride: int, kernel: int) -> nn.Sequential:
    """Return convolution, batch normalisation, ReLU; a side becomes ceil(side / stride)."""
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(after), relu=nn.ReLU(inplace=True)))


def small_cnn(
    *,
    classes: int = 10,
    channels: Sequence[int] = (16, 32, 32, 64),
    strides: Sequence[int] = (1, 2, 1, 2),
    in_channels: int = 1,
    size: int | Sequence[int] = 28,
    kernel: int = 3,
    pool: bool = False,
) -> SmallCNN:
    """Build a plain convolutional net: one 3x3 block per entry of `channels`, then a linear layer.

    `strides` holds one stride per block, `size` the side or (height, width) of the images, `kernel` the odd width of
    the first convolution; with `pool` the head sees each channel's mean instead of every position.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(channels) != len(strides) or not channels:
        raise ValueError(
            f"small_cnn needs one stride per block; got {len(channels)} channels and {len(strides)} strides"
        )
    if len(sides) != 2 or kernel % 2 == 0:
        raise ValueError(f"small_cnn takes pictures and an odd kernel; got size {size!r} and kernel {kernel}")
    return SmallCNN(
        classes=classes,
        channels=channels,
        strides=strides,
        in_channels=in_channels,
        size=sides,
        kernel=kernel,
        pool=pool,
    )
