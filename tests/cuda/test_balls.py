"""The linf and l2 kernels, as they stand in csrc/cuda, against their definitions, on the emulated device."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from torch import Tensor

from featlab.ops import reference, rounding

from emulator import Emulator
from ops_cases import Case, cases, norms, quick, same_bits

TYPES = {
    "kFloat": torch.float32,
    "kDouble": torch.float64,
    "kBFloat16": torch.bfloat16,
    "kHalf": torch.float16,
    "kNone": None,
}
SIZES = [1, 3, 4, 31, 257, 1028, 1030]


@dataclass(frozen=True)
class Batch:
    """The arguments of a step; `grad` is None for a projection."""

    points: Tensor
    grad: Tensor | None
    center: Tensor
    eps: Tensor
    step_size: Tensor
    low: float = 0.0
    high: float = 1.0


def batch(
    rows: int, size: int, dtype: torch.dtype | None = torch.float32, *, shift: int = 0, each: bool = True
) -> Batch:
    """Draw a batch; each tensor begins `shift` elements after an aligned address, radii are per example or one."""
    generator = torch.Generator().manual_seed(rows * 7919 + size)

    def shifted(values: Tensor) -> Tensor:
        return torch.cat([values.new_zeros(shift), values.flatten()])[shift:].reshape(values.shape)

    center = torch.rand(rows, size, generator=generator)
    points = (center + 0.2 * torch.randn(rows, size, generator=generator)).clamp(-0.5, 1.5)
    grad = None if dtype is None else shifted(torch.randn(rows, size, generator=generator).to(dtype))
    count = rows if each else 1
    radii, lengths = torch.tensor([0.1, 8 / 255, 0.5, 0.0, math.inf]), torch.tensor([0.05, 1.0, 2 / 255])
    eps, step_size = (values.repeat(count)[:count].contiguous() for values in (radii, lengths))
    return Batch(shifted(points), grad, shifted(center), eps, step_size)


def some(case: Batch, rows: slice) -> Batch:
    grad = None if case.grad is None else case.grad[rows]
    return Batch(case.points[rows], grad, case.center[rows], case.eps[rows], case.step_size[rows])


def emulated_step(kernels: Emulator, ball: str, case: Batch, out: Tensor) -> Tensor:
    arguments = kernels.struct(
        "StepArguments",
        rows=len(case.points),
        size=case.points[0].numel(),
        points=case.points,
        center=case.center,
        grad=case.grad,
        out=out,
        eps=kernels.per_example(case.eps),
        step=kernels.per_example(case.step_size),
        box=kernels.struct("Box", low=case.low, high=case.high),
    )
    kinds = [kind for kind, dtype in TYPES.items() if dtype == (None if case.grad is None else case.grad.dtype)]
    kernels.launch(f"{ball}_step", kernels.enum("GradType", kinds[0]), arguments)
    return out


def defined_step(ball: str, case: Batch) -> Tensor:
    out = torch.full_like(case.points, math.nan)
    if case.grad is None:
        getattr(reference, f"{ball}_project")(case.points, case.center, case.eps, case.low, case.high, out)
        return out
    arguments = (case.points, case.grad, case.center, case.eps, case.step_size, case.low, case.high, out)
    getattr(reference, f"{ball}_step")(*arguments)
    return out


def agree(ball: str, ours: Tensor, defined: Tensor) -> bool:
    """The same bits for linf; for l2, where the order of sums differs, one rounding."""
    if ball == "linf":
        return same_bits(ours, defined)
    return bool(((ours.double() - defined.double()).abs() <= 2.0**-23).all())


def fresh(case: Batch) -> Tensor:
    return torch.full_like(case.points, math.nan)


@pytest.mark.parametrize("ball", ["linf", "l2"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", TYPES)
def test_steps_and_projections_are_as_defined(kernels: Emulator, ball: str, size: int, kind: str) -> None:
    for shift in (0, 1) if size % 4 == 0 else (0,):
        case = batch(5, size, TYPES[kind], shift=shift)
        ours = emulated_step(kernels, ball, case, case.points.clone() if shift == 0 else fresh(case))
        assert agree(ball, ours, defined_step(ball, case))
        assert ((ours >= 0) & (ours <= 1)).all()
        if ball == "l2":
            assert (norms(ours.double() - case.center.double()) <= case.eps).all()


@pytest.mark.parametrize("ball", ["linf", "l2"])
@pytest.mark.parametrize("size", [31, 1028])
def test_in_place_and_one_radius_for_all(kernels: Emulator, ball: str, size: int) -> None:
    case = batch(3, size, each=False)
    expected = defined_step(ball, case)
    assert agree(ball, emulated_step(kernels, ball, case, case.points), expected)


@pytest.mark.parametrize("ball", ["linf", "l2"])
@pytest.mark.parametrize("size", [3, 260])
def test_zero_and_broken_gradients(kernels: Emulator, ball: str, size: int) -> None:
    case = batch(5, size)
    assert case.grad is not None
    for row, value in enumerate((0.0, math.nan, math.inf, -0.0)):
        case.grad[row] = value if row in (0, 3) else case.grad[row]
        case.grad[row, -1] = value
    assert agree(ball, emulated_step(kernels, ball, case, fresh(case)), defined_step(ball, case))


def test_a_step_back_to_the_center_keeps_its_digits(kernels: Emulator) -> None:
    """The squared length from the three sums cancels; it is summed anew."""
    for size in (31, 1028, 5000, 20000):
        center = torch.full((1, size), 0.5)
        points = center + torch.linspace(-0.3, 0.3, size)
        step_size = norms(points - center).float() * (1 + 1e-7)
        case = Batch(points, center - points, center, torch.tensor([1e-6]), step_size)
        ours = emulated_step(kernels, "l2", case, fresh(case))
        assert float(norms(ours.double() - center.double())) <= 1e-6


@pytest.mark.parametrize("ball", ["linf", "l2"])
@pytest.mark.parametrize("size", [31, 1028, 4100])
def test_a_result_does_not_depend_on_the_batch(kernels: Emulator, ball: str, size: int) -> None:
    case = batch(7, size)
    whole = emulated_step(kernels, ball, case, fresh(case))
    for rows in (slice(0, 1), slice(1, 3), slice(3, 7)):
        one = some(case, rows)
        assert same_bits(emulated_step(kernels, ball, one, fresh(one)), whole[rows])


# A size on each side of the sizes that a form of the l2 step holds: csrc/cuda/l2.cu.
FORMS = [3072, 3076, 12288, 12292, 81920, 81924, 163840, 163844]


@pytest.mark.parametrize(
    ("kind", "size"),
    [*(("kFloat", size) for size in FORMS), *((kind, size) for kind in ("kBFloat16", "kNone") for size in FORMS[::2])],
)
def test_every_form_of_the_l2_step(kernels: Emulator, kind: str, size: int) -> None:
    case = batch(2, size, TYPES[kind])
    ours = emulated_step(kernels, "l2", case, fresh(case))
    assert agree("l2", ours, defined_step("l2", case))
    assert (torch.linalg.vector_norm(ours.double() - case.center.double(), dim=1) <= case.eps).all()
    one = some(case, slice(1, 2))
    assert same_bits(emulated_step(kernels, "l2", one, fresh(one)), ours[1:2])


@pytest.mark.parametrize("limits", [{"capability": 80}, {"largest_cluster": 8}], ids=str)
def test_devices_without_clusters_or_with_small_ones(library: Emulator, limits: dict[str, int]) -> None:
    """An example that no form holds is read twice; the order of its sums is another one."""
    library.set(**limits)
    for size in (12292, 81924):
        case = batch(2, size)
        assert agree("l2", emulated_step(library, "l2", case, fresh(case)), defined_step("l2", case))


@pytest.mark.parametrize("ball", ["linf", "l2"])
@quick
@given(case=cases())
def test_hard_numbers(library: Emulator, ball: str, case: Case) -> None:
    library.set()
    radius = rounding.rounded_below(case.eps, torch.float32)
    given_case = Batch(case.points, case.grad, case.center, radius, case.step_size.float())
    ours = emulated_step(library, ball, given_case, fresh(given_case))
    assert agree(ball, ours, defined_step(ball, given_case))
    if ball == "l2":
        assert (norms(ours.double() - case.center.double()) <= case.eps).all()


@pytest.mark.slow
def test_more_rows_than_a_grid_is_high(library: Emulator) -> None:
    library.set()
    case = batch(65535 + 3, 1)
    assert same_bits(emulated_step(library, "linf", case, fresh(case)), defined_step("linf", case))


Sample = Callable[..., Tensor]


def emulated_sample(kernels: Emulator, ball: str, center: Tensor, eps: Tensor, examples: Tensor, **key: int) -> Tensor:
    out = torch.full_like(center, math.nan)
    arguments = kernels.struct(
        "SampleArguments",
        rows=len(center),
        size=center[0].numel(),
        center=center,
        out=out,
        eps=kernels.per_example(eps),
        examples=examples,
        box=kernels.struct("Box", low=0.0, high=1.0),
        **key,
    )
    kernels.launch(f"{ball}_sample", arguments)
    return out


@pytest.mark.parametrize("ball", ["linf", "l2"])
@pytest.mark.parametrize("size", [1, 3, 4, 31, 1030])
def test_samples_are_as_defined(kernels: Emulator, ball: str, size: int) -> None:
    center = torch.rand(4, size, generator=torch.Generator().manual_seed(size))
    eps, examples = torch.tensor([0.1, 0.0, 2.0, math.inf]), torch.tensor([5, -3, 2**40, 0])
    ours = emulated_sample(kernels, ball, center, eps, examples, seed=11, restart=2)
    defined = torch.full_like(center, math.nan)
    getattr(reference, f"{ball}_sample")(center, eps, examples, 11, 2, 0.0, 1.0, defined)
    assert agree(ball, ours, defined)
    assert ((ours >= 0) & (ours <= 1)).all()
    if ball == "l2":
        assert (norms(ours.double() - center.double()) <= eps).all()
