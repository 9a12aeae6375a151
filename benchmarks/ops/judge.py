"""The case of Auto-PGD's bookkeeping, some numbers for each example."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

import featlab as fl
from benchmarks.ops.cases import Case, Sizes, register

STEPS = 50
SHAPES = {"batch 256": (256,), "batch 8192": (8192,)}


def arguments(sizes: Sizes) -> dict[str, object]:
    """Return scores and the record of examples of which every third is at a checkpoint."""
    count, device = sizes.shape[0], sizes.device
    windows = torch.tensor(fl.APGD().windows(STEPS), dtype=torch.float64, device=device)
    places = torch.tensor([5, windows.nonzero()[0, 0], 7], device=device)
    names = ("score", "best_score", "checked_score")
    record = {"number": places[sizes.identities() % 3], **{name: sizes.normal().double() for name in names}}
    record |= {"rises": 4 * sizes.uniform().double().round(), "factor": torch.ones_like(record["score"])}
    verdicts = {name: sizes.uniform() > 0.5 for name in ("halved", "improved", "back")}
    rates = {"rho": 0.75, "alpha": 0.75, "share": torch.empty_like(record["score"])}
    return {"scores": sizes.normal(), "windows": windows.expand(count, -1).contiguous(), **record, **verdicts, **rates}


def moved_bytes(a: SimpleNamespace) -> int:
    """Return the bytes of one score and one window in, of the record in and out, and of what is told out."""
    record = sum(getattr(a, name).nbytes for name in ("number", "score", "best_score", "checked_score", "rises"))
    record += a.factor.nbytes + a.halved.nbytes
    return a.scores.nbytes + 8 * len(a.scores) + 2 * record + 2 * a.back.nbytes + a.share.nbytes


def judged(a: SimpleNamespace) -> tuple[Tensor, ...]:
    """Return the record in the usual form: a few dozen operations on small tensors."""
    begins, scores = a.number == 0, a.scores.double()
    improved = begins | (scores > a.best_score)
    best, checked = torch.where(improved, scores, a.best_score), torch.where(begins, scores, a.checked_score)
    rises = torch.where(begins, 0.0, a.rises + (scores > a.score))
    window = a.windows.gather(1, a.number.clamp(max=a.windows.shape[1] - 1)[:, None])[:, 0]
    check = (window > 0) & (a.number < a.windows.shape[1])
    stuck = (rises <= a.rho * window) | (~a.halved & (checked >= best))
    factor = torch.where(check & stuck, a.factor / 2, a.factor)
    halved, rises = torch.where(check, stuck, a.halved), torch.where(check, 0.0, rises)
    share = torch.where(begins, 1.0, torch.full_like(scores, a.alpha))
    last = torch.where(begins, 0.0, scores)
    return factor, a.number + 1, last, best, torch.where(check, best, checked), rises, halved, improved, share


register(
    Case(
        op="apgd_judge",
        arguments=arguments,
        eager=judged,
        bytes=moved_bytes,
        result="factor",
        shapes=SHAPES,
        quick="batch 256",
    )
)
