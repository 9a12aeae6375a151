"""Style transfer: one picture's content in another's style, as a classifier's features see both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

import featlab as fl
from featlab_plugins.tasks.shared import smoothed


def stylize(
    model: nn.Module,
    images: torch.Tensor,
    reference: torch.Tensor,
    *,
    style: str = "auto",
    content: str = "auto",
    balance: float = 0.3,
    variation: float = 0.1,
    start: Literal["content", "noise"] = "content",
    within: fl.ThreatModel | None = None,
    steps: int = 100,
    step_size: float = 0.02,
    seed: int = 0,
    examples: torch.Tensor | None = None,
) -> fl.Problem:
    """Draw the content of `images` in the style of `reference`: features where one has them, textures of the other.

    argmin_x' mean_l |G_l(x') - G_l(r)|^2 / |G_l(r)|^2 + balance * |F(x') - F(x)|^2 / |F(x)|^2 + variation * TV / size
    by Adam (there L-BFGS), with G_l = F_l F_l^T / positions the Gram matrix of the channels of each `style` layer, such
    as layer1+layer2, and F the features of the `content` layer. With `auto` the last layer of each size of
    maps carries the style, and the middle one of them the content. Larger, `balance` keeps more of the content. The
    larger `variation` is, the smoother the result. It starts from the images, or by `start` from noise.
    `within` is the set about the start, any image by default.
    Images and references are (batch, channels, height, width) in [0, 1]; one reference serves all images. A robust
    model's features carry style as VGG's do, a standard ResNet's do not.
    Source: Gatys et al. 2016, section 2; Nakano 2019, "Adversarially robust neural style transfer" (Distill), with
    style from relu2_x to relu5_x and content from relu4_x of a robust ResNet-50.
    """
    known = maps_of(model, images)
    outer = stages(known)
    names = outer if style == "auto" else style.split("+")
    anchor = outer[len(outer) // 2] if content == "auto" else content
    for name in (*names, anchor):
        if name not in known:
            raise ValueError(f"style and content are read off layers with maps, {', '.join(known)}; got {name!r}")
    score = _style(model, reference, images, tuple(names), anchor, balance)
    smooth = smoothed(score, images, variation)
    who = torch.arange(len(images), device=images.device) if examples is None else examples
    begin = images if start == "content" else noise(images, fl.Key(seed=seed, examples=who))
    around = within or fl.threat_model("box")
    return fl.Problem(smooth, begin, around, steps, step_size, rule=fl.Adam(), seed=seed, examples=examples)


def noise(images: torch.Tensor, key: fl.Key) -> torch.Tensor:
    """Return uniform noise about grey."""
    return fl.ops.linf_sample(torch.full_like(images, 0.5), eps=0.25, seed=key.seed, examples=key.examples)


@dataclass(frozen=True, eq=False)
class Styled(fl.Objective):
    """Minus the distances of style and content; `grams` are by layer and (batch or 1, channels, channels)."""

    model: nn.Module
    grams: dict[str, torch.Tensor]
    anchor: str
    content: torch.Tensor
    balance: float

    def __call__(self, images: torch.Tensor, /) -> torch.Tensor:
        """Return the negative weighted relative squared distances."""
        seen = features(self.model, images, [*self.grams, self.anchor])
        style = torch.stack([apart(gram(seen[name]), wanted) for name, wanted in self.grams.items()]).mean(dim=0)
        return -style - self.balance * apart(seen[self.anchor], self.content)

    def rows(self, index: torch.Tensor) -> Styled:
        """Return the objective of some of the examples."""
        grams = {name: wanted[index] if len(wanted) > 1 else wanted for name, wanted in self.grams.items()}
        return replace(self, grams=grams, content=self.content[index])


def _style(
    model: nn.Module,
    reference: torch.Tensor,
    images: torch.Tensor,
    names: Sequence[str],
    anchor: str,
    balance: float,
) -> Styled:
    """Return the objective: the Gram matrices of the references, which may have another size, and the content."""
    if len(reference) not in {1, len(images)} or reference.shape[1] != images.shape[1]:
        raise ValueError(
            f"reference must be one picture, or one for each of the images, with as many channels; got shapes "
            f"{tuple(reference.shape)} and {tuple(images.shape)}"
        )
    if reference.shape[2:] != images.shape[2:]:
        reference = F.interpolate(reference, size=images.shape[2:], mode="bilinear", antialias=True).clamp(0, 1)
    with torch.no_grad():
        grams = {name: gram(maps) for name, maps in features(model, reference, names).items()}
        content = features(model, images, [anchor])[anchor]
    return Styled(model, grams, anchor, content, balance)


def features(model: nn.Module, images: torch.Tensor, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """Return the maps of several layers after one pass, in at least float32."""
    with fl.frozen(model), fl.reading(model, *names) as read:
        model(images)
    return {name: read[name] if read[name].dtype == torch.float64 else read[name].float() for name in names}


def gram(maps: torch.Tensor) -> torch.Tensor:
    """Return F F^T / positions of maps as channels x positions, (batch, channels, channels)."""
    rows = maps.flatten(2)
    return rows @ rows.mT / rows.shape[2]


def apart(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return |found - wanted|^2 / |wanted|^2 of each example."""
    size = wanted.square().flatten(1).sum(dim=1).clamp_min(1e-12)
    return (found - wanted).square().flatten(1).sum(dim=1) / size


def maps_of(model: nn.Module, images: torch.Tensor) -> dict[str, torch.Size]:
    """Return the size of the maps, (height, width), of each layer that has any of more than one position, in order.

    Layers that run more than once in a pass have no single value and are left out.
    """
    found: list[tuple[str, torch.Size]] = []

    def noting(name: str) -> Callable[..., None]:
        def note(_: nn.Module, __: object, output: object) -> None:
            if isinstance(output, torch.Tensor) and output.dim() == 4 and output.shape[2:].numel() > 1:
                found.append((name, output.shape[2:]))

        return note

    with ExitStack() as hooks, torch.no_grad(), fl.frozen(model):
        for name, module in fl.layers_of(model).items():
            hooks.callback(module.register_forward_hook(noting(name)).remove)
        model(images[:1])
    if not found:
        raise ValueError("style is read off maps, and no layer of this model has any; use a convolutional net")
    names = [name for name, _ in found]
    return {name: size for name, size in found if names.count(name) == 1}


def stages(maps: Mapping[str, torch.Size]) -> list[str]:
    """Return the last layer of each size of maps, among the outermost layers where they have three sizes or more."""
    for depth in range(1 + max(name.count(".") for name in maps)):
        last = {size: name for name, size in maps.items() if name.count(".") == depth}
        if len(last) >= 3:
            return list(last.values())
    return list({size: name for name, size in maps.items()}.values())
