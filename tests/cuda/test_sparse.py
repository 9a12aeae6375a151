"""The sparse kernels, as they stand in csrc/cuda, against their definitions, on the emulated device."""

import ctypes
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from featlab.ops import reference, rounding

from emulator import Emulator
from ops_cases import Case, cases, norms, quick, same_bits

TYPES = {
    "kFloat": torch.float32,
    "kDouble": torch.float64,
    "kBFloat16": torch.bfloat16,
    "kHalf": torch.float16,
}
SIZES = [1, 3, 31, 255, 257, 1029]
NOTHING = {"grad": None, "eps": torch.zeros(1), "step": torch.zeros(1), "count": torch.zeros(1, dtype=torch.int64)}


def launch(
    kernels: Emulator, name: str, center: Tensor, grad_type: str | None = None, **given_members: object
) -> Tensor:
    """Run a kernel; tensors of values per example become the structs that carry them."""
    out = given_members.pop("out", torch.full_like(center, math.nan))
    members = {**NOTHING, "points": center, "channels": 1, "examples": None, "seed": 0, "restart": 0, **given_members}
    for label in ("eps", "step"):
        members[label] = kernels.per_example(members[label])
    count = members["count"]
    members["count"] = kernels.struct("Counts", data=count, stride=0 if count.numel() == 1 else 1)
    arguments = kernels.struct(
        "SparseArguments",
        rows=len(center),
        size=center[0].numel(),
        center=center,
        out=out,
        box=kernels.struct("Box", low=0.0, high=1.0),
        **members,
    )
    kind = () if grad_type is None else (kernels.enum("GradType", grad_type),)
    kernels.launch(name, *kind, arguments)
    return out


def defined(name: str, *arguments: object, like: Tensor) -> Tensor:
    out = torch.full_like(like, math.nan)
    getattr(reference, name)(*arguments, out)
    return out


def batch(size: int, dtype: torch.dtype = torch.float32, rows: int = 5) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(size)
    center = torch.rand(rows, size, generator=generator)
    return {
        "center": center,
        "points": center + 0.5 * torch.randn(rows, size, generator=generator),
        "grad": torch.randn(rows, size, generator=generator).to(dtype),
        "eps": torch.tensor([0.0, 0.1, 1.0, 9.0, math.inf])[:rows],
        "step": torch.tensor([1.0, 0.5, 2.0, 0.25, 3.0])[:rows],
        "count": torch.tensor([0, 1, 7, 40, 5000])[:rows],
    }


def near(ours: Tensor, definition: Tensor) -> bool:
    """One rounding apart: the order of sums differs."""
    return bool(((ours.double() - definition.double()).abs() <= 2.0**-23).all())


def sums(offset: Tensor) -> Tensor:
    return torch.tensor([math.fsum(map(abs, row)) for row in offset.double().tolist()], dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", TYPES)
def test_l1_steps_are_as_defined(kernels: Emulator, size: int, kind: str) -> None:
    b = batch(size, TYPES[kind])
    expected = defined(
        "l1_step", b["points"], b["grad"], b["center"], b["eps"], b["step"], b["count"], 0.0, 1.0, like=b["center"]
    )
    ours = launch(kernels, "l1_step", grad_type=kind, **b)
    assert near(ours, expected)
    assert (sums(ours.double() - b["center"].double()) <= b["eps"]).all()
    assert same_bits(launch(kernels, "l1_step", grad_type=kind, **b, out=b["points"]), ours)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [3, 33, 258, 1029])
@pytest.mark.parametrize("kind", TYPES)
def test_l0_steps_are_as_defined(kernels: Emulator, size: int, channels: int, kind: str) -> None:
    b = batch(size, TYPES[kind])
    del b["eps"]
    given_arguments = (b["points"], b["grad"], b["center"], b["count"], b["step"], channels, 0.0, 1.0)
    expected = defined("l0_step", *given_arguments, like=b["center"])
    ours = launch(kernels, "l0_step", grad_type=kind, channels=channels, **b)
    assert near(ours, expected)
    assert torch.equal(ours != b["center"], expected != b["center"])
    assert same_bits(launch(kernels, "l0_step", grad_type=kind, channels=channels, **b, out=b["points"]), ours)


@pytest.mark.parametrize("size", SIZES)
def test_projections_are_as_defined(kernels: Emulator, size: int) -> None:
    b = batch(size)
    arguments = (b["points"], b["center"], b["eps"], 0.0, 1.0)
    members = {"center": b["center"], "points": b["points"], "eps": b["eps"]}
    l1 = launch(kernels, "l1_step", grad_type="kNone", **members)
    assert near(l1, defined("l1_project", *arguments, like=b["center"]))
    assert (sums(l1.double() - b["center"].double()) <= b["eps"]).all()
    l2 = launch(kernels, "l2_box_project", **members)
    assert near(l2, defined("l2_box_project", *arguments, like=b["center"]))
    assert (norms(l2.double() - b["center"].double()) <= b["eps"]).all()
    few = launch(kernels, "l0_step", grad_type="kNone", center=b["center"], points=b["points"], count=b["count"])
    assert same_bits(few, defined("l0_project", b["points"], b["center"], b["count"], 1, 0.0, 1.0, like=b["center"]))


@quick
@given(case=cases(), count=st.integers(0, 20))
def test_hard_numbers(library: Emulator, case: Case, count: int) -> None:
    library.set()
    eps, step = rounding.rounded_below(case.eps, torch.float32), case.step_size.float()
    members = {"center": case.center, "points": case.points, "eps": eps}
    counts = torch.tensor([count])
    moved = launch(library, "l1_step", grad_type="kFloat", **members, grad=case.grad, step=step, count=counts)
    arguments = (case.points, case.grad, case.center, eps, step, counts, 0.0, 1.0)
    assert near(moved, defined("l1_step", *arguments, like=case.center))
    assert (sums(moved.double() - case.center.double()) <= case.eps).all()
    exact = launch(library, "l2_box_project", **members)
    assert (norms(exact.double() - case.center.double()) <= case.eps).all()


def test_ties_go_to_the_lowest_index_and_what_is_pinned_does_not_count(kernels: Emulator) -> None:
    center = torch.full((4, 700), 0.5)
    center[:, ::3] = 1.0
    grad = torch.ones(4, 700)
    grad[2], grad[3, 350:] = 0.0, 0.0
    count = torch.tensor([1, 300, 10, 600])
    members = {"center": center, "eps": torch.tensor([math.inf]), "step": torch.tensor([1.0]), "count": count}
    moved = launch(kernels, "l1_step", grad_type="kFloat", grad=grad, **members) != center
    free = (torch.arange(700) % 3 != 0).nonzero()[:, 0]
    for row, expected in enumerate([free[:1], free[:300], free[:0], free[free < 350]]):
        assert moved[row].nonzero()[:, 0].tolist() == expected.tolist()


def test_extreme_and_broken_points(kernels: Emulator) -> None:
    center = torch.full((3, 300), 0.5)
    points = center + 0.1
    points[0, :2], points[1, 7] = torch.tensor([math.inf, -math.inf]), math.nan
    for name, kind in (("l1_step", "kNone"), ("l2_box_project", None)):
        result = launch(kernels, name, grad_type=kind, center=center, points=points, eps=torch.tensor([0.5]))
        assert ((result[0] >= 0) & (result[0] <= 1)).all()
        assert result[1].isnan().all()
        assert torch.isfinite(result[2]).all()


@pytest.mark.parametrize("size", [1, 3, 4, 31, 1030])
def test_samples_are_the_same_bits(kernels: Emulator, size: int) -> None:
    center = torch.rand(4, size, generator=torch.Generator().manual_seed(size))
    eps, examples = torch.tensor([0.1, 0.0, 2.0, math.inf]), torch.tensor([5, -3, 2**40, 0])
    key = {"examples": examples, "seed": ctypes.c_uint64(11), "restart": 2}
    ours = launch(kernels, "l1_sample", center=center, eps=eps, **key)
    assert same_bits(ours, defined("l1_sample", center, eps, examples, 11, 2, 0.0, 1.0, like=center))
    count = torch.tensor([0, 1, 20, 2000])
    pixels = center.repeat(1, 3)
    few = launch(kernels, "l0_sample", center=pixels, count=count, channels=3, **key)
    assert same_bits(few, defined("l0_sample", pixels, count, examples, 11, 2, 3, 0.0, 1.0, like=pixels))


def test_a_result_does_not_depend_on_the_batch(kernels: Emulator) -> None:
    b = batch(1029)
    whole = launch(kernels, "l1_step", grad_type="kFloat", **b)
    for rows in (slice(0, 1), slice(1, 3), slice(3, 5)):
        part = {name: value[rows].contiguous() for name, value in b.items()}
        assert same_bits(launch(kernels, "l1_step", grad_type="kFloat", **part), whole[rows])
