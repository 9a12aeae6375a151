"""Saliency: how much each value of an image matters for a class, by several methods, with two that look at no model.

A method takes a model, images and labels, and gives raw numbers shaped like the images, larger where more evidence for
the class is; nothing is scaled, cut or made absolute. The baselines `random` and `edges` stand beside the methods in
every comparison: a method that does no better says nothing about the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featlab.attacks import Model
from featlab.data import check_labels
from featlab.freezing import frozen
from featlab.models import layer_shapes
from featlab.models.layers import module_at
from featlab.ops.random import normal, uniform
from featlab.types import Images, Labels

Maps = Images
"""Numbers for each value of an image, of any sign."""

Method = Callable[[Model, Images, Labels], Maps]


def slope(model: Model, images: Images, labels: Labels) -> Maps:
    """Return d z_y / d x, the gradient of the class's logit. Source: Simonyan et al. 2014, section 3."""
    _check(images, labels)
    points = images.detach().requires_grad_()
    with frozen(model), torch.enable_grad():
        chosen = model(points).gather(1, labels[:, None]).sum()
        (grad,) = torch.autograd.grad(chosen, points)
    return grad


def smoothgrad(
    model: Model, images: Images, labels: Labels, *, count: int = 25, sigma: float = 0.15, seed: int = 0
) -> Maps:
    """Return the mean gradient over `count` noisy copies, E[d z_y / d x (x + N(0, sigma^2))].

    Source: Smilkov et al. 2017, section 3.
    """
    examples = torch.arange(len(images), device=images.device)
    copies = (
        images + sigma * normal(images, seed=seed, examples=examples, restart=number, purpose=NOISE)
        for number in range(count)
    )
    return sum((slope(model, copy, labels) for copy in copies), torch.zeros_like(images)) / count


def integrated_gradients(
    model: Model, images: Images, labels: Labels, *, baseline: Images | float = 0.0, count: int = 32
) -> Maps:
    """Return (x - b) times the mean gradient on the way from the baseline b to x; the map sums to z_y(x) - z_y(b).

    The integral is taken at the midpoints of `count` equal parts. Source: Sundararajan et al. 2017, section 3.
    """
    base = torch.as_tensor(baseline, dtype=images.dtype, device=images.device).expand_as(images)
    shares = [(number + 0.5) / count for number in range(count)]
    slopes = (slope(model, torch.lerp(base, images, share), labels) for share in shares)
    return (images - base) * sum(slopes, torch.zeros_like(images)) / count


def grad_cam(model: Model, images: Images, labels: Labels, *, layer: str | None = None) -> Maps:
    """Return relu(sum_k a_k A_k) at the size of the image, a_k the mean over positions of d z_y / d A_k.

    A is a layer's map (batch, channels, height, width), by default the last of the net that has several positions; each
    channel of the image gets the same numbers. Source: Selvaraju et al. 2017, section 3.
    """
    _check(images, labels)
    if not isinstance(model, nn.Module):
        raise ValueError(f"Grad-CAM reads a layer, so it needs an nn.Module; got {type(model).__name__}")
    maps, grad = _map_and_slope(model, images, labels, layer or last_map(model, images))
    cam = (grad.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).relu()
    return F.interpolate(cam, images.shape[2:], mode="bilinear", align_corners=False).expand_as(images)


def last_map(model: nn.Module, images: Images) -> str:
    """Return the name of the last layer whose output has channels and several positions."""
    shapes = [row for row in layer_shapes(model, shape=images.shape[1:]) if row.shape is not None and row.runs == 1]
    spatial = [row.name for row in shapes if len(row.shape or ()) == 3 and min((row.shape or (0,))[1:]) > 1]
    if not spatial:
        raise ValueError("the model has no layer of shape (channels, height, width) with several positions; name one")
    return spatial[-1]


def _map_and_slope(model: nn.Module, images: Images, labels: Labels, name: str) -> tuple[Tensor, Tensor]:
    """Return a layer's map and the gradient of the class's logit with respect to it."""
    module = module_at(model, name)
    if module is None:
        raise ValueError(f"the model has no layer {name!r}; `featlab layers MODEL` lists them")
    kept: list[Tensor] = []

    def replace(_: nn.Module, __: object, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # What comes after may write in place.

    handle = module.register_forward_hook(replace)
    try:
        with frozen(model), torch.enable_grad():
            chosen = model(images).gather(1, labels[:, None]).sum()
            if len(kept) != 1 or kept[0].dim() != 4:
                raise ValueError(f"Grad-CAM needs a layer that runs once and gives a map; {name!r} does not")
            (grad,) = torch.autograd.grad(chosen, kept[0])
    finally:
        handle.remove()
    return kept[0].detach(), grad


def random(model: Model, images: Images, labels: Labels, *, seed: int = 0) -> Maps:
    """Return numbers uniform in (0, 1): the baseline that knows neither model nor image."""
    del model
    _check(images, labels)
    return uniform(images, seed=seed, examples=torch.arange(len(images), device=images.device), purpose=RANDOM)


def edges(model: Model, images: Images, labels: Labels) -> Maps:
    """Return the strength of edges, sqrt(g_x^2 + g_y^2) by Sobel's filters: the baseline that knows no model.

    Source: Adebayo et al. 2018, section 5.1 (an edge detector passes for saliency).
    """
    del model
    _check(images, labels)
    if images.dim() != 4:
        raise ValueError(f"edges are of images (batch, channels, height, width), got shape {tuple(images.shape)}")
    kernel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], dtype=images.dtype, device=images.device) / 8
    filters = torch.stack([kernel, kernel.T])[:, None]
    padded = F.pad(images.flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, filters).square().sum(dim=1).sqrt().reshape(images.shape)


def _check(images: Images, labels: Labels) -> None:
    # Noisy copies leave [0, 1], so only the shapes are checked here; what users pass is checked by what calls this.
    check_labels(labels, count=len(images))


NOISE, RANDOM = 40, 41
"""Purposes of random numbers; see `featlab.ops.random`."""

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "gradient": slope,
        "smoothgrad": smoothgrad,
        "integrated gradients": integrated_gradients,
        "grad-cam": grad_cam,
        "random": random,
        "edges": edges,
    }
)
"""Methods by name; the last two are the baselines."""
