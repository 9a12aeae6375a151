"""What the command line says to every bench."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.rows import Row
from benchmarks.timing import Budget


@dataclass(frozen=True)
class Options:
    """How much to measure, where, and which measurements; `pictures` is a folder for what tasks make."""

    device: torch.device
    quick: bool = False
    only: str = ""
    pictures: Path | None = None

    def wants(self, name: str) -> bool:
        """Return whether a measurement's name contains the pattern of --only."""
        return re.search(self.only, name) is not None

    def budget(self, *, seconds: float, least: int, quick_seconds: float, quick_least: int) -> Budget:
        """Return the budget of one measurement."""
        return Budget(quick_seconds, quick_least) if self.quick else Budget(seconds, least)


def compared(rows: list[Row]) -> list[Row]:
    """Return the rows of one measurement, those of featlab with their ratios."""
    return [row.with_ratios(rows) if row.provider.startswith("featlab") else row for row in rows]
