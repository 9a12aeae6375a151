"""What Auto-PGD makes of the scores at each step."""

from typing import NamedTuple

import torch
from torch import Tensor


class _Call(NamedTuple):
    """The operator's arguments, in order."""

    scores: Tensor
    windows: Tensor
    rho: float
    alpha: float
    number: Tensor
    score: Tensor
    best_score: Tensor
    checked_score: Tensor
    rises: Tensor
    factor: Tensor
    halved: Tensor
    improved: Tensor
    back: Tensor
    share: Tensor


def apgd_judge(*arguments: Tensor | float) -> None:
    """Write who is better than ever, who goes back to the best point with half the step, and the new record."""
    call = _Call(*arguments)  # type: ignore[arg-type]
    scores, begins = call.scores.double(), call.number == 0
    improved = begins | (scores > call.best_score)
    best = torch.where(improved, scores, call.best_score)
    checked = torch.where(begins, scores, call.checked_score)
    rises = torch.where(begins, 0.0, call.rises + (scores > call.score))
    last = call.windows.shape[1] - 1
    window = call.windows.gather(1, call.number.clamp(0, last)[:, None])[:, 0]
    window = torch.where((call.number >= 0) & (call.number <= last), window, 0.0)
    check = window > 0
    stuck = (rises <= call.rho * window) | (~call.halved & (checked >= best))
    back = check & stuck
    call.number.add_(1)
    # The published code compares the score of the first step with 0, not with that of the start.
    call.score.copy_(torch.where(begins, 0.0, scores))
    call.best_score.copy_(best)
    call.checked_score.copy_(torch.where(check, best, checked))
    call.rises.copy_(torch.where(check, 0.0, rises))
    call.factor.copy_(torch.where(back, call.factor / 2, call.factor))
    call.halved.copy_(torch.where(check, stuck, call.halved))
    call.improved.copy_(improved)
    call.back.copy_(back)
    # The first step has no momentum yet, and the paper takes it whole.
    call.share.copy_(torch.where(begins, 1.0, torch.full_like(scores, call.alpha)))
