"""What the differentiable functions share: operators or their definitions, layouts, first derivatives only."""

from typing import Any

import torch
from torch import Tensor

from featlab.ops import native
from featlab.ops.schema import DEFINITIONS


def run(name: str, state: Tensor, *arguments: Any) -> None:
    """Run the operator on its arguments, or its definition where the kernels do not serve the type of `state`."""
    if state.numel() == 0:
        return
    if native.is_native(name, state.device.type, state.dtype):
        getattr(torch.ops.featlab, name)(*arguments)
    else:
        DEFINITIONS[name][1](*arguments)


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
