"""What a loop keeps of each example: a fingerprint of where it is, and the best that was found."""

import torch
from torch import Tensor

from featlab.ops import layout
from featlab.ops.calls import run
from featlab.ops.schema import DEFINITIONS
from featlab.types import Points, Rows, Verdicts


def fingerprint(values: Points) -> Tensor:
    """Return a 64-bit number per example, int64 of shape (batch,), that is a function of its bits and their places.

    Two states differ in it unless chance has it, 1 in 2^64. The place of an element is where it lies in memory, so only
    tensors of one memory format can be compared.
    """
    with torch.no_grad():
        base = layout.blocks(values)
        out = torch.empty(len(base), dtype=torch.int64, device=base.device)
        if base.numel() == 0:
            return out.zero_()
        run("fingerprint", base, base, out)
        return out


def keep_better(values: Points, take: Verdicts, *, index: Rows, best: Points) -> None:
    """Write row i of `values` over row index[i] of `best`, for every i where `take`; other rows stay as they are.

    `index` holds no row twice. Raises ValueError where shapes, types or devices do not fit.
    """
    if values.shape[1:] != best.shape[1:] or values.dtype != best.dtype or values.device != best.device:
        got = f"{values.dtype} of shape {tuple(values.shape)} on {values.device}"
        raise ValueError(f"values must be like rows of best, {best.dtype} {tuple(best.shape[1:])}; got {got}.")
    if take.shape != index.shape or take.shape != values.shape[:1]:
        raise ValueError(f"take and index must have one entry per row, ({len(values)},); got {tuple(take.shape)}.")
    if values.numel() == 0:
        return
    with torch.no_grad():
        fits = layout.is_block_layout(best) and layout.same_layout(values[:1], best[:1])
        if fits and layout.is_block_layout(values):
            run("keep_better", values, values, take, index, best)
        else:
            DEFINITIONS["keep_better"][1](values, take, index, best)
