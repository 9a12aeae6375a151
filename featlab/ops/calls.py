"""What the public functions share: operators or their definitions, layouts, first derivatives only."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from featlab.ops import layout, native
from featlab.ops.schema import DEFINITIONS


def run(name: str, state: Tensor, *arguments: Any) -> None:
    """Run the operator on its arguments, or its definition where the kernels do not serve the type of `state`."""
    if state.numel() == 0:
        return
    if native.is_native(name, state.device.type, state.dtype):
        getattr(torch.ops.featlab, name)(*arguments)
    else:
        DEFINITIONS[name][1](*arguments)


def written(out: Tensor | None, base: Tensor, run: Callable[[Tensor], None]) -> Tensor:
    """Run into `out` where it lies in memory as `base` does, and by way of a copy elsewhere."""
    direct = out is not None and layout.same_layout(out, base)
    target = out if out is not None and direct else layout.empty_like(base)
    run(target)
    return target if out is None or direct else out.copy_(target)


def planes(images: Tensor) -> Tensor:
    """Return the images, or a contiguous copy where they are neither contiguous nor channels last."""
    last = images.dim() == 4 and images.is_contiguous(memory_format=torch.channels_last)
    return images if last or images.is_contiguous() else images.contiguous()


def only_once(name: str) -> None:
    """Refuse to record a graph of a derivative: that of second order would silently lack this function's part."""
    if torch.is_grad_enabled():
        raise NotImplementedError(
            f"{name} is differentiable once, but a graph of its derivative was asked for; leave out create_graph=True."
        )


def check_pictures(name: str, images: Tensor) -> None:
    """Refuse what is not (batch, channels, height, width) in float32 or float64."""
    if images.dtype not in (torch.float32, torch.float64) or images.dim() != 4:
        raise ValueError(
            f"{name}: pictures must be float32 or float64 of shape (batch, channels, height, width); "
            f"got {images.dtype} of shape {tuple(images.shape)}."
        )
