"""The total variation of pictures, and its gradient."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from featlab.ops import layout
from featlab.ops.calls import only_once, planes, run
from featlab.ops.reference import pictures as reference
from featlab.types import Images, PerExample, Scores

Form = Literal["l1", "l2", "huber"]
_FORMS = {"l1": reference.L1, "l2": reference.L2, "huber": reference.HUBER}


def total_variation(images: Images, *, weight: PerExample = 1.0, form: Form = "l1", delta: float = 0.01) -> Scores:
    """Return weight * (sum cost(x[.., i, j + 1] - x[.., i, j]) + sum cost(x[.., i + 1, j] - x[.., i, j])) per example.

    The cost of a difference d is |d| (`l1`, anisotropic), d^2 (`l2`) or, smooth at 0, Huber's d^2 / (2 delta) up to
    delta and |d| - delta / 2 beyond (`huber`). `images` are float32 or float64 of shape (batch, ..., height, width);
    `weight` is one number or one each. Differentiable once with respect to the images. Raises ValueError for other
    shapes and types, an unknown form and a delta that is not positive.
    Source: Mahendran and Vedaldi 2015, section 3.2 (beta = 2: `l2`; beta = 1, each direction by itself: `l1`);
    Huber 1964.
    """
    weights = _weights(images, weight)
    value: Scores = _TotalVariation.apply(images, weights, *_cost(form, delta))
    return value


def total_variation_slope(
    images: Images, *, weight: PerExample = 1.0, form: Form = "l1", delta: float = 0.01
) -> tuple[Scores, Images]:
    """Return `total_variation` and its gradient, from one pass over the images; no graph is recorded."""
    with torch.no_grad():
        return _variation(images, _weights(images, weight), *_cost(form, delta), gradient=True)


class _TotalVariation(torch.autograd.Function):
    """The value forward; the gradient, with the upstream factor in its weight, backward. Only the images are kept."""

    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, weight: Tensor, form: int, delta: float) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.cost = (form, delta)  # type: ignore[attr-defined]
        return _variation(images, weight, form, delta, gradient=False)[0]

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        only_once("total_variation")
        images, weight = ctx.saved_tensors
        return _variation(images, (upstream * weight).contiguous(), *ctx.cost, gradient=True)[1], None, None, None


def _variation(images: Tensor, weight: Tensor, form: int, delta: float, *, gradient: bool) -> tuple[Tensor, Tensor]:
    base = planes(images)
    value = torch.zeros(len(images), dtype=images.dtype, device=images.device)
    slope = layout.empty_like(base) if gradient else base.new_empty(0)
    run("total_variation", base, base, weight, form, delta, value, slope)
    return value, slope


def _cost(form: str, delta: float) -> tuple[int, float]:
    if form not in _FORMS:
        raise ValueError(f"form must be one of {', '.join(_FORMS)}; got {form!r}.")
    if not 0 < delta < float("inf"):
        raise ValueError(f"delta must be positive and finite; got {delta}.")
    return _FORMS[form], float(delta)


def _weights(images: Tensor, weight: PerExample) -> Tensor:
    """Return one weight, or one per example, in the type of the images."""
    if images.dtype not in (torch.float32, torch.float64) or images.dim() < 3:
        got = f"{images.dtype} of shape {tuple(images.shape)}"
        raise ValueError(
            f"total_variation: images must be float32 or float64 of shape (batch, ..., height, width); got {got}."
        )
    if not isinstance(weight, Tensor):
        return torch.full((1,), float(weight), dtype=images.dtype, device=images.device)
    if weight.numel() != 1 and weight.shape != images.shape[:1]:
        got = f"shape {tuple(weight.shape)}"
        raise ValueError(f"weight must be one number or one for each of {len(images)} examples; got {got}.")
    return weight.detach().reshape(-1).to(images).contiguous()
