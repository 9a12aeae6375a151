"""The public function of Auto-PGD's bookkeeping."""

import torch
from torch import Tensor

from featlab.ops.calls import run
from featlab.types import Scores, Verdicts


def apgd_judge(
    scores: Scores,
    *,
    windows: Tensor,
    rho: float,
    alpha: float,
    number: Tensor,
    score: Tensor,
    best_score: Tensor,
    checked_score: Tensor,
    rises: Tensor,
    factor: Tensor,
    halved: Verdicts,
) -> tuple[Verdicts, Verdicts, Tensor]:
    """Return who improved, who goes back to its best point, and the share of the step that is new; keep the record.

    `windows` (batch, steps + 1) holds, for each number of steps, the length of the window that ends there, else 0;
    after more steps none ends. The
    record is written over: `number` of steps (int64), the last, the best and the best `checked_score` and how often
    the score `rises` in this window (float64), the `factor` of the step size, and whether it was `halved` last time.
    A window in which the score rose in at most `rho` of the steps, or since whose begin neither the best score nor the
    step size changed, halves the factor. The share is 1 at the first step and `alpha` later.
    Source: Croce and Hein 2020 (AutoAttack), section 3 and algorithm 1.
    """
    record = (number, score, best_score, checked_score, rises, factor, halved)
    _check(scores, windows, record)
    with torch.no_grad():
        improved, back = torch.empty_like(halved), torch.empty_like(halved)
        share = torch.empty_like(factor)
        run("apgd_judge", scores, scores.contiguous(), windows, rho, alpha, *record, improved, back, share)
    return improved, back, share


def _check(scores: Tensor, windows: Tensor, record: tuple[Tensor, ...]) -> None:
    """Refuse what does not have one entry, or row, per example, of the right type."""
    kinds = (torch.int64, *[torch.float64] * 5, torch.bool)
    fits = all(each.shape == scores.shape and each.dtype == kind for each, kind in zip(record, kinds, strict=True))
    if not fits or scores.dim() != 1 or windows.dtype != torch.float64 or windows.shape[:1] != scores.shape:
        got = ", ".join(f"{each.dtype} {tuple(each.shape)}" for each in (scores, windows, *record))
        raise ValueError(
            f"apgd_judge needs one entry (of windows, a row) per example, number in int64, halved in bool, all else in "
            f"float64 (scores in any float type); got {got}."
        )
