"""Auto-PGD's bookkeeping on a CUDA device: "apgd_judge" has the bits of the CPU."""

import pytest
import torch
from torch import Tensor

from featlab import ops

from judge_cases import NAMES, call, drawn

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("count", [1, 3, 129, 600_000], ids=lambda count: f"{'small ' if count < 200 else ''}{count}")
def test_it_is_as_on_the_cpu(device: torch.device, count: int) -> None:
    here = drawn(count)
    there = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in drawn(count).items()}
    for mine, theirs in zip(call(ops.apgd_judge, here), call(ops.apgd_judge, there), strict=True):
        assert torch.equal(mine, theirs.cpu())
    for name in NAMES:
        assert torch.equal(here[name], there[name].cpu()), name
