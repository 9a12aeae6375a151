"""Images in several files, each mapped into memory and read where asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Shards:
    """Consecutive parts of (count, channels, height, width); all but the last have `rows_each` rows."""

    parts: Sequence[Tensor]
    rows_each: int

    @property
    def shape(self) -> torch.Size:
        """The shape (count, channels, height, width)."""
        return torch.Size((sum(len(part) for part in self.parts), *self.parts[0].shape[1:]))

    @property
    def dtype(self) -> torch.dtype:
        """The type of the stored images."""
        return self.parts[0].dtype

    def __getitem__(self, index: Tensor, /) -> Tensor:
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < self.shape[0]:
            raise IndexError(f"rows must lie between 0 and {self.shape[0] - 1}; got {index.min()} to {index.max()}")
        rows = torch.empty((len(index), *self.shape[1:]), dtype=self.dtype)
        shard = index // self.rows_each
        for number in shard.unique().tolist():
            here = shard == number
            rows[here] = self.parts[number][index[here] - number * self.rows_each]
        return rows
