"""EfficientNet-Lite0, the smallest of the nets that were made for telephones, as a short module of featlab's own.

EfficientNet-B0 (Tan and Le 2019, table 1) without squeeze-and-excitation and with ReLU6 for swish, as Google published
the Lite family in 2020. The strided convolutions pad as TensorFlow does, so that published weights see what they were
trained on: one pixel more at the right and at the bottom than at the left and at the top.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from featlab.models.architecture import Architecture

STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Of each stage: how many times wider its blocks are inside, its channels, its blocks, its stride, its kernel."""

STEM, HEAD = 32, 1280
EPS, MOMENTUM = 1e-3, 0.01
"""Batch normalisation as TensorFlow's nets have it."""


def layer(
    before: int, after: int, kernel: int = 1, *, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    """Return padding, convolution, batch normalisation, and ReLU6 if `active`; a side becomes ceil(side / stride)."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if stride == 2:
        # The padding that an even side needs; all sides of a 224 pixel image are even wherever they are halved.
        near, far = (kernel - 2) // 2, (kernel - 1) // 2
        parts["pad"] = nn.ZeroPad2d((near, far, near, far))
    inner = 0 if stride == 2 else kernel // 2
    parts["conv"] = nn.Conv2d(before, after, kernel, stride, inner, groups=groups, bias=False)
    parts["bn"] = nn.BatchNorm2d(after, eps=EPS, momentum=MOMENTUM)
    if active:
        parts["relu"] = nn.ReLU6(inplace=True)
    return nn.Sequential(parts)


class InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, project; plus the identity where the shape stays (Sandler et al. 2018)."""

    def __init__(self, before: int, after: int, *, widen: int, stride: int, kernel: int) -> None:
        super().__init__()
        inner = before * widen
        self.expand = layer(before, inner) if widen > 1 else nn.Identity()
        self.depthwise = layer(inner, inner, kernel, stride=stride, groups=inner)
        self.project = layer(inner, after, active=False)
        self.residual = stride == 1 and before == after

    def forward(self, maps: Tensor) -> Tensor:
        """Return F(x), or x + F(x) where the shape stays."""
        moved: Tensor = self.project(self.depthwise(self.expand(maps)))
        return maps + moved if self.residual else moved


class EfficientNetLite0(nn.Module):
    """A stem, seven stages named stage1 to stage7, a wide 1x1 head, the mean over positions, and a linear layer."""

    def __init__(self, *, classes: int, in_channels: int, dropout: float) -> None:
        super().__init__()
        arguments = {"classes": classes, "in_channels": in_channels, "dropout": dropout}
        self.architecture = Architecture("efficientnet_lite0", arguments)
        self.stem = layer(in_channels, STEM, 3, stride=2)
        before = STEM
        for number, (widen, after, count, stride, kernel) in enumerate(STAGES, start=1):
            sizes = [(before, stride), *[(after, 1)] * (count - 1)]
            blocks = [InvertedResidual(size, after, widen=widen, stride=step, kernel=kernel) for size, step in sizes]
            self.add_module(f"stage{number}", nn.Sequential(*blocks))
            before = after
        self.head = layer(before, HEAD)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(HEAD, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of normalised images."""
        maps = self.stem(images)
        for number in range(1, len(STAGES) + 1):
            maps = self.get_submodule(f"stage{number}")(maps)
        logits: Tensor = self.linear(self.dropout(self.pool(self.head(maps)).flatten(1)))
        return logits


def efficientnet_lite0(*, classes: int = 1000, in_channels: int = 3, dropout: float = 0.2) -> EfficientNetLite0:
    """Build EfficientNet-Lite0; published weights want 224 pixels and images as (255 x - 127) / 128."""
    return EfficientNetLite0(classes=classes, in_channels=in_channels, dropout=dropout)


PARTS: Mapping[str, str] = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.bn",
    "_conv_head": "head.conv",
    "_bn1": "head.bn",
    "_fc": "linear",
}
INNER: Mapping[str, str] = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.bn",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.bn",
    "_project_conv": "project.conv",
    "_bn2": "project.bn",
}
"""What the package efficientnet-lite-pytorch calls the layers, outside its blocks and inside."""


def from_lite_pytorch(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under featlab's names from those of the package efficientnet-lite-pytorch."""
    places = [f"stage{number}.{block}" for number, stage in enumerate(STAGES, start=1) for block in range(stage[2])]
    return {_renamed(name, places): value for name, value in state.items()}


def _renamed(name: str, places: Sequence[str]) -> str:
    parts = name.split(".")
    try:
        if parts[0] == "_blocks":
            return ".".join([places[int(parts[1])], INNER[parts[2]], *parts[3:]])
        return ".".join([PARTS[parts[0]], *parts[1:]])
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"no layer of EfficientNet-Lite0 is called {name!r}") from error
