"""Whole computations: timed by the clock of the host, with everything that they do between call and result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import torch

from benchmarks.rows import Row
from benchmarks.timing import Budget, Call, interleaved

Given = TypeVar("Given")
Found = TypeVar("Found")


def measured(
    row: Row,
    ways: Mapping[str, Callable[[Given], Found]],
    given: Given,
    *,
    tell: Callable[[Found, float], Mapping[str, object]],
    budget: Budget,
    device: torch.device,
    warm: Given | None = None,
) -> list[Row]:
    """Return `row` for each way, with its times, and with what `tell` says of the result and the median in seconds.

    A `note` of `tell` follows on how many times which clock was read.
    """
    found: dict[str, Found] = {}

    def timed(provider: str, way: Callable[[Given], Found]) -> Call:
        def call(what: Given) -> None:
            found[provider] = way(what)
            if device.type == "cuda":
                torch.cuda.synchronize()

        return call

    calls = {provider: timed(provider, way) for provider, way in ways.items()}
    sets = {provider: [given] for provider in calls}
    rows = []
    for provider, result in interleaved(calls, sets, device=torch.device("cpu"), budget=budget, warm=warm).items():
        done = replace(row, provider=provider, error=result.error, **result.columns())
        if result.error is None:
            told = dict(tell(found[provider], result.percentile(50) / 1e6))
            told["note"] = f"{result.how}, {len(result.seconds)} rounds, {told.get('note', '')}"
            done = replace(done, **told)
        rows.append(done)
    return rows
