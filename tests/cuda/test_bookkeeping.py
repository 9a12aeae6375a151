"""Fingerprints and kept rows, as they stand in csrc/cuda, against their definitions, on the emulated device."""

import pytest
import torch

from featlab.ops import reference

from emulator import Emulator
from ops_cases import same_bits


@pytest.mark.parametrize("size", [1, 3, 31, 257, 1030])
def test_fingerprints(kernels: Emulator, size: int) -> None:
    values = torch.randn(3, size, generator=torch.Generator().manual_seed(size))
    out, wanted = torch.zeros(3, dtype=torch.int64), torch.empty(3, dtype=torch.int64)
    reference.fingerprint(values, wanted)
    kernels.launch("fingerprint", kernels.struct("PrintArguments", rows=3, size=size, values=values, out=out))
    assert torch.equal(out, wanted)


@pytest.mark.parametrize("size", [1, 4, 33, 1028])
def test_better_rows(kernels: Emulator, size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    values, best = torch.rand(4, size, generator=generator), torch.rand(6, size, generator=generator)
    take, index = torch.tensor([True, False, True, True]), torch.tensor([5, 0, 2, 3])
    wanted = best.clone()
    reference.keep_better(values, take, index, wanted)
    arguments = kernels.struct(
        "BetterArguments", rows=4, size=size, values=values, take=take, index=index, best=best, best_rows=6
    )
    kernels.launch("keep_better", arguments)
    assert same_bits(best, wanted)


def test_rows_that_are_not_there_are_not_written(kernels: Emulator) -> None:
    values, best = torch.rand(2, 8), torch.zeros(3, 8)
    arguments = kernels.struct(
        "BetterArguments",
        rows=2,
        size=8,
        values=values,
        take=torch.ones(2, dtype=torch.bool),
        index=torch.tensor([-1, 3]),
        best=best[:2],
        best_rows=2,
    )
    kernels.launch("keep_better", arguments)
    assert not best.any()
