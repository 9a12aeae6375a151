"""The public functions of the losses: everything that logits say under a loss in one pass, and the loss in a graph.

`logits` are (batch, classes) of any float type; `labels`, and for `dlr_targeted` the `targets`, are (batch,) int64.
What comes back is float32 (float64 for float64 logits) but for the cotangent, which has the type of the logits. A class
out of range is an error on a CPU; on CUDA its row is NaN. A row with NaN or +infinity in it is NaN throughout.
"""

from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from featlab.names import lookup
from featlab.ops import native
from featlab.ops.schema import DEFINITIONS
from featlab.types import Labels, Logits, Scores, Verdicts

LOSSES: Final = {"cross_entropy": 1, "log_ratio": 1, "margin": 1, "dlr": 3, "dlr_targeted": 4}
"""The losses, and how many classes each needs; their formulas stand at the objectives of the same names."""

_TYPES: Final = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class Judged(NamedTuple):
    """What logits say under a loss: `cotangent` is the derivative of `value` by each logit, `correct` argmax z = y."""

    value: Scores
    margin: Scores
    correct: Verdicts
    cotangent: Logits


def judge(logits: Logits, labels: Labels, *, loss: str, targets: Labels | None = None) -> Judged:
    """Return a loss, the margin max_{j != y} z_j - z_y, whether the answer is right, and d loss / d logits."""
    classes = (labels,) if targets is None else (labels, targets)
    _check(logits, classes, loss)
    base = logits.detach().contiguous()
    found = _empty(base)
    if base.numel() > 0:
        name = f"{loss}_head"
        served = native.is_native(name, base.device.type, found.value.dtype)
        run = getattr(torch.ops.featlab, name) if served else DEFINITIONS[name][1]
        run(base, *(each.contiguous() for each in classes), *found)
    return found


def loss(logits: Logits, labels: Labels, *, loss: str, targets: Labels | None = None) -> Scores:
    """Return a loss of each example, differentiable: its first derivative is computed with it, in one pass.

    Second derivatives are those of the definition.
    """
    result: Scores = _Loss.apply(logits, labels, targets, loss)
    return result


class _Loss(torch.autograd.Function):
    """A loss whose backward pass multiplies what the forward pass computed."""

    @staticmethod
    def forward(context: Any, logits: Tensor, labels: Tensor, targets: Tensor | None, loss: str) -> Tensor:
        """Return the loss, and keep its derivative."""
        found = judge(logits, labels, loss=loss, targets=targets)
        context.save_for_backward(logits, labels, targets, found.cotangent)
        context.loss = loss
        return found.value

    @staticmethod
    def backward(context: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the derivative by the logits; one that is to be differentiated again comes from the definition."""
        logits, labels, targets, cotangent = context.saved_tensors
        if torch.is_grad_enabled():
            classes = (labels,) if targets is None else (labels, targets)
            out = _empty(logits.detach())
            DEFINITIONS[f"{context.loss}_head"][1](logits, *classes, *out)
            cotangent = out.cotangent
        return (grads[0][:, None] * cotangent).to(cotangent.dtype), None, None, None


def _empty(logits: Tensor) -> Judged:
    """Return the tensors that the operators write to."""
    wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
    value, margin = (torch.empty(len(logits), dtype=wide, device=logits.device) for _ in range(2))
    return Judged(value, margin, torch.empty_like(value, dtype=torch.bool), torch.empty_like(logits))


def _check(logits: Tensor, classes: tuple[Tensor, ...], loss: str) -> None:
    least = lookup("loss", loss, LOSSES)
    if logits.dim() != 2 or logits.dtype not in _TYPES:
        got = f"{logits.dtype} of shape {tuple(logits.shape)}"
        raise ValueError(f"logits must be floating-point of shape (batch, classes); got {got}.")
    if logits.shape[1] < least:
        raise ValueError(f"{loss} needs at least {least} classes, the model has {logits.shape[1]}; use margin instead")
    if (len(classes) == 2) != (loss == "dlr_targeted"):
        raise ValueError(f"targets go with the loss 'dlr_targeted' and no other; got {loss!r}.")
    for each in classes:
        if each.dtype != torch.int64 or each.shape != logits.shape[:1] or each.device != logits.device:
            got = f"{each.dtype} of shape {tuple(each.shape)} on {each.device}"
            wanted = f"int64 of shape ({len(logits)},) on {logits.device}"
            raise ValueError(f"labels and targets must be {wanted}; got {got}.")
