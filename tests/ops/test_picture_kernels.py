"""The kernels for pictures: every instruction set gives the same bits, and the operators check their arguments."""

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from featlab.ops import native

SCRIPT = """
import hashlib, torch
from featlab import ops
generator = torch.Generator().manual_seed(0)
digest = hashlib.sha256()
for sides in ((5, 7), (16, 33), (40, 41)):
    for form in (torch.contiguous_format, torch.channels_last):
        x = torch.rand(3, 3, *sides, generator=generator).to(memory_format=form).requires_grad_()
        options = dict(seed=1, examples=torch.arange(3), jitter=2, rotate=9.0, scale=(0.8, 1.2))
        made = [ops.total_variation(x, form=kind, delta=0.1) for kind in ("l1", "l2", "huber")]
        made += [ops.colour(6 * x - 3), ops.colour(x, dtype=torch.bfloat16).float()]
        made += [ops.random_affine(x, padding=padding, **options) for padding in ("zero", "edge")]
        for result in made:
            (grad,) = torch.autograd.grad(result.square().sum(), x)
            for tensor in (result, grad):
                digest.update(tensor.detach().contiguous().numpy().tobytes())
print(digest.hexdigest())
"""


def needs_kernels() -> None:
    if not native.LIBRARIES["cpu"].loaded:
        pytest.skip("no kernels were built")


def digest(isa: str) -> str:
    environment = {**os.environ, "FEATLAB_EXT": "require", "FEATLAB_ISA": isa}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_instruction_set_gives_the_same_bits() -> None:
    """A machine that has only the baseline compares it with itself."""
    needs_kernels()
    best = digest("avx512")
    assert [digest(isa) for isa in ("avx2", "baseline")] == [best, best]


X = torch.rand(2, 3, 4, 5)
ONE, THETA = torch.ones(1), torch.zeros(2, 6)
MATRIX, THREE = torch.eye(3), torch.ones(3)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("total_variation", (X, ONE, 3, 0.1, torch.empty(2), X), "form must be 0, 1 or 2"),
        ("total_variation", (X, ONE, 0, 0.1, torch.empty(3), X), "one number per example"),
        ("total_variation", (X, torch.ones(3), 0, 0.1, torch.empty(2), X), "one value, or one per example"),
        ("total_variation", (X.transpose(2, 3), ONE, 0, 0.1, torch.empty(2), X[:0]), "contiguous or channels last"),
        ("total_variation", (X, ONE, 0, 0.1, torch.empty(2), X[:, :2]), "shapes"),
        ("colour", (X[:, :2].contiguous(), MATRIX, THREE, THREE, X), "3 channels"),
        ("colour", (X, MATRIX, THREE, THREE, X.half()), "float32 or bfloat16"),
        ("colour", (X, THREE, THREE, THREE, X), r"matrix \(3, 3\)"),
        ("colour", (X, MATRIX, THREE, THREE, X[..., :4].contiguous()), "shapes must be equal"),
        ("colour_backward", (X, X, MATRIX, THREE, X.to(memory_format=torch.channels_last)), "strides must be equal"),
        ("affine", (X, THETA[:1], False, X), r"theta must be \(batch, 6\)"),
        ("affine", (X, THETA, False, X.to(memory_format=torch.channels_last)), "strides must be equal"),
        ("affine_backward", (X.double(), THETA, False, X.double()), "float32"),
        ("affine_backward", (X[0], THETA, False, X[0]), r"must be \(batch, channels, height, width\)"),
    ],
)
def test_the_kernels_check_their_arguments(name: str, arguments: tuple[Tensor, ...], message: str) -> None:
    needs_kernels()
    with pytest.raises(RuntimeError, match=message):
        getattr(torch.ops.featlab, name)(*arguments)
