"""Painting with what a classifier knows: a unit, a class or a reference patch, inside a mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

import featlab as fl
from featlab_plugins.tasks.visualize import one_unit


def paint(
    model: nn.Module,
    images: torch.Tensor,
    mask: torch.Tensor,
    *,
    unit: str | None = None,
    labels: torch.Tensor | None = None,
    reference: torch.Tensor | None = None,
    layer: str = "penultimate",
    keep: float = 90.0,
    within: fl.ThreatModel | None = None,
    noise: float = 0.0,
    steps: int = 60,
    step_size: float = 0.2,
    seed: int = 0,
    examples: torch.Tensor | None = None,
) -> fl.Problem:
    """Paint one thing into `images` where `mask` says so: a unit, the classes `labels`, or a `reference`.

    argmax_x' s(x') - keep * mean(((1 - mask) (x' - x))^2) over x' = x + mask * (p - x), p in `within` (any image by
    default), with s one of: 0.1 a(x') for the activation a of a `unit` such as `layer4.1:768`, reached through a ReLU
    that is off; log p_y(x') for `labels`; and for a `reference`, -|g(x') - g(c)| / |g(c)| with g the features at
    a layer and c the image with the reference laid into the mask. A reference of another size than the images is a
    patch, which is stretched over the box around the mask; one reference serves all images.
    Where the mask is 0 an image stays the same to the bit. Between 0 and 1 lie soft edges: `keep` says how much they
    are held back. A reference is like the image in what `layer` sees.
    The images are (batch, channels, height, width) in [0, 1], the mask (batch or 1, 1, height, width) in [0, 1].
    `noise` adds uniform noise of that size under the mask first, for plain canvases on which no unit has an uphill.
    Published for 224 pixels: l2:eps=70, step_size=1, steps=140; the defaults are for 28 to 32 pixels.
    Raises ValueError unless exactly one of unit, labels and reference is given.
    Source: Santurkar et al. 2019, section 3 and its code (there the mask is the penalty alone).
    """
    given = [name for name, what in (("unit", unit), ("labels", labels), ("reference", reference)) if what is not None]
    if len(given) != 1:
        raise ValueError(
            f"painting needs exactly one of unit, labels and reference; got {' and '.join(given) or 'none'}"
        )
    cover = cover_of(mask, images)
    who = torch.arange(len(images), device=images.device) if examples is None else examples
    rough = fl.ops.linf_sample(images, eps=noise, seed=seed, examples=who) if noise else images
    start = images.lerp(rough, cover)
    if unit is not None:
        score: fl.Objective = 0.1 * fl.activation(one_unit(model, unit, start, pass_through=True))
    elif labels is not None:
        score = -fl.cross_entropy(model, labels)
    else:
        score = like_collage(model, start, cover, reference, layer)
    inside = fl.threat_model("feathered", inside=within or fl.threat_model("box"), mask=cover)
    held = score + keep * fl.stay_near(start, mask=cover)
    return fl.Problem(held, start, inside, steps, step_size, seed=seed, examples=examples)


def cover_of(mask: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Return a mask as one of the images' shape for each of them, (batch, channels, height, width)."""
    if images.dim() != 4:
        raise ValueError(f"images must be (batch, channels, height, width), got shape {tuple(images.shape)}")
    try:
        return torch.broadcast_to(mask.to(images), images.shape)
    except RuntimeError as error:
        shapes = f"got {tuple(mask.shape)} for images of shape {tuple(images.shape)}"
        raise ValueError(f"a mask must be (batch or 1, 1, height, width) for its images; {shapes}") from error


def like_collage(
    model: nn.Module, images: torch.Tensor, cover: torch.Tensor, reference: torch.Tensor | None, layer: str
) -> fl.Objective:
    """Return how near the features come to those of the images with the reference laid into their masks."""
    assert reference is not None
    patches = reference.to(images).expand(len(images), -1, -1, -1)
    if patches.shape[2:] != images.shape[2:]:
        laid = [fitted(patch, under, like) for patch, under, like in zip(patches, cover, images, strict=True)]
        patches = torch.stack(laid)
    extract = fl.extractor(model, layer)
    with torch.no_grad():
        wanted = extract(images.lerp(patches, cover))
    return fl.match(extract, wanted, relative=True)


def fitted(patch: torch.Tensor, cover: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Return an image with a patch stretched over the box around what a mask covers; the image itself for no cover."""
    rows, columns = ((cover.amax(dim=0) > 0).any(dim=other).nonzero()[:, 0] for other in (1, 0))
    if len(rows) == 0:
        return image
    top, left = int(rows[0]), int(columns[0])
    size = int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
    whole = image.clone()
    stretched = F.interpolate(patch[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0]
    whole[:, top : top + size[0], left : left + size[1]] = stretched.clamp(0, 1)
    return whole
