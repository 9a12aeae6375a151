"""Cases of what pictures are made with."""

from __future__ import annotations

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.ops.cases import Case, Sizes, register
from featlab import ops

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SIZES = (0.05, 0.05, 3.0, 0.05, 0.05, 3.0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def variation_arguments(sizes: Sizes) -> dict[str, object]:
    """Return images, and where their total variation (|d|) and its gradient go."""
    images = sizes.uniform()
    value = torch.empty(len(images), device=sizes.device)
    written = {"value": value, "slope": torch.empty_like(images)}
    return {"images": images, "weight": sizes.each(1.0), "kind": 0, "delta": 0.01, **written}


def variation(a: SimpleNamespace) -> Tensor:
    """Return the gradient by its formula, differences and their signs, one operation each; write the value."""
    across, down = a.images.diff(dim=-1), a.images.diff(dim=-2)
    a.value.copy_(across.abs().flatten(1).sum(dim=1) + down.abs().flatten(1).sum(dim=1))
    along, below = across.sign(), down.sign()
    horizontal = F.pad(along, (1, 0)) - F.pad(along, (0, 1))
    return horizontal + F.pad(below, (0, 0, 1, 0)) - F.pad(below, (0, 0, 0, 1))


def colour_arguments(sizes: Sizes) -> dict[str, object]:
    """Return decorrelated colours, and where those for a model go."""
    mean, std = (torch.tensor(values, device=sizes.device) for values in (MEAN, STD))
    points, matrix = 2 * sizes.normal(), ops.imagenet_colours().float().to(sizes.device)
    return {"points": points, "matrix": matrix, "mean": mean, "std": std, "out": torch.empty_like(points)}


def colour(a: SimpleNamespace) -> Tensor:
    """Return the same by a product of matrices and three operations."""
    mixed = torch.einsum("cd,bdhw->bchw", a.matrix, a.points)
    return (torch.sigmoid(mixed) - a.mean.reshape(3, 1, 1)) / a.std.reshape(3, 1, 1)


def colour_backward_arguments(sizes: Sizes) -> dict[str, object]:
    """Return the gradient with respect to what a model reads, and where that of the colours goes."""
    drawn = colour_arguments(sizes)
    del drawn["mean"]
    return {"grad": sizes.normal(), **drawn}


def colour_backward(a: SimpleNamespace) -> Tensor:
    """Return the same as autograd would, from the points."""
    shown = torch.sigmoid(torch.einsum("cd,bdhw->bchw", a.matrix, a.points))
    inner = a.grad / a.std.reshape(3, 1, 1) * shown * (1 - shown)
    return torch.einsum("cd,bchw->bdhw", a.matrix, inner)


def affine_arguments(sizes: Sizes) -> dict[str, object]:
    """Return images, and maps that shift by pixels, turn and scale by a little; what lies outside is the edge."""
    identity, scale = (torch.tensor(values, device=sizes.device) for values in (IDENTITY, SIZES))
    theta = identity + scale * sizes.normal(shape=(sizes.shape[0], 6))
    images = sizes.uniform()
    return {"images": images, "theta": theta, "edge": True, "out": torch.empty_like(images)}


def affine_backward_arguments(sizes: Sizes) -> dict[str, object]:
    """Return a gradient in the place of the images."""
    drawn = affine_arguments(sizes)
    return {"grad": drawn.pop("images"), **drawn}


def grid(theta: Tensor, height: int, width: int) -> Tensor:
    """Return the places that are read in PyTorch's coordinates, from -1 to 1."""
    t = theta.reshape(-1, 6, 1, 1)
    i = torch.arange(height, device=theta.device).reshape(-1, 1)
    j = torch.arange(width, device=theta.device)
    x, y = t[:, 0] * j + t[:, 1] * i + t[:, 2], t[:, 3] * j + t[:, 4] * i + t[:, 5]
    return torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)


def affine(a: SimpleNamespace) -> Tensor:
    """Return the same by a grid and PyTorch's sampler."""
    places = grid(a.theta, *a.images.shape[2:])
    return F.grid_sample(a.images, places, mode="bilinear", padding_mode="border", align_corners=True)


def affine_backward(a: SimpleNamespace) -> Tensor:
    """Return what autograd calls for the sampler: bilinear, to the border, the images' gradient alone."""
    places, mask = grid(a.theta, *a.grad.shape[2:]), [True, False]
    return torch.ops.aten.grid_sampler_2d_backward(a.grad, a.grad, places, 0, 1, True, mask)[0]


register(Case(op="total_variation", arguments=variation_arguments, eager=variation, result="slope"))
register(Case(op="colour", arguments=colour_arguments, eager=colour))
register(Case(op="colour_backward", arguments=colour_backward_arguments, eager=colour_backward))
register(Case(op="affine", arguments=affine_arguments, eager=affine))
register(Case(op="affine_backward", arguments=affine_backward_arguments, eager=affine_backward))
