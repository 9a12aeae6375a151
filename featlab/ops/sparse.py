"""The public functions in the l1 and l0 balls, and the exact projection on the l2 ball and the box.

Arguments are those of `balls`. `count` is a whole number, or an integer tensor of shape (batch,). Where values are
chosen by their size, equals are chosen in the logical order of the elements, so that the memory format does not matter.
"""

import torch
from torch import Tensor

from featlab.ops import layout, random
from featlab.ops.arguments import GRAD_TYPES, Within, check_state, checked, identities, per_example
from featlab.ops.balls import projected, sampled, unit_scale
from featlab.ops.calls import run, written
from featlab.types import Counts, Images, PerExample, Points, Seeds


def l1_step(
    points: Points,
    grad: Points,
    center: Images,
    *,
    eps: PerExample,
    step_size: PerExample,
    count: Counts,
    low: float = 0.0,
    high: float = 1.0,
    out: Points | None = None,
) -> Points:
    """Return P(points + step_size * sign(grad) / n): the n <= count entries of largest |grad| move, then `l1_project`.

    An entry that is zero or NaN, or that points out of the box where the point is at its bound, is none of them; of
    equals, those of the lowest index come first.
    Source: Tramer and Boneh 2019, section 4.1 (sparse l1 descent); Croce and Hein 2021, section 4 (l1-APGD).
    """
    _check_step("l1_step", points, grad, center, out)
    eps, low, high = Within(eps, low, high).arguments(center)
    size, number = per_example("step_size", step_size, center), _counts(count, center)
    with torch.no_grad():
        base = points.contiguous()
        given = (base, grad.contiguous(), center.contiguous(), eps, size, number, low, high)
        return _in_format("l1_step", points, out, base, given)


def l1_project(
    points: Points,
    center: Images,
    *,
    eps: PerExample,
    low: float = 0.0,
    high: float = 1.0,
    out: Points | None = None,
) -> Points:
    """Return the nearest points, argmin |p - points|_2, with |p - center|_1 <= eps and values in [low, high].

    p = center + sign(d) min(max(|d| - lam, 0), room), d = points - center, where `room` is what the box leaves in the
    direction of d. A feasible example stays bit for bit, and the l1 norm of the result, in float64, is at most eps.
    Source: Croce and Hein 2021, "Mind the box", proposition 3.1; lam by Newton's method and not by sorting.
    """
    return projected("l1_project", points, center, Within(eps, low, high), out)


def l1_sample(
    center: Images,
    *,
    eps: PerExample,
    seed: int,
    examples: Seeds,
    restart: int = 0,
    low: float = 0.0,
    high: float = 1.0,
) -> Points:
    """Return points uniform in the l1 ball, cut to [low, high]; uniform in the box where eps is infinite.

    The draw depends on (seed, example, restart, element) alone. Source: Devroye 1986, section V.2.
    """
    return sampled("l1_sample", center, Within(eps, low, high), seed, examples, restart)


def l0_step(
    points: Points,
    grad: Points,
    center: Images,
    *,
    count: Counts,
    step_size: PerExample,
    channels: int = 1,
    low: float = 0.0,
    high: float = 1.0,
    out: Points | None = None,
) -> Points:
    """Return P(points + step_size * grad / |grad|_2) with P that of `l0_project`.

    An example whose gradient is zero, or not finite anywhere, does not move.
    Source: Croce and Hein 2019, section 4 (PGD_0, which normalises in l1).
    """
    _check_step("l0_step", points, grad, center, out)
    _check_channels("l0_step", channels, center)
    low, high = _bounds(low, high, center)
    scaled = unit_scale(grad) if grad.dtype == torch.float64 else grad
    size, number = per_example("step_size", step_size, center), _counts(count, center)
    with torch.no_grad():
        base = points.contiguous()
        given = (base, scaled.contiguous(), center.contiguous(), number, size, channels, low, high)
        return _in_format("l0_step", points, out, base, given)


def l0_project(
    points: Points,
    center: Images,
    *,
    count: Counts,
    channels: int = 1,
    low: float = 0.0,
    high: float = 1.0,
    out: Points | None = None,
) -> Points:
    """Return the nearest points of the box that differ from `center` in at most `count` values or pixels.

    With `channels` > 1 the values i, i + size / channels, ... of an example are one pixel, as those of pictures of
    shape (channels, height, width) are. A feasible example stays bit for bit.
    Source: Croce and Hein 2019, "Sparse and imperceivable adversarial attacks", section 4.1.
    """
    check_state("l0_project", center, {"points": points, "out": out})
    _check_channels("l0_project", channels, center)
    low, high = _bounds(low, high, center)
    number = _counts(count, center)
    with torch.no_grad():
        base = points.contiguous()
        return _in_format("l0_project", points, out, base, (base, center.contiguous(), number, channels, low, high))


def l0_sample(
    center: Images,
    *,
    count: Counts,
    seed: int,
    examples: Seeds,
    restart: int = 0,
    channels: int = 1,
    low: float = 0.0,
    high: float = 1.0,
) -> Points:
    """Return `center` with `count` random values or pixels replaced by others, uniform in [low, high].

    The draw depends on (seed, example, restart, element) alone.
    """
    check_state("l0_sample", center, {})
    _check_channels("l0_sample", channels, center)
    low, high = _bounds(low, high, center)
    whose = identities("l0_sample", examples, restart, center)
    number = _counts(count, center)
    with torch.no_grad():
        base = center.contiguous()
        given = (base, number, whose, random.signed(seed), restart, channels, low, high)
        return _in_format("l0_sample", center, None, base, given)


def l2_box_project(
    points: Points,
    center: Images,
    *,
    eps: PerExample,
    low: float = 0.0,
    high: float = 1.0,
    out: Points | None = None,
) -> Points:
    """Return the nearest points, argmin |p - points|_2, with |p - center|_2 <= eps and values in [low, high].

    p = center + sign(d) min(s |d|, room), d = points - center, with the largest s <= 1 that makes the length at most
    eps (the conditions of Karush, Kuhn and Tucker). `l2_project` scales and then cuts, which is not the nearest point
    where the box cuts. A feasible example stays bit for bit.
    """
    return projected("l2_box_project", points, center, Within(eps, low, high), out)


def _check_step(name: str, points: Tensor, grad: Tensor, center: Tensor, out: Tensor | None) -> None:
    check_state(name, center, {"points": points, "grad": grad, "out": out})
    if grad.dtype not in GRAD_TYPES:
        raise ValueError(f"{name}: grad must be a floating-point tensor; got {grad.dtype}.")


def _check_channels(name: str, channels: int, center: Tensor) -> None:
    size = center[:1].numel()
    if channels < 1 or size % channels:
        raise ValueError(f"{name}: channels must divide the {size} values of an example; got {channels}.")


def _bounds(low: float, high: float, center: Tensor) -> tuple[float, float]:
    return Within(0.0, low, high).arguments(center)[1:]


def _counts(count: Counts, center: Tensor) -> Tensor:
    if not isinstance(count, Tensor):
        if count < 0 or count != int(count):
            raise ValueError(f"count must be a whole number >= 0; got {count}.")
        return torch.full((1,), int(count), dtype=torch.int64, device=center.device)
    if count.dtype.is_floating_point:
        raise ValueError(f"count must be a tensor of integers; got {count.dtype}.")
    return checked("count", count, center).to(torch.int64)


def _in_format(name: str, points: Tensor, out: Tensor | None, base: Tensor, arguments: tuple[object, ...]) -> Tensor:
    """Run in the logical order of the elements; a new result lies in memory as `points` do."""
    result = written(out, base, lambda to: run(name, to, *arguments, to))
    return result if out is not None else layout.like(result, layout.blocks(points))
