"""The losses on a CUDA device: equal to their definition on the CPU."""

import pytest
import torch

from featlab import ops

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

NAMES = ["cross_entropy_head", "log_ratio_head", "margin_head", "dlr_head", "dlr_targeted_head"]
LOSSES = [name.removesuffix("_head") for name in NAMES]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("classes", [4, 10, 33, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_what_logits_say_is_the_same_on_both_devices(loss: str, classes: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(classes)
    logits = (3 * torch.randn(129, classes, generator=generator)).to(dtype)
    labels, other = (torch.randint(0, classes, (129,), generator=generator) for _ in range(2))
    targets = other if loss == "dlr_targeted" else None
    here = ops.judge(logits, labels, loss=loss, targets=targets)
    there = ops.judge(logits.cuda(), labels.cuda(), loss=loss, targets=None if targets is None else targets.cuda())
    ulp = {torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}.get(dtype, 2e-6)
    assert torch.equal(there.correct.cpu(), here.correct)
    torch.testing.assert_close(there.value.cpu(), here.value, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(there.margin.cpu(), here.margin, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(there.cotangent.cpu(), here.cotangent, rtol=ulp, atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_class_out_of_range_makes_its_row_nan(loss: str) -> None:
    logits, labels = torch.randn(4, 6, device="cuda"), torch.tensor([0, 1, 6, 3], device="cuda")
    found = ops.judge(logits, labels, loss=loss, targets=labels if loss == "dlr_targeted" else None)
    assert found.value.isnan().tolist() == [False, False, True, False]
    assert found.cotangent[2].isnan().all()
