"""The CUDA kernels of Auto-PGD, as they stand in csrc/cuda, against their definitions, on the emulated device."""

import pytest
import torch
from torch import Tensor

from featlab.ops import reference

from ops_cases import norms, same_bits

emulator = pytest.importorskip("emulator", reason="needs the emulation of CUDA")
SIZES = [1, 3, 4, 31, 257, 1028, 1030]
WRITTEN = ("previous", "best", "best_grad", "out")


def arguments(rows: int, size: int, *, seed: int = 0) -> dict[str, Tensor]:
    """Return the tensors of a call by name: rows that are improved, that go back, that do both and neither."""
    generator = torch.Generator().manual_seed(rows * 7919 + size + seed)
    center = torch.rand(rows, size, generator=generator)

    def near() -> Tensor:
        return (center + 0.1 * torch.randn(rows, size, generator=generator)).clamp(0, 1)

    index = torch.arange(rows)
    tensors = {name: near() for name in ("points", "previous", "best")}
    tensors |= {name: torch.randn(rows, size, generator=generator) for name in ("grad", "best_grad")}
    tensors |= {"center": center, "improved": index % 2 == 0, "back": index % 3 == 0}
    tensors |= {"eps": torch.tensor([0.1, 0.5, 8 / 255, 0.0]).repeat(rows)[:rows].contiguous()}
    return tensors | {"step": torch.tensor([0.2]), "alpha": torch.tensor([0.75]), "out": tensors["points"]}


def copied(tensors: dict[str, Tensor], rows: slice = slice(None)) -> dict[str, Tensor]:
    copies = {name: value.clone() if len(value) == 1 else value[rows].clone() for name, value in tensors.items()}
    return copies | {"out": copies["points"]}


def defined(ball: str, given: dict[str, Tensor]) -> dict[str, Tensor]:
    tensors = copied(given)
    first = ("points", "grad", "center", "previous", "best", "best_grad", "improved", "back", "eps", "step", "alpha")
    getattr(reference, f"{ball}_momentum_step")(*(tensors[name] for name in first), 0.0, 1.0, tensors["out"])
    return tensors


def emulated(kernels, ball: str, given: dict[str, Tensor], rows: slice = slice(None)) -> dict[str, Tensor]:
    tensors = copied(given, rows)
    each = {name: kernels.per_example(tensors[name]) for name in ("eps", "step", "alpha")}
    size, box = tensors["points"][0].numel(), kernels.struct("Box", low=0.0, high=1.0)
    call = kernels.struct("MomentumArguments", rows=len(tensors["points"]), size=size, box=box, **(tensors | each))
    kernels.launch(f"{ball}_momentum_step", call)
    return tensors


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ball", ["linf", "l2"])
def test_kernel_and_definition_agree(kernels, ball: str, size: int) -> None:
    given = arguments(6, size)
    found, expected = emulated(kernels, ball, given), defined(ball, given)
    for name in WRITTEN[:3]:
        assert same_bits(found[name], expected[name]), name
    if ball == "linf":
        assert same_bits(found["out"], expected["out"])
        assert ((found["out"].double() - given["center"].double()).abs() <= given["eps"][:, None]).all()
    else:
        assert ((found["out"] - expected["out"]).abs() <= 2.0**-21).all()
        assert (norms(found["out"].double() - given["center"].double()) <= given["eps"]).all()
    assert ((found["out"] >= 0) & (found["out"] <= 1)).all()


@pytest.mark.parametrize("ball", ["linf", "l2"])
def test_the_batch_does_not_matter(kernels, ball: str) -> None:
    given = arguments(7, 260)
    whole = emulated(kernels, ball, given)
    for rows in (slice(0, 2), slice(2, 7)):
        part = emulated(kernels, ball, given, rows)
        for name in WRITTEN:
            assert same_bits(part[name], whole[name][rows])
