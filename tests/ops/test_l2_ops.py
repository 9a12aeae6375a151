"""The l2 operators: exact feasibility, accuracy against float64, closed forms, fixed points."""

import math

import pytest
import torch
from hypothesis import given
from torch import Tensor

from featlab import ops
from featlab.ops import reference, rounding

from ops_cases import Case, cases, norms, quick, same_bits


def _step(case: Case, *, native: bool) -> Tensor:
    if native:
        return ops.l2_step(case.points, case.grad, case.center, eps=case.eps, step_size=case.step_size)
    out = torch.full_like(case.points, math.nan)
    radius = rounding.rounded_below(case.eps, torch.float32)
    reference.l2_step(case.points, case.grad, case.center, radius, case.step_size.float(), 0.0, 1.0, out)
    return out


@quick
@given(case=cases())
def test_a_step_is_feasible_without_tolerance(case: Case) -> None:
    for native in (True, False):
        result = _step(case, native=native)
        assert ((result >= 0) & (result <= 1)).all()
        offset = result.double() - case.center.double()
        assert (norms(offset) <= case.eps).all()
        assert (torch.linalg.vector_norm(offset, dim=1) <= case.eps).all()


@quick
@given(case=cases())
def test_kernel_and_definition_agree_to_rounding(case: Case) -> None:
    native, plain = _step(case, native=True), _step(case, native=False)
    assert ((native.double() - plain.double()).abs() <= 2.0**-22).all()


@quick
@given(case=cases())
def test_projection_is_feasible_and_idempotent(case: Case) -> None:
    once = ops.l2_project(case.points, case.center, eps=case.eps)
    assert (norms(once.double() - case.center.double()) <= case.eps).all()
    assert same_bits(ops.l2_project(once, case.center, eps=case.eps), once)


def _plain(points: Tensor, grad: Tensor, center: Tensor, eps: float, step: float) -> Tensor:
    """The usual two normalisations, in the type of the arguments."""
    moved = points + step * grad / grad.flatten(1).norm(dim=1).clamp_min(1e-30)[:, None]
    offset = moved - center
    factor = (eps / offset.flatten(1).norm(dim=1)).clamp(max=1.0)[:, None]
    return (center + offset * factor).clamp(0, 1)


@pytest.mark.parametrize("size", [1, 7, 16, 3072, 30001])
@pytest.mark.parametrize("step", [0.001, 0.1, 5.0])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e15])
def test_the_error_is_at_most_twice_that_of_pytorch(way: str, size: int, step: float, scale: float) -> None:
    generator = torch.Generator().manual_seed(size)
    center = torch.rand(4, size, generator=generator) * 0.8 + 0.1
    points = (center + torch.randn(4, size, generator=generator) * 0.2 / size**0.5).clamp(0, 1)
    grad = torch.randn(4, size, generator=generator) * scale
    exact = _plain(points.double(), grad.double(), center.double(), 0.5, step)
    ours = ops.l2_step(points, grad, center, eps=0.5, step_size=step)
    theirs = _plain(points, grad / scale, center, 0.5, step)
    floor = 2.0**-25 * size**0.5  # half an ulp of every value
    shrinkage = 0.5 * 2.0**-21  # deliberate: what makes the bound hold exactly
    assert norms(ours - exact).max() <= 2 * max(float(norms(theirs - exact).max()), floor) + shrinkage


def test_the_best_step_on_a_linear_score_is_along_its_weights(way: str) -> None:
    weights = torch.tensor([[3.0, -4.0, 0.0]])
    center = torch.full((1, 3), 0.5)
    result = ops.l2_step(center, weights, center, eps=0.25, step_size=100.0)
    assert torch.allclose(result, torch.tensor([[0.65, 0.3, 0.5]]), atol=1e-6)
    inside = ops.l2_step(center, weights, center, eps=0.25, step_size=0.125)
    assert torch.allclose(inside, torch.tensor([[0.575, 0.4, 0.5]]), atol=1e-7)


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf, -math.inf])
def test_zero_and_broken_gradients_move_nothing(way: str, bad: float) -> None:
    generator = torch.Generator().manual_seed(5)
    center = torch.rand(3, 40, generator=generator) * 0.5 + 0.25
    points = center + 0.01 * torch.randn(3, 40, generator=generator)
    grad = torch.randn(3, 40, generator=generator)
    grad[1] = 0.0
    grad[1, 7] = bad
    result = ops.l2_step(points, grad, center, eps=0.5, step_size=0.1)
    assert same_bits(result[1], points[1])
    assert not torch.equal(result[0], points[0])
    assert torch.allclose(norms(result - points)[[0, 2]], torch.tensor(0.1, dtype=torch.float64), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("magnitude", [1e-20, 1e-3, 1e4])
def test_the_length_of_a_gradient_does_not_matter(way: str, dtype: torch.dtype, magnitude: float) -> None:
    if dtype == torch.float16 and magnitude == 1e-20:
        magnitude = 2.0**-20
    grad = (torch.tensor([[3.0, 4.0, 0.0, 0.0]]) * magnitude).to(dtype)
    center = torch.full((1, 4), 0.5)
    result = ops.l2_step(center, grad, center, eps=1.0, step_size=0.25)
    assert torch.allclose(result, torch.tensor([[0.65, 0.7, 0.5, 0.5]]), atol=1e-3 if dtype != torch.float32 else 1e-6)


@pytest.mark.parametrize("magnitude", [1e-200, 1e200, 5e-324])
def test_float64_gradients_outside_the_range_of_their_squares(way: str, magnitude: float) -> None:
    grad = torch.tensor([[magnitude, 0.0]], dtype=torch.float64)
    center = torch.full((1, 2), 0.5)
    result = ops.l2_step(center, grad, center, eps=1.0, step_size=0.25)
    assert torch.allclose(result, torch.tensor([[0.75, 0.5]]), atol=1e-6)


def test_a_step_back_to_the_center_keeps_its_digits(way: str) -> None:
    """The squared length from the three sums cancels here; the bound must hold all the same."""
    center = torch.full((1, 2000), 0.5)
    offset = torch.linspace(-0.3, 0.3, 2000)[None]
    points = center + offset
    length = float(norms(points - center))
    for eps in (1e-3, 1e-6, 1e-12):
        result = ops.l2_step(points, center - points, center, eps=eps, step_size=length * (1 + 1e-7))
        assert float(norms(result.double() - center.double())) <= eps


def test_feasible_points_stay_bit_for_bit(way: str) -> None:
    center = torch.tensor([[1.0, 0.5, 0.25, 1e-30]])
    points = torch.tensor([[1e-30, 0.5, 0.25, 1.0]])
    assert same_bits(ops.l2_project(points, center, eps=1.4143), points)
    assert not torch.equal(ops.l2_project(points, center, eps=1.4), points)
    on_the_sphere = torch.tensor([[0.0, 0.5 + 0.375, 0.25]])
    assert same_bits(ops.l2_project(on_the_sphere, torch.tensor([[0.5, 0.5, 0.25]]), eps=0.625), on_the_sphere)


@pytest.mark.parametrize("eps", [0.0, 2.0**-149, 1e-30, 1e-8, 0.5, 1e30, math.inf])
def test_random_steps_never_leave_the_ball(way: str, eps: float) -> None:
    generator = torch.Generator().manual_seed(6)
    center = torch.rand(3, 501, generator=generator)
    points = center.clone()
    for _ in range(10):
        grad = torch.randn(3, 501, generator=generator)
        ops.l2_step(points, grad, center, eps=eps, step_size=min(eps, 1.0) * 0.7, out=points)
        assert (norms(points.double() - center.double()) <= eps).all()
        assert ((points >= 0) & (points <= 1)).all()


def _worst(
    kind: str, rows: int, size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return points, gradients, centers, radii and step sizes that lead where rounding is most likely to lead out."""

    def normal() -> Tensor:
        return torch.randn(rows, size, generator=generator)

    def uniform() -> Tensor:
        return torch.rand(rows, 1, generator=generator)

    center = torch.rand(rows, size, generator=generator) * 0.5 + 0.25
    if kind == "pixels":
        center = (center * 255).round() / 255
    elif kind == "one sign":  # rounding errors add up where all values move the same way
        center = torch.full_like(center, float(uniform()[0, 0]) * 0.5 + 0.25)
    eps = 10.0 ** (-3 * uniform() - 0.5)
    direction = normal()
    if kind == "one sign":
        direction = direction.abs()
    if kind == "sparse":
        direction = direction * (torch.rand(rows, size, generator=generator) < 0.05)
    offset = direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-9) * eps
    points = center + offset * 2 * uniform()
    # Against the offset and just not cancelled; beside it; with it.
    grad = normal() - direction * 4 * uniform() if kind == "opposed" else normal()
    return points, direction if kind == "one sign" else grad, center, eps[:, 0], (2 * uniform() * eps)[:, 0]


@pytest.mark.parametrize("kind", ["pixels", "one sign", "sparse", "opposed"])
@pytest.mark.parametrize(("rows", "size"), [(60000, 3), (20000, 16), (600, 700)])
def test_a_million_values_never_leave_the_ball(kind: str, rows: int, size: int) -> None:
    """The length in float64, whose own rounding is a hundred-thousandth of the factor that shrinks steps."""
    points, grad, center, eps, step_size = _worst(kind, rows, size, torch.Generator().manual_seed(size))
    step = ops.l2_step(points, grad, center, eps=eps, step_size=step_size, low=-9.0, high=9.0)
    inside = ops.l2_project(points, center, eps=eps, low=-9.0, high=9.0)
    for result in (step, inside):
        lengths = torch.linalg.vector_norm(result.double() - center.double(), dim=1)
        assert (lengths <= eps.double()).all()
    assert (lengths > eps.double() * (1 - 1e-3)).float().mean() > 0.02, "the bound should be reached"


@pytest.mark.parametrize("eps", [1e-3, 0.5, 10.0])
def test_float64_points_are_feasible_too(eps: float) -> None:
    generator = torch.Generator().manual_seed(7)
    center = torch.rand(3, 1001, generator=generator, dtype=torch.float64)
    grad = torch.randn(3, 1001, generator=generator, dtype=torch.float64)
    result = ops.l2_step(center, grad, center, eps=eps, step_size=2 * eps, low=-math.inf, high=math.inf)
    lengths = norms(result - center)
    assert (lengths <= eps).all()
    assert (lengths >= eps * (1 - 1e-9)).all()
