"""From decorrelated colours to what a model reads, in one pass over memory."""

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from featlab.ops import layout
from featlab.ops.calls import check_pictures, only_once, planes, run
from featlab.types import Images, Points

_IMAGENET: Final = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


def imagenet_colours() -> Tensor:
    """Return the matrix (3, 3) from decorrelated to RGB colours of natural images, its longest column at length one.

    A root of the covariance of ImageNet's colours. Source: Olah et al. 2017, "Feature Visualization" (the section on
    preconditioning), whose published code, lucid, gives the numbers.
    """
    root = torch.tensor(_IMAGENET, dtype=torch.float64)
    decorrelated: Tensor = root / root.norm(dim=0).max()
    return decorrelated


def colour(
    points: Points,
    *,
    matrix: Tensor | None = None,
    mean: Sequence[float] | Tensor = (0.0, 0.0, 0.0),
    std: Sequence[float] | Tensor = (1.0, 1.0, 1.0),
    dtype: torch.dtype | None = None,
    memory_format: torch.memory_format = torch.preserve_format,
) -> Images:
    """Return (sigmoid(matrix @ points) - mean) / std: the colours that the points stand for, as a model wants them.

    `points` are float32 or float64 of shape (batch, 3, height, width), any real numbers; the matrix (3, 3) mixes their
    channels, `imagenet_colours()` by default. The result has the type `dtype` (that of the points by default, float32,
    bfloat16) and the memory format asked for. On a CUDA device, matrix, mean and std that lie there need no copy.
    Differentiable once with respect to the points. Raises ValueError for other shapes and types.
    Source: Olah et al. 2017, as for `imagenet_colours`.
    """
    check_pictures("colour", points)
    if points.shape[1] != 3:
        raise ValueError(f"colour: points must have 3 channels; got {points.shape[1]}.")
    wanted = dtype or points.dtype
    if wanted not in (points.dtype, torch.float32, torch.bfloat16):
        raise ValueError(f"colour: dtype must be {points.dtype}, float32 or bfloat16; got {wanted}.")
    mixing = _constant("matrix", imagenet_colours() if matrix is None else matrix, (3, 3), points)
    shift, scale = _constant("mean", mean, (3,), points), _constant("std", std, (3,), points)
    shown: Images = _Colour.apply(points, mixing, shift, scale, wanted, memory_format)
    return shown


class _Colour(torch.autograd.Function):
    """One pass each way; the points are kept, the colours are computed again."""

    @staticmethod
    def forward(
        ctx: Any,
        points: Tensor,
        matrix: Tensor,
        mean: Tensor,
        std: Tensor,
        dtype: torch.dtype,
        form: torch.memory_format,
    ) -> Tensor:
        ctx.save_for_backward(points, matrix, std)
        base = planes(points)
        out = torch.empty_like(base, dtype=dtype, memory_format=form)
        run("colour", base, base, matrix, mean, std, out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        only_once("colour")
        points, matrix, std = ctx.saved_tensors
        base = planes(points)
        out = layout.empty_like(base)
        run("colour_backward", base, planes(grad), base, matrix, std, out)
        return out, None, None, None, None, None


def _constant(label: str, value: Sequence[float] | Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
    constant = torch.as_tensor(value).detach().to(like).contiguous()
    if constant.shape != shape:
        raise ValueError(f"colour: {label} must have shape {shape}; got {tuple(constant.shape)}.")
    return constant
