"""The public functions: step, project and sample in the linf and l2 balls, cut to a box.

Arguments that all of them share: `points` and `center` are float32 or float64 of one shape (batch, ...), `eps` and
`step_size` are numbers or tensors of shape (batch,), `low` and `high` bound every value and may be infinite, `eps` may
be infinite, and then only the box acts. `out` receives the result and may be `points` itself. Where the center lies in
the box, the result does too, and its distance to the center is at most `eps` in exact arithmetic.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from featlab.ops import layout, native, random
from featlab.ops.rounding import rounded_below, single_above, single_below
from featlab.ops.schema import DEFINITIONS
from featlab.types import Images, PerExample, Points, Seeds

_GRAD_TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def linf_step(
    points: Points,
    grad: Points,
    center: Images,
    *,
    eps: PerExample,
    step_size: PerExample,
    low: float = 0.0,
    high: float = 1.0,
    out: Points | None = None,
) -> Points:
    """Return the sign step clip(points + step_size * sign(grad), center - eps, center + eps), cut to [low, high].

    A gradient that is zero or NaN moves nothing.
    Source: Madry et al. 2018, section 2.1 (sign step: Goodfellow et al. 2015).
    """
    return _step("linf_step", points, grad, center, _Set(eps, low, high), step_size, out)


def l2_step(
    points: Points,
    grad: Points,
    center: Images,
    *,
    eps: PerExample,
    step_size: PerExample,
    low: float = 0.0,
    high: float = 1.0,
    out: Points | None = None,
) -> Points:
    """Return P(points + step_size * grad / |grad|): scaled into the ball about `center`, then cut to [low, high].

    An example whose gradient is zero, or not finite anywhere, does not move.
    Source: Madry et al. 2018, section 2.1.
    """
    scaled = _unit_scale(grad) if grad.dtype == torch.float64 else grad
    return _step("l2_step", points, scaled, center, _Set(eps, low, high), step_size, out)


def linf_project(
    points: Points,
    center: Images,
    *,
    eps: PerExample,
    low: float = 0.0,
    high: float = 1.0,
    out: Points | None = None,
) -> Points:
    """Return the nearest points with |p - center| <= eps everywhere and values in [low, high]."""
    return _project("linf_project", points, center, _Set(eps, low, high), out)


def l2_project(
    points: Points,
    center: Images,
    *,
    eps: PerExample,
    low: float = 0.0,
    high: float = 1.0,
    out: Points | None = None,
) -> Points:
    """Return the nearest points of the ball of radius eps, cut to [low, high]; a feasible example stays bit for bit."""
    return _project("l2_project", points, center, _Set(eps, low, high), out)


def linf_sample(
    center: Images,
    *,
    eps: PerExample,
    seed: int,
    examples: Seeds,
    restart: int = 0,
    low: float = 0.0,
    high: float = 1.0,
) -> Points:
    """Return center + eps * u with u uniform in (-1, 1), cut to [low, high]; uniform in the box where eps is infinite.

    The draw depends on (seed, example, restart, element) alone. `restart` lies in [0, 2^24).
    """
    return _sample("linf_sample", center, _Set(eps, low, high), seed, examples, restart)


def l2_sample(
    center: Images,
    *,
    eps: PerExample,
    seed: int,
    examples: Seeds,
    restart: int = 0,
    low: float = 0.0,
    high: float = 1.0,
) -> Points:
    """Return points uniform in the ball of radius eps, cut to [low, high]; uniform in the box where eps is infinite.

    A normal direction of length eps * U^(1 / size). The draw depends on (seed, example, restart, element) alone.
    """
    return _sample("l2_sample", center, _Set(eps, low, high), seed, examples, restart)


@dataclass(frozen=True)
class _Set:
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
        return _radius(self.eps, center), low, high


def _step(
    name: str,
    points: Tensor,
    grad: Tensor,
    center: Tensor,
    within: _Set,
    step_size: PerExample,
    out: Tensor | None,
) -> Tensor:
    _check_state(name, center, points=points, grad=grad, out=out)
    if grad.dtype not in _GRAD_TYPES:
        raise ValueError(f"{name}: grad must be a floating-point tensor; got {grad.dtype}.")
    eps, low, high = within.arguments(center)
    size = _per_example("step_size", step_size, center)
    with torch.no_grad():
        base = layout.blocks(points)
        aligned = (base, layout.like(grad, base), layout.like(center, base))
        return _written(out, base, lambda to: _call(name, to, *aligned, eps, size, low, high))


def _project(name: str, points: Tensor, center: Tensor, within: _Set, out: Tensor | None) -> Tensor:
    _check_state(name, center, points=points, out=out)
    eps, low, high = within.arguments(center)
    with torch.no_grad():
        base = layout.blocks(points)
        aligned = (base, layout.like(center, base))
        return _written(out, base, lambda to: _call(name, to, *aligned, eps, low, high))


def _sample(name: str, center: Tensor, within: _Set, seed: int, examples: Tensor, restart: int) -> Tensor:
    """Draw in the logical order of the elements, so that the memory format does not matter."""
    _check_state(name, center)
    identities = _identities(name, examples, restart, center)
    eps, low, high = within.arguments(center)
    with torch.no_grad():
        base = center.contiguous()
        drawn = torch.empty_like(base)
        _call(name, drawn, base, eps, identities, random.signed(seed), restart, low, high)
        return layout.like(drawn, layout.blocks(center))


def _identities(name: str, examples: Tensor, restart: int, center: Tensor) -> Tensor:
    if not 0 <= restart < 1 << 24:
        raise ValueError(f"{name}: restart must lie in [0, 2^24); got {restart}.")
    if examples.shape != center.shape[:1] or examples.dtype.is_floating_point:
        got = f"{tuple(examples.shape)} of {examples.dtype}"
        raise ValueError(f"{name}: examples must hold one integer for each of {len(center)} images; got {got}.")
    return examples.to(device=center.device, dtype=torch.int64).contiguous()


def _call(name: str, out: Tensor, *arguments: Any) -> None:
    """Run the operator, or its definition where the kernels do not serve this type."""
    if out.numel() == 0:
        return
    if native.is_native(name, out.device.type, out.dtype):
        getattr(torch.ops.featlab, name)(*arguments, out)
    else:
        DEFINITIONS[name][1](*arguments, out)


def _written(out: Tensor | None, base: Tensor, run: Callable[[Tensor], None]) -> Tensor:
    """Run into `out` where it lies in memory as `base` does, and by way of a copy elsewhere."""
    direct = out is not None and layout.same_layout(out, base)
    target = out if out is not None and direct else layout.empty_like(base)
    run(target)
    return target if out is None or direct else out.copy_(target)


def _check_state(name: str, center: Tensor, **others: Tensor | None) -> None:
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


def _radius(eps: PerExample, center: Tensor) -> Tensor:
    """Return eps in the type of `center`, rounded down so that the ball does not grow."""
    if isinstance(eps, Tensor):
        return rounded_below(_checked("eps", eps, center), center.dtype)
    if math.isnan(eps) or eps < 0:
        raise ValueError(f"eps must be zero or positive; got {eps}.")
    value = single_below(float(eps)) if center.dtype == torch.float32 else float(eps)
    return torch.full((1,), value, dtype=center.dtype, device=center.device)


def _per_example(label: str, value: PerExample, center: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return _checked(label, value, center).to(center.dtype)
    return torch.full((1,), float(value), dtype=center.dtype, device=center.device)


def _checked(label: str, value: Tensor, center: Tensor) -> Tensor:
    if value.numel() != 1 and value.shape != center.shape[:1]:
        got = tuple(value.shape)
        raise ValueError(f"{label} must be one number or one for each of {len(center)} examples; got shape {got}.")
    return value.detach().reshape(-1).to(center.device).contiguous()


def _unit_scale(grad: Tensor) -> Tensor:
    """Return float64 gradients with their largest magnitude per example at one: their squares stay in range."""
    if grad.numel() == 0:
        return grad
    largest = grad.detach().abs().flatten(1).amax(dim=1) if grad.dim() > 1 else grad.detach().abs()
    largest = torch.where(largest > 0, largest, 1.0).reshape(-1, *[1] * (grad.dim() - 1))
    return grad.detach() / largest
