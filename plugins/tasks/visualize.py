"""Feature visualisation."""

from __future__ import annotations

import torch
from torch import nn

import featlab as fl


def visualize(
    model: nn.Module,
    images: torch.Tensor,
    unit: str,
    *,
    within: fl.ThreatModel | None = None,
    reference: torch.Tensor | None = None,
    diversity: float = 0.3,
    layer: str | None = None,
    lowest: bool = False,
    variation: float = 0.0,
    jitter: int = 0,
    scale: tuple[float, float] = (1.0, 1.0),
    rotate: float = 0.0,
    noise: float = 0.0,
    pass_through: bool = False,
    steps: int = 200,
    step_size: float = 0.1,
    seed: int = 0,
    examples: torch.Tensor | None = None,
) -> fl.Problem:
    """Move `images` until they show what one unit of the model, such as `layer4.1:768`, responds to.

    argmax_x' E_t a(t(x')) - variation * TV(x') / size, with a the unit's activation (its mean over positions), t a
    random map drawn anew at every step, and TV / size the total variation per value. The larger `variation` is, the
    smoother the picture. The map shifts by up to `jitter` pixels. It scales within the two numbers of `scale`. It
    turns by up to `rotate` degrees. A robust model needs none of these, others do. A unit behind a ReLU that starts at
    zero has no uphill: name the layer before the ReLU, or let gradients through it with `pass_through`.
    The images, (batch, channels, height, width) in [0, 1], may be photographs or plain grey; `noise` adds uniform
    noise of that size first. `within` is the set about them, any image by default; steps of the box and of l2 follow
    the normalised gradient. `fourier` and `decorrelated` are any image too, described by numbers that lead to larger
    shapes and natural colours; there, steps of 1 to 5 are usual. With `lowest` the activation falls instead.
    Several images of a unit that differ are made one after another (`fl.one_by_one`), each given those found so far as
    `reference`, (found, ...): the score is that of `fl.distinct`. The larger `diversity` is, the less an image has in
    common with them. The likeness is that in `layer`, by default the unit's own or the last with several positions. A
    penalty on the pairs of a batch, as Olah et al. have it, would let one example influence another, and make each
    image depend on how many are asked for.
    Published for robust models at 224 pixels: step_size=1, steps=200, from noise; the defaults are for 28 to 32 pixels.
    Raises ValueError where `unit` is not the address of one unit.
    Source: Olah et al. 2017, "Feature Visualization"; Engstrom et al. 2019, section 4.2 (robust models, from noise).
    """
    who = torch.arange(len(images), device=images.device) if examples is None else examples
    start = fl.ops.linf_sample(images, eps=noise, seed=seed, examples=who) if noise else images
    read = one_unit(model, unit, start, pass_through=pass_through)
    if reference is None:
        activation = -fl.activation(read) if lowest else fl.activation(read)
    else:
        activation = fl.distinct(
            model, unit, reference, layer=layer, weight=diversity, lowest=lowest, pass_through=pass_through
        )
    moved = fl.jittered(activation, jitter=jitter, scale=scale, rotate=rotate, seed=seed, examples=who)
    still = jitter == 0 and rotate == 0 and tuple(scale) == (1.0, 1.0)
    score = (activation if still else moved) - variation / images[0].numel() * fl.total_variation()
    around = within or fl.threat_model("box")
    return fl.Problem(score, start, around, steps, step_size, keep="last", seed=seed, examples=examples)


def one_unit(model: nn.Module, unit: str, images: torch.Tensor, *, pass_through: bool = False) -> fl.FeatureExtractor:
    """Return the extractor of a unit after seeing that it is one."""
    extract = fl.Layer(model, unit, pass_through=True) if pass_through else fl.extractor(model, unit)
    with torch.no_grad():
        count = extract(images[:1]).shape[1]
    if count != 1:
        raise ValueError(f"unit must be the address of one unit, such as layer4.1:768; {unit!r} has {count} values")
    return extract
