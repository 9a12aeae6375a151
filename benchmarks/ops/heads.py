"""Cases of the losses of logits: value, margin, right or wrong, and the derivative by each logit."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.ops.cases import Case, Sizes, register

SHAPES = {"10 classes": (1024, 10), "1000 classes": (256, 1000)}
Judged = tuple[Tensor, Tensor, Tensor, Tensor]


def arguments(sizes: Sizes, *, targeted: bool) -> dict[str, object]:
    """Return logits, labels, and where everything goes."""
    count, classes = sizes.shape
    labels = sizes.identities() % classes
    chosen = {"labels": labels, "targets": (labels + 1) % classes} if targeted else {"labels": labels}
    value, margin = (torch.empty(count, device=sizes.device) for _ in range(2))
    correct = torch.empty(count, dtype=torch.bool, device=sizes.device)
    out = {"value": value, "margin": margin, "correct": correct}
    logits = 3 * sizes.normal()
    return {"logits": logits, **chosen, **out, "cotangent": torch.empty_like(logits)}


def unit(index: Tensor, like: Tensor) -> Tensor:
    """Return unit vectors in the type of the logits."""
    return F.one_hot(index, like.shape[1]).to(like.dtype)


def others(a: SimpleNamespace) -> Tensor:
    """Return the logits without the label's."""
    return a.logits.masked_fill(unit(a.labels, a.logits).bool(), -torch.inf)


def judged(a: SimpleNamespace, value: Tensor, cotangent: Tensor) -> Judged:
    """Return everything that an operator says."""
    own = a.logits.gather(1, a.labels[:, None])[:, 0]
    return value, others(a).amax(dim=1) - own, a.logits.argmax(dim=1) == a.labels, cotangent


def cross_entropy(a: SimpleNamespace) -> Judged:
    """Return log sum_j exp z_j - z_y with its derivative by the softmax, where others go through autograd."""
    value = F.cross_entropy(a.logits, a.labels, reduction="none")
    return judged(a, value, a.logits.softmax(dim=1) - unit(a.labels, a.logits))


def log_ratio(a: SimpleNamespace) -> Judged:
    """Return log sum_{j != y} exp z_j - z_y."""
    rest = others(a)
    value = rest.logsumexp(dim=1) - a.logits.gather(1, a.labels[:, None])[:, 0]
    return judged(a, value, rest.softmax(dim=1) - unit(a.labels, a.logits))


def margin(a: SimpleNamespace) -> Judged:
    """Return max_{j != y} z_j - z_y."""
    largest, at = others(a).max(dim=1)
    value = largest - a.logits.gather(1, a.labels[:, None])[:, 0]
    return judged(a, value, unit(at, a.logits) - unit(a.labels, a.logits))


def dlr(a: SimpleNamespace) -> Judged:
    """Return the margin over z_(1) - z_(3)."""
    top, classes = a.logits.topk(3, dim=1)
    largest, at = others(a).max(dim=1)
    above = largest - a.logits.gather(1, a.labels[:, None])[:, 0]
    divisor = top[:, 0] - top[:, 2]
    up = unit(at, a.logits) - unit(a.labels, a.logits)
    slope = unit(classes[:, 0], a.logits) - unit(classes[:, 2], a.logits)
    return judged(a, above / divisor, (up - (above / divisor)[:, None] * slope) / divisor[:, None])


def dlr_targeted(a: SimpleNamespace) -> Judged:
    """Return (z_t - z_y) over z_(1) - (z_(3) + z_(4)) / 2."""
    top, classes = a.logits.topk(4, dim=1)
    above = (a.logits.gather(1, a.targets[:, None]) - a.logits.gather(1, a.labels[:, None]))[:, 0]
    divisor = top[:, 0] - (top[:, 2] + top[:, 3]) / 2
    up = unit(a.targets, a.logits) - unit(a.labels, a.logits)
    slope = unit(classes[:, 0], a.logits) - (unit(classes[:, 2], a.logits) + unit(classes[:, 3], a.logits)) / 2
    return judged(a, above / divisor, (up - (above / divisor)[:, None] * slope) / divisor[:, None])


FORMULAS: dict[str, Callable[[SimpleNamespace], Judged]] = {
    "cross_entropy": cross_entropy,
    "log_ratio": log_ratio,
    "margin": margin,
    "dlr": dlr,
    "dlr_targeted": dlr_targeted,
}
for name, formula in FORMULAS.items():
    register(
        Case(
            op=f"{name}_head",
            arguments=lambda sizes, targeted=name == "dlr_targeted": arguments(sizes, targeted=targeted),
            eager=formula,
            result="value",
            shapes=SHAPES,
            quick="10 classes",
        )
    )
