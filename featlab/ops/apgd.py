"""The public functions of Auto-PGD: a step with momentum, from here or from the best point, in one call.

`points`, `grad`, `center`, `eps`, `step_size`, `low`, `high` and `out` are those of the plain steps; `alpha` is a
number or (batch,), `improved` and `back` are (batch,) truth values. `previous`, `best` and `best_grad` have the shape
and type of `points` and are written over: where `improved`, `best` and `best_grad` become `points` and `grad`;
`previous` becomes x, which is the best point where an example goes `back`, and `points` elsewhere. Of the tensors that
are written no two may overlap, and only `out` may overlap `points`.
"""

import torch
from torch import Tensor

from featlab.ops import layout
from featlab.ops.arguments import Within, check_state, per_example
from featlab.ops.calls import run, written
from featlab.types import Images, PerExample, Points, Verdicts


def linf_momentum_step(
    points: Points,
    grad: Points,
    center: Images,
    *,
    previous: Points,
    best: Points,
    best_grad: Points,
    improved: Verdicts,
    back: Verdicts,
    eps: PerExample,
    step_size: PerExample,
    alpha: PerExample,
    low: float = 0.0,
    high: float = 1.0,
    out: Points | None = None,
) -> Points:
    """Return clip(x + alpha (z - x) + (1 - alpha) (x - previous)) with z = clip(x + step_size * sign(g)).

    Both cuts are those of `linf_step`. Source: Croce and Hein 2020 (AutoAttack), section 3.
    """
    within, trail, verdicts = Within(eps, low, high), (previous, best, best_grad), (improved, back)
    return _step("linf_momentum_step", points, grad, center, trail, verdicts, within, (step_size, alpha), out)


def l2_momentum_step(
    points: Points,
    grad: Points,
    center: Images,
    *,
    previous: Points,
    best: Points,
    best_grad: Points,
    improved: Verdicts,
    back: Verdicts,
    eps: PerExample,
    step_size: PerExample,
    alpha: PerExample,
    low: float = 0.0,
    high: float = 1.0,
    out: Points | None = None,
) -> Points:
    """Return P(x + alpha (z - x) + (1 - alpha) (x - previous)) with z = P(x + step_size * g / |g|).

    P is that of `l2_step`. Source: Croce and Hein 2020 (AutoAttack), section 3.
    """
    within, trail, verdicts = Within(eps, low, high), (previous, best, best_grad), (improved, back)
    return _step("l2_momentum_step", points, grad, center, trail, verdicts, within, (step_size, alpha), out)


def _step(
    name: str,
    points: Tensor,
    grad: Tensor,
    center: Tensor,
    trail: tuple[Tensor, Tensor, Tensor],
    verdicts: tuple[Tensor, Tensor],
    within: Within,
    sizes: tuple[PerExample, PerExample],
    out: Tensor | None,
) -> Tensor:
    previous, best, best_grad = trail
    grad = grad.to(center.dtype)
    check_state(
        name,
        center,
        {"points": points, "grad": grad, "previous": previous, "best": best, "best_grad": best_grad, "out": out},
    )
    for label, verdict in zip(("improved", "back"), verdicts, strict=True):
        if verdict.dtype != torch.bool or verdict.shape != center.shape[:1]:
            got = f"{verdict.dtype} of shape {tuple(verdict.shape)}"
            raise ValueError(f"{name}: {label} must be one truth value for each of {len(center)} examples; got {got}.")
    eps, low, high = within.arguments(center)
    size, alpha = (per_example(label, value, center) for label, value in zip(("step_size", "alpha"), sizes))
    with torch.no_grad():
        base = layout.blocks(points)
        aligned = [layout.like(tensor, base) for tensor in trail]
        fixed = (base, layout.like(grad, base), layout.like(center, base), *aligned)
        told = (verdict.to(center.device).contiguous() for verdict in verdicts)
        arguments = (*fixed, *told, eps, size, alpha, low, high)
        result = written(out, base, lambda to: run(name, to, *arguments, to))
        for tensor, moved in zip(trail, aligned):
            if moved is not tensor:
                tensor.copy_(moved)
    return result
