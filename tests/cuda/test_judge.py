"""Auto-PGD's bookkeeping, as it stands in csrc/cuda, against its definition, on the emulated device."""

import pytest
import torch

from featlab.ops import reference

from emulator import Emulator
from judge_cases import WINDOWS, drawn


@pytest.mark.parametrize("count", [1, 3, 127, 129, 300])
def test_apgd_judge(kernels: Emulator, count: int) -> None:
    here, there = drawn(count, seed=count), drawn(count, seed=count)
    reference.apgd_judge(*there.values())
    kernels.launch("apgd_judge", kernels.struct("JudgeArguments", rows=count, columns=WINDOWS, stride=WINDOWS, **here))
    assert count < 9 or any(there["back"])
    for name, value in there.items():
        assert value == here[name] if isinstance(value, float) else torch.equal(value, here[name]), name


def test_one_row_of_windows_may_serve_all(kernels: Emulator) -> None:
    here, there = drawn(40), drawn(40)
    there["windows"] = there["windows"][:1].expand(40, -1)
    reference.apgd_judge(*there.values())
    kernels.launch("apgd_judge", kernels.struct("JudgeArguments", rows=40, columns=WINDOWS, stride=0, **here))
    assert torch.equal(here["factor"], there["factor"])
    assert torch.equal(here["rises"], there["rises"])
