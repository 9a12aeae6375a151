"""The CUDA kernel of the losses, as it stands in csrc/cuda, against its definitions, on the emulated device."""

import math

import pytest
import torch
from torch import Tensor

from featlab.ops import reference
from featlab.ops.heads import LOSSES, Judged

emulator = pytest.importorskip("emulator", reason="needs the emulation of CUDA")
KINDS = {
    "cross_entropy": "kCrossEntropy",
    "log_ratio": "kLogRatio",
    "margin": "kMargin",
    "dlr": "kDlr",
    "dlr_targeted": "kDlrTargeted",
}
TYPES = {"kFloat": torch.float32, "kBFloat16": torch.bfloat16, "kHalf": torch.float16}


def empty(logits: Tensor) -> Judged:
    rows = len(logits)
    return Judged(
        *(torch.full((rows,), math.nan) for _ in range(2)), torch.zeros(rows).bool(), torch.empty_like(logits)
    )


def emulated(kernels, loss: str, kind: str, logits: Tensor, labels: Tensor, targets: Tensor) -> Judged:
    found = empty(logits)
    shape = {"rows": logits.shape[0], "classes": logits.shape[1], "loss": kernels.enum("Loss", KINDS[loss])}
    tensors = {"logits": logits, "labels": labels, "targets": targets, **found._asdict()}
    kernels.launch("head", kernels.enum("GradType", kind), kernels.struct("HeadArguments", **shape, **tensors))
    return found


def defined(loss: str, logits: Tensor, labels: Tensor, targets: Tensor) -> Judged:
    found = empty(logits)
    classes = (labels, targets) if loss == "dlr_targeted" else (labels,)
    getattr(reference, f"{loss}_head")(logits, *classes, *found)
    return found


def batch(rows: int, classes: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(classes)
    labels, targets = (torch.randint(0, classes, (rows,), generator=generator) for _ in range(2))
    return (3 * torch.randn(rows, classes, generator=generator)).to(dtype), labels, targets


@pytest.mark.parametrize("classes", [4, 10, 32, 33, 101])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_kernel_and_definition_agree(kernels, loss: str, kind: str, classes: int) -> None:
    logits, labels, targets = batch(11, classes, TYPES[kind])
    found, expected = emulated(kernels, loss, kind, logits, labels, targets), defined(loss, logits, labels, targets)
    assert torch.equal(found.correct, expected.correct)
    torch.testing.assert_close(found.value, expected.value, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.margin, expected.margin, rtol=1e-6, atol=1e-7)
    ulp = {"kFloat": 2e-6, "kBFloat16": 2.0**-7, "kHalf": 2.0**-10}[kind]
    torch.testing.assert_close(found.cotangent, expected.cotangent, rtol=ulp, atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES)
def test_ties_and_what_is_not_finite(kernels, loss: str) -> None:
    logits, labels, targets = batch(7, 40)
    logits[0, ::3], logits[1, 5], logits[2, 7], logits[3, ::2] = 9.0, math.nan, math.inf, -math.inf
    logits[4], labels[4], targets[3] = 2.0, 1, 1
    found, expected = emulated(kernels, loss, "kFloat", logits, labels, targets), defined(loss, logits, labels, targets)
    assert torch.equal(found.correct, expected.correct)
    for got, wanted in ((found.value, expected.value), (found.margin, expected.margin)):
        torch.testing.assert_close(got, wanted, rtol=2e-6, atol=1e-7, equal_nan=True)
    torch.testing.assert_close(found.cotangent, expected.cotangent, rtol=2e-6, atol=1e-7, equal_nan=True)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("wrong", [-1, 6])
def test_a_class_out_of_range_makes_its_row_nan(kernels, loss: str, wrong: int) -> None:
    logits, labels, targets = batch(5, 6)
    expected = defined(loss, logits, labels, targets)
    labels[2] = wrong
    found = emulated(kernels, loss, "kFloat", logits, labels, targets)
    assert found.value[2].isnan()
    assert found.cotangent[2].isnan().all()
    assert not found.correct[2]
    rest = [0, 1, 3, 4]
    torch.testing.assert_close(found.value[rest], expected.value[rest], rtol=1e-6, atol=1e-7)
