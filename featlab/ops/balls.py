"""The public functions: step, project and sample in the linf and l2 balls, cut to a box.

Arguments that all of them share: `points` and `center` are float32 or float64 of one shape (batch, ...), `eps` and
`step_size` are numbers or tensors of shape (batch,), `low` and `high` bound every value and may be infinite, `eps` may
be infinite, and then only the box acts. `out` receives the result and may be `points` itself. Where the center lies in
the box, the result does too, and its distance to the center is at most `eps` in exact arithmetic.
"""

import torch
from torch import Tensor

from featlab.ops import layout, random
from featlab.ops.arguments import GRAD_TYPES, Within, check_state, identities, per_example
from featlab.ops.calls import run, written
from featlab.types import Images, PerExample, Points, Seeds


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
    return _step("linf_step", points, grad, center, Within(eps, low, high), step_size, out)


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

    An example whose gradient is zero, or not finite anywhere, does not move. With eps infinite these are the steps
    of ascent along the normalised gradient in the box (`featlab.threat_model("box")`).
    Source: Madry et al. 2018, section 2.1.
    """
    scaled = unit_scale(grad) if grad.dtype == torch.float64 else grad
    return _step("l2_step", points, scaled, center, Within(eps, low, high), step_size, out)


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
    return projected("linf_project", points, center, Within(eps, low, high), out)


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
    return projected("l2_project", points, center, Within(eps, low, high), out)


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
    return sampled("linf_sample", center, Within(eps, low, high), seed, examples, restart)


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
    return sampled("l2_sample", center, Within(eps, low, high), seed, examples, restart)


def _step(
    name: str,
    points: Tensor,
    grad: Tensor,
    center: Tensor,
    within: Within,
    step_size: PerExample,
    out: Tensor | None,
) -> Tensor:
    check_state(name, center, {"points": points, "grad": grad, "out": out})
    if grad.dtype not in GRAD_TYPES:
        raise ValueError(f"{name}: grad must be a floating-point tensor; got {grad.dtype}.")
    eps, low, high = within.arguments(center)
    size = per_example("step_size", step_size, center)
    with torch.no_grad():
        base = layout.blocks(points)
        aligned = (base, layout.like(grad, base), layout.like(center, base))
        return written(out, base, lambda to: run(name, to, *aligned, eps, size, low, high, to))


def projected(name: str, points: Tensor, center: Tensor, within: Within, out: Tensor | None) -> Tensor:
    """Run a projection of any family into `out`, or into a new tensor that lies in memory as the points do."""
    check_state(name, center, {"points": points, "out": out})
    eps, low, high = within.arguments(center)
    with torch.no_grad():
        base = layout.blocks(points)
        aligned = (base, layout.like(center, base))
        return written(out, base, lambda to: run(name, to, *aligned, eps, low, high, to))


def sampled(name: str, center: Tensor, within: Within, seed: int, examples: Tensor, restart: int) -> Tensor:
    """Draw in the logical order of the elements, so that the memory format does not matter."""
    check_state(name, center, {})
    numbers = identities(name, examples, restart, center)
    eps, low, high = within.arguments(center)
    with torch.no_grad():
        base = center.contiguous()
        drawn = torch.empty_like(base)
        run(name, drawn, base, eps, numbers, random.signed(seed), restart, low, high, drawn)
        return layout.like(drawn, layout.blocks(center))


def unit_scale(grad: Tensor) -> Tensor:
    """Return float64 gradients with their largest magnitude per example at one: their squares stay in range."""
    if grad.numel() == 0:
        return grad
    largest = grad.detach().abs().flatten(1).amax(dim=1) if grad.dim() > 1 else grad.detach().abs()
    largest = torch.where(largest > 0, largest, 1.0).reshape(-1, *[1] * (grad.dim() - 1))
    return grad.detach() / largest
