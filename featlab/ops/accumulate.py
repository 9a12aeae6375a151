"""The public functions of MI-FGSM: a step along accumulated, normalised gradients, in one call.

The arguments are those of the plain steps (`featlab.ops.balls`), and `momentum`, of the shape and type of `points`,
which is written over with m' = decay * momentum + grad / |grad|_1; `decay` is a number or (batch,). A gradient that is
zero, or not finite anywhere, adds nothing. `momentum` overlaps none of the other tensors.
Source: Dong et al. 2018, "Boosting adversarial attacks with momentum", section 3.1.
"""

import torch
from torch import Tensor

from featlab.ops import layout
from featlab.ops.arguments import GRAD_TYPES, Within, check_state, per_example
from featlab.ops.balls import unit_scale
from featlab.ops.calls import run, written
from featlab.types import Images, PerExample, Points


def linf_accumulated_step(
    points: Points,
    grad: Points,
    center: Images,
    *,
    momentum: Points,
    eps: PerExample,
    step_size: PerExample,
    decay: PerExample = 1.0,
    low: float = 0.0,
    high: float = 1.0,
    out: Points | None = None,
) -> Points:
    """Return the step of `linf_step` along m' = decay * momentum + grad / |grad|_1, which `momentum` becomes."""
    sizes = (step_size, decay)
    return _step("linf_accumulated_step", points, grad, center, momentum, Within(eps, low, high), sizes, out)


def l2_accumulated_step(
    points: Points,
    grad: Points,
    center: Images,
    *,
    momentum: Points,
    eps: PerExample,
    step_size: PerExample,
    decay: PerExample = 1.0,
    low: float = 0.0,
    high: float = 1.0,
    out: Points | None = None,
) -> Points:
    """Return the step of `l2_step` along m' = decay * momentum + grad / |grad|_1, which `momentum` becomes."""
    sizes = (step_size, decay)
    return _step("l2_accumulated_step", points, grad, center, momentum, Within(eps, low, high), sizes, out)


def _step(
    name: str,
    points: Tensor,
    grad: Tensor,
    center: Tensor,
    momentum: Tensor,
    within: Within,
    sizes: tuple[PerExample, PerExample],
    out: Tensor | None,
) -> Tensor:
    check_state(name, center, {"points": points, "grad": grad, "momentum": momentum, "out": out})
    if grad.dtype not in GRAD_TYPES:
        raise ValueError(f"{name}: grad must be a floating-point tensor; got {grad.dtype}.")
    eps, low, high = within.arguments(center)
    size, decay = (per_example(label, value, center) for label, value in zip(("step_size", "decay"), sizes))
    scaled = unit_scale(grad) if grad.dtype == torch.float64 else grad
    with torch.no_grad():
        base = layout.blocks(points)
        moved = layout.like(momentum, base)
        given = (base, layout.like(scaled, base), layout.like(center, base), moved, eps, size, decay, low, high)
        result = written(out, base, lambda to: run(name, to, *given, to))
        if moved is not momentum:
            momentum.copy_(moved)
    return result
