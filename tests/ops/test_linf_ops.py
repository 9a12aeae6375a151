"""The linf operators: exact feasibility, equality of kernel and definition, closed forms."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from torch import Tensor

from featlab import ops
from featlab.ops import native, reference, rounding

from ops_cases import Case, cases, quick, same_bits

needs_native = pytest.mark.skipif(
    not native.LIBRARIES["cpu"].loaded and native.mode() != "require", reason="no kernels were built"
)


def feasible(result: Tensor, center: Tensor, eps: Tensor) -> bool:
    """Compare in exact rational arithmetic."""
    flat_result, flat_center = result.flatten(1).tolist(), center.flatten(1).tolist()
    for values, centers, radius in zip(flat_result, flat_center, eps.tolist(), strict=True):
        for value, middle in zip(values, centers, strict=True):
            if not 0 <= value <= 1 or abs(Fraction(value) - Fraction(middle)) > radius:
                return False
    return True


@quick
@given(case=cases())
def test_a_step_is_feasible_without_tolerance(case: Case) -> None:
    for served in (True, False):
        result = _step(case, native=served)
        assert feasible(result, case.center, case.eps)
        offset = (result.double() - case.center.double()).abs()
        assert (offset <= case.eps[:, None]).all()
        assert ((result - case.center).abs() <= case.eps[:, None]).all()


@needs_native
@quick
@given(case=cases())
def test_kernel_and_definition_give_the_same_bits(case: Case) -> None:
    assert same_bits(_step(case, native=True), _step(case, native=False))


def _step(case: Case, *, native: bool) -> Tensor:
    if native:
        return ops.linf_step(case.points, case.grad, case.center, eps=case.eps, step_size=case.step_size)
    out = torch.full_like(case.points, math.nan)
    radius = rounding.rounded_below(case.eps, torch.float32)
    reference.linf_step(case.points, case.grad, case.center, radius, case.step_size.float(), 0.0, 1.0, out)
    return out


@pytest.mark.parametrize("eps", [1 / 255, 2 / 255, 8 / 255, 0.03, 0.1])
def test_saturated_pixels_stay_in_the_ball(way: str, eps: float) -> None:
    center = (torch.arange(256, dtype=torch.float32) / 255).repeat(2, 1)
    grad = torch.tensor([[1.0], [-1.0]]).expand(2, 256).contiguous()
    result = ops.linf_step(center, grad, center, eps=eps, step_size=1.0)
    assert ((result.double() - center.double()).abs() <= eps).all()
    naive = torch.min(torch.max(center + grad, center - eps), center + eps)
    assert ((naive.double() - center.double()).abs() > eps).any(), "the plain form should violate the bound"
    assert ((result - naive.clamp(0, 1)).abs() <= 2.0**-23).all()


def test_the_step_is_the_closed_form_where_nothing_binds(way: str) -> None:
    center = torch.full((2, 3, 4, 4), 0.5)
    grad = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    result = ops.linf_step(center, grad, center, eps=0.25, step_size=0.125)
    assert torch.equal(result, 0.5 + 0.125 * grad.sign())


def test_zero_and_nan_gradients_move_nothing(way: str) -> None:
    center = torch.rand(1, 6, generator=torch.Generator().manual_seed(2))
    points = (center + torch.tensor([0.01, -0.01, 0, 0, 0.005, 0])).clamp(0, 1)
    grad = torch.tensor([[0.0, -0.0, math.nan, 0.0, math.nan, -0.0]])
    assert same_bits(ops.linf_step(points, grad, center, eps=0.1, step_size=0.1), points)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_gradients_of_every_type_keep_their_signs(way: str, dtype: torch.dtype) -> None:
    smallest = {torch.float16: 2.0**-24, torch.float64: 5e-324}.get(dtype, 1e-39)
    values = [smallest, -smallest, 1.0, -1.0, 0.0, -0.0, math.inf, -math.inf, math.nan, 60000.0]
    grad = torch.tensor([values * 5], dtype=dtype)
    center = torch.full((1, 50), 0.5)
    result = ops.linf_step(center, grad, center, eps=0.25, step_size=0.125)
    signs = torch.tensor([[1.0, -1, 1, -1, 0, 0, 1, -1, 0, 1] * 5])
    assert torch.equal(result, 0.5 + 0.125 * signs)


def test_an_infinite_radius_leaves_the_box_to_act(way: str) -> None:
    points = torch.tensor([[-5.0, 0.25, 7.0]])
    result = ops.linf_project(points, torch.full((1, 3), 0.5), eps=math.inf)
    assert torch.equal(result, torch.tensor([[0.0, 0.25, 1.0]]))
    free = ops.linf_project(points, torch.full((1, 3), 0.5), eps=math.inf, low=-math.inf, high=math.inf)
    assert torch.equal(free, points)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_projection_is_idempotent_and_nearest(way: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    center = torch.rand(4, 3, 5, 5, generator=generator, dtype=dtype)
    points = center + torch.randn(4, 3, 5, 5, generator=generator, dtype=dtype)
    once = ops.linf_project(points, center, eps=0.1)
    assert same_bits(ops.linf_project(once, center, eps=0.1), once)
    nearest = torch.minimum(torch.maximum(points, center - 0.1), center + 0.1).clamp(0, 1)
    assert torch.allclose(once, nearest, rtol=0, atol=4 * torch.finfo(dtype).eps)
    assert ((once.double() - center.double()).abs() <= 0.1).all()


def test_a_radius_per_example(way: str) -> None:
    center = torch.full((3, 8), 0.5)
    eps = torch.tensor([0.0, 0.125, math.inf])
    result = ops.linf_step(center, torch.ones(3, 8), center, eps=eps, step_size=torch.tensor([1.0, 1.0, 0.25]))
    assert torch.equal(result, torch.tensor([0.5, 0.625, 0.75])[:, None].expand(3, 8))


def test_a_radius_that_float32_cannot_hold_is_rounded_down(way: str) -> None:
    eps = torch.full((2,), 0.1, dtype=torch.float64)
    assert float(torch.tensor(0.1)) > 0.1
    center = torch.zeros(2, 5)
    for radius in (0.1, eps):
        result = ops.linf_step(center, torch.ones(2, 5), center, eps=radius, step_size=1.0)
        assert (result.double() <= 0.1).all()
        assert (result > 0.0999999).all()


@quick
@given(case=cases())
def test_directed_sums_equal_exact_arithmetic(case: Case) -> None:
    a, b = case.center, rounding.rounded_below(case.eps.clamp(max=1e30), torch.float32)[:, None].expand_as(case.center)
    down, up = rounding.add_down(a, b), rounding.sub_up(a, b)
    above = torch.nextafter(down, torch.full_like(down, math.inf))
    below = torch.nextafter(up, torch.full_like(up, -math.inf))
    for x, e, lower, next_up, upper, next_down in zip(
        *(t.flatten().tolist() for t in (a, b, down, above, up, below)), strict=True
    ):
        assert lower <= Fraction(x) + Fraction(e) < next_up
        assert next_down < Fraction(x) - Fraction(e) <= upper


@pytest.mark.parametrize("value", [0.1, 8 / 255, 1.0, 0.0, 1e-46, 1e39, math.inf, 2.0**-149, 1 / 3])
def test_single_below_is_the_largest_float_below(value: float) -> None:
    for number in (value, -value):
        below = rounding.single_below(number)
        assert below <= number
        assert below == float(torch.tensor(below, dtype=torch.float32))
        if math.isfinite(below):
            assert float(torch.nextafter(torch.tensor(below), torch.tensor(math.inf))) > number
