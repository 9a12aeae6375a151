"""Cases of what a loop keeps of each example."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from benchmarks.ops.cases import Case, Sizes, register


def fingerprint_arguments(sizes: Sizes) -> dict[str, object]:
    """Return points, and where their fingerprints go."""
    return {"values": sizes.uniform(), "out": torch.empty(sizes.shape[0], dtype=torch.int64, device=sizes.device)}


def fingerprint(a: SimpleNamespace) -> Tensor:
    """Return another hash of the bits: their dot product with odd numbers, modulo 2^64."""
    rows = a.values.flatten(1).view(torch.int32).long()
    return (rows * (2 * torch.arange(rows.shape[1], device=rows.device) + 1)).sum(dim=1)


def keep_better_arguments(sizes: Sizes) -> dict[str, object]:
    """Return points of which every second one is better than what was kept."""
    index = sizes.identities()
    return {"values": sizes.uniform(), "take": index % 2 == 0, "index": index, "best": sizes.uniform()}


def keep_better(a: SimpleNamespace) -> Tensor:
    """Return the same by a mask."""
    return torch.where(a.take.reshape(-1, *[1] * (a.values.dim() - 1)), a.values, a.best)


def taken_bytes(a: SimpleNamespace) -> int:
    """Return the bytes of the rows that are taken, read once and written once."""
    return 2 * int(a.take.sum()) * a.values[0].nbytes


register(Case(op="fingerprint", arguments=fingerprint_arguments, eager=fingerprint, same=False))
register(Case(op="keep_better", arguments=keep_better_arguments, eager=keep_better, bytes=taken_bytes, result="best"))
