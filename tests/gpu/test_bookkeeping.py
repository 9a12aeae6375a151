"""The loop's books on a CUDA device: "fingerprint" and "keep_better" have the bits of the CPU."""

import pytest
import torch

from featlab import ops

from ops_cases import same_bits

pytestmark = pytest.mark.gpu

SHAPES = [(1, 1), (3, 31), (2, 1030), (2, 3, 5, 7), (65_535 + 9, 5), (9, 3, 224, 224)]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{'small ' if len(shape) * shape[0] < 20 else ''}{shape}")
def test_both_are_as_on_the_cpu(device: torch.device, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(sum(shape))
    values, best = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
    assert torch.equal(ops.fingerprint(values.to(device)).cpu(), ops.fingerprint(values))
    take, index = torch.rand(shape[0], generator=generator) < 0.5, torch.randperm(shape[0], generator=generator)
    there = best.to(device)
    ops.keep_better(values.to(device), take.to(device), index=index.to(device), best=there)
    ops.keep_better(values, take, index=index, best=best)
    assert same_bits(there.cpu(), best)
