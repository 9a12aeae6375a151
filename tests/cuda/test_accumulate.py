"""The CUDA kernels of MI-FGSM's steps, as they stand in csrc/cuda, against their definitions, in the emulation."""

import math

import pytest
import torch
from torch import Tensor

from featlab.ops import reference

from ops_cases import norms, same_bits

emulator = pytest.importorskip("emulator", reason="needs the emulation of CUDA")
TYPES = {"kFloat": torch.float32, "kDouble": torch.float64, "kBFloat16": torch.bfloat16, "kHalf": torch.float16}
SIZES = [1, 3, 4, 31, 257, 1028, 1030]


def arguments(rows: int, size: int, kind: str = "kFloat") -> dict[str, Tensor]:
    """Return the tensors of a call by name; one gradient is zero, and one broken."""
    generator = torch.Generator().manual_seed(rows * 7919 + size)
    center = torch.rand(rows, size, generator=generator)
    points = (center + 0.1 * torch.randn(rows, size, generator=generator)).clamp(0, 1)
    grad = torch.randn(rows, size, generator=generator).to(TYPES[kind])
    if rows > 3:
        grad[2], grad[3, -1] = 0.0, math.nan
    momentum = torch.randn(rows, size, generator=generator) / size
    tensors = {"points": points, "grad": grad, "center": center, "momentum": momentum}
    eps = torch.tensor([0.1, 0.5, 8 / 255, 0.0, math.inf]).repeat(rows)[:rows].contiguous()
    return tensors | {"eps": eps, "step": torch.tensor([0.05]), "decay": torch.tensor([0.9])}


def copied(given: dict[str, Tensor], rows: slice = slice(None)) -> dict[str, Tensor]:
    return {name: value.clone() if len(value) == 1 else value[rows].clone() for name, value in given.items()}


def defined(ball: str, given: dict[str, Tensor]) -> dict[str, Tensor]:
    tensors = copied(given)
    call = (tensors[name] for name in ("points", "grad", "center", "momentum", "eps", "step", "decay"))
    getattr(reference, f"{ball}_accumulated_step")(*call, 0.0, 1.0, tensors["points"])
    return tensors


def emulated(kernels, ball: str, given: dict[str, Tensor], rows: slice = slice(None)) -> dict[str, Tensor]:
    tensors = copied(given, rows)
    (kind,) = (name for name, dtype in TYPES.items() if dtype == tensors["grad"].dtype)
    step = kernels.struct(
        "StepArguments",
        rows=len(tensors["points"]),
        size=tensors["points"][0].numel(),
        box=kernels.struct("Box", low=0.0, high=1.0),
        out=tensors["points"],
        **{name: tensors[name] for name in ("points", "grad", "center")},
        **{name: kernels.per_example(tensors[name]) for name in ("eps", "step")},
    )
    decay = kernels.per_example(tensors["decay"])
    call = kernels.struct("AccumulateArguments", step=step, momentum=tensors["momentum"], decay=decay)
    kernels.launch(f"{ball}_accumulated_step", kernels.enum("GradType", kind), call)
    return tensors


def check(ball: str, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert same_bits(found["momentum"], expected["momentum"])
    offset = found["points"].double() - expected["center"].double()
    if ball == "linf":
        assert same_bits(found["points"], expected["points"])
    else:
        assert ((found["points"].double() - expected["points"].double()).abs() <= 2.0**-22).all()
        assert (norms(offset) <= expected["eps"]).all()


@pytest.mark.parametrize("ball", ["linf", "l2"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", TYPES)
def test_kernel_and_definition_agree(kernels, ball: str, size: int, kind: str) -> None:
    given = arguments(5, size, kind)
    check(ball, emulated(kernels, ball, given), defined(ball, given))


@pytest.mark.parametrize("ball", ["linf", "l2"])
def test_the_batch_does_not_matter(kernels, ball: str) -> None:
    given = arguments(7, 260)
    whole = emulated(kernels, ball, given)
    for rows in (slice(0, 2), slice(2, 7)):
        part = emulated(kernels, ball, given, rows)
        assert all(same_bits(part[name], whole[name][rows]) for name in ("points", "momentum"))


@pytest.mark.parametrize(("size", "cluster"), [(16384, 1), (16388, 2), (16382, 4), (70000, 8), (150528, 16)])
def test_large_examples_are_shared_by_a_cluster(library, size: int, cluster: int) -> None:
    library.set()
    given = arguments(2, size)
    check("linf", emulated(library, "linf", given), defined("linf", given))
    assert library.last()[:2] == (cluster, 256)


@pytest.mark.parametrize(
    ("limits", "cluster"), [({"capability": 80}, 1), ({"capability": 120, "largest_cluster": 8}, 8)], ids=str
)
def test_devices_without_clusters_or_with_small_ones(library, limits: dict[str, int], cluster: int) -> None:
    library.set(**limits)
    given = arguments(2, 150528)
    check("linf", emulated(library, "linf", given), defined("linf", given))
    assert library.last()[0] == cluster
