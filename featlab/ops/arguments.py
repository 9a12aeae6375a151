"""What the public functions make of their arguments: checked once, and as the operators want them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from featlab.ops.rounding import rounded_below, single_above, single_below
from featlab.types import PerExample

GRAD_TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Within:
    """Radius and box as the caller gave them."""

    eps: PerExample
    low: float
    high: float

    def arguments(self, center: Tensor) -> tuple[Tensor, float, float]:
        """Return them as the operators want them: rounded so that the set can only shrink."""
        if not self.low <= self.high:
            raise ValueError(f"low must not exceed high; got low={self.low} and high={self.high}.")
        single = center.dtype == torch.float32
        low, high = (single_above(self.low), single_below(self.high)) if single else (self.low, self.high)
        return radius(self.eps, center), low, high


def identities(name: str, examples: Tensor, restart: int, center: Tensor) -> Tensor:
    """Return the identity of each example as int64; refuse what is no whole number each, and restarts too large."""
    if not 0 <= restart < 1 << 24:
        raise ValueError(f"{name}: restart must lie in [0, 2^24); got {restart}.")
    if examples.shape != center.shape[:1] or examples.dtype.is_floating_point:
        got = f"{tuple(examples.shape)} of {examples.dtype}"
        raise ValueError(f"{name}: examples must hold one integer for each of {len(center)} images; got {got}.")
    return examples.to(device=center.device, dtype=torch.int64).contiguous()


def check_state(name: str, center: Tensor, others: Mapping[str, Tensor | None]) -> None:
    """Refuse a center that is no batch of floats, and others that differ from it in shape, device or type."""
    if center.dtype not in (torch.float32, torch.float64) or center.dim() == 0:
        got = f"{center.dtype} of shape {tuple(center.shape)}"
        raise ValueError(f"{name}: center must be float32 or float64 with a batch dimension; got {got}.")
    for label, tensor in others.items():
        if tensor is None:
            continue
        if tensor.shape != center.shape or tensor.device != center.device:
            got = f"{tuple(tensor.shape)} on {tensor.device}"
            wanted = f"{tuple(center.shape)} on {center.device}"
            raise ValueError(f"{name}: {label} must have the shape and device of center, {wanted}; got {got}.")
        if label != "grad" and tensor.dtype != center.dtype:
            raise ValueError(f"{name}: {label} must have the type of center, {center.dtype}; got {tensor.dtype}.")


def radius(eps: PerExample, center: Tensor) -> Tensor:
    """Return eps in the type of `center`, rounded down so that the ball does not grow."""
    if isinstance(eps, Tensor):
        return rounded_below(checked("eps", eps, center), center.dtype)
    if math.isnan(eps) or eps < 0:
        raise ValueError(f"eps must be zero or positive; got {eps}.")
    value = single_below(float(eps)) if center.dtype == torch.float32 else float(eps)
    return torch.full((1,), value, dtype=center.dtype, device=center.device)


def per_example(label: str, value: PerExample, center: Tensor) -> Tensor:
    """Return one value for all examples, or one each, in the type of `center`."""
    if isinstance(value, Tensor):
        return checked(label, value, center).to(center.dtype)
    return torch.full((1,), float(value), dtype=center.dtype, device=center.device)


def checked(label: str, value: Tensor, center: Tensor) -> Tensor:
    """Return a per-example tensor where `center` is, after seeing that it has one entry, or one per example."""
    if value.numel() != 1 and value.shape != center.shape[:1]:
        got = tuple(value.shape)
        raise ValueError(f"{label} must be one number or one for each of {len(center)} examples; got shape {got}.")
    return value.detach().reshape(-1).to(center.device).contiguous()
