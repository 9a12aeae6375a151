"""The sparse operators: exact feasibility, conditions of optimality, brute force, who is chosen, random bits."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from featlab import ops

from ops_cases import Case, bits, cases, norms, quick, same_bits


def plain(name: str, *arguments: Tensor, **options: object) -> Tensor:
    """Run the definition."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("featlab.ops.native.is_native", lambda *_: False)
        return getattr(ops, name)(*arguments, **options)


def both(name: str, *arguments: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    return getattr(ops, name)(*arguments, **options), plain(name, *arguments, **options)


def sums(offset: Tensor) -> Tensor:
    """Return the l1 norm of each row by the exactly rounded sum."""
    return torch.tensor([math.fsum(map(abs, row)) for row in offset.double().flatten(1).tolist()], dtype=torch.float64)


LENGTHS = {"l1_project": sums, "l2_box_project": norms}


def some(batch: int, size: int, *, seed: int = 0, spread: float = 0.3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    center = torch.rand(batch, size, generator=generator)
    return center + spread * torch.randn(batch, size, generator=generator), center


def nearest(name: str, points: Tensor, center: Tensor, eps: Tensor) -> Tensor:
    """Return the projection in float64, by two hundred bisections of the multiplier."""
    offset = points.double() - center.double()
    distance, room = offset.abs(), torch.where(offset > 0, 1 - center.double(), center.double())

    def within(lam: Tensor) -> Tensor:
        moved = (distance - lam).clamp(min=0) if name == "l1_project" else distance / (1 + lam)
        return torch.minimum(moved, room)

    def length(values: Tensor) -> Tensor:
        return values.sum(1, keepdim=True) if name == "l1_project" else values.norm(dim=1, keepdim=True)

    low = torch.zeros(len(points), 1, dtype=torch.float64)
    high = low + (distance.max() + 1) * (1 if name == "l1_project" else 1e9)
    for _ in range(200):
        middle = (low + high) / 2
        above = length(within(middle)) > eps.double().reshape(-1, 1)
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return center.double() + offset.sign() * within(high)


@pytest.mark.parametrize("name", LENGTHS)
@quick
@given(case=cases())
def test_projections_are_feasible_without_tolerance_and_idempotent(name: str, case: Case) -> None:
    for once in both(name, case.points, case.center, eps=case.eps):
        offset = once.double() - case.center.double()
        assert ((once >= 0) & (once <= 1)).all()
        assert (LENGTHS[name](offset) <= case.eps).all()
        assert (torch.linalg.vector_norm(offset, ord=1 if name == "l1_project" else 2, dim=1) <= case.eps).all()
        for again in both(name, once, case.center, eps=case.eps):
            assert same_bits(again, once)


@quick
@given(case=cases(), count=st.integers(0, 20))
def test_steps_are_feasible_without_tolerance(case: Case, count: int) -> None:
    arguments = (case.points, case.grad, case.center)
    for result in both("l1_step", *arguments, eps=case.eps, step_size=case.step_size, count=count):
        assert (sums(result.double() - case.center.double()) <= case.eps).all()
        assert ((result >= 0) & (result <= 1)).all()
    for result in both("l0_step", *arguments, count=count, step_size=case.step_size):
        assert ((result != case.center).sum(dim=1) <= count).all()
        assert ((result >= 0) & (result <= 1)).all()


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("eps", [1e-3, 0.1, 1.0, 12.0, 100.0, 1e4])
@pytest.mark.parametrize("spread", [1e-3, 0.1, 1.0, 100.0])
def test_projections_meet_the_conditions_of_karush_kuhn_and_tucker(
    way: str, name: str, eps: float, spread: float
) -> None:
    for size in (1, 5, 16, 1003):
        points, center = some(4, size, spread=spread)
        result = getattr(ops, name)(points, center, eps=eps)
        exact = nearest(name, points, center, torch.full((4,), eps))
        # An ulp of the value; the multiplier feels the radius that was left out so that the bound holds exactly.
        assert (result - exact).abs().max() <= 2.0**-23 + 2.0**-25 * eps


@pytest.mark.parametrize("name", LENGTHS)
def test_projections_reach_the_surface_and_use_float64(name: str) -> None:
    points, center = some(3, 1001, seed=3)
    double = getattr(ops, name)(points.double(), center.double(), eps=5.0)
    lengths = LENGTHS[name](double - center.double())
    assert ((lengths <= 5.0) & (lengths >= 5.0 * (1 - 1e-11))).all()
    assert (double - nearest(name, points, center, torch.full((3,), 5.0))).abs().max() <= 1e-11


@pytest.mark.parametrize("name", LENGTHS)
def test_no_point_of_a_grid_is_nearer(way: str, name: str) -> None:
    """Brute force in two dimensions, the points inside and outside the box."""
    steps = torch.linspace(0, 1, 201, dtype=torch.float64)
    grid = torch.cartesian_prod(steps, steps)
    center = torch.tensor([[0.9, 0.25]])
    inside = (grid - center).norm(p=1 if name == "l1_project" else 2, dim=1) <= 0.375
    for x, y in itertools.product([-2.0, 0.1, 0.6, 1.7], repeat=2):
        point = torch.tensor([[x, y]])
        result = getattr(ops, name)(point, center, eps=0.375).double()
        best = (grid[inside] - point).norm(dim=1).min()
        assert (result - point).norm() <= best + 1e-6


@pytest.mark.parametrize("name", LENGTHS)
def test_feasible_examples_stay_bit_for_bit_and_the_box_alone_cuts(way: str, name: str) -> None:
    center = torch.tensor([[0.5, 0.5, 0.25, 1e-30], [0.5, 0.5, 1.0, 0.0]])
    points = torch.tensor([[0.75, 0.375, 0.25, -0.0], [0.5, 0.75, 1.5, -0.0]])
    eps = 0.375 if name == "l1_project" else 0.3
    result = getattr(ops, name)(points, center, eps=eps)
    assert same_bits(result, torch.tensor([[0.75, 0.375, 0.25, -0.0], [0.5, 0.75, 1.0, -0.0]]))
    assert not torch.equal(getattr(ops, name)(points, center, eps=eps * 0.7), points)


@pytest.mark.parametrize("name", LENGTHS)
def test_extreme_points_end_inside(way: str, name: str) -> None:
    center = torch.full((4, 3), 0.5)
    points = torch.tensor([[math.inf, 0.0, 1.0], [-math.inf, math.inf, 0.5], [3e38, -3e38, 3e38], [1e20, 0.6, 0.4]])
    result = getattr(ops, name)(points, center, eps=0.25)
    assert ((result >= 0) & (result <= 1)).all()
    assert (LENGTHS[name](result - center) <= 0.25).all()
    broken = torch.tensor([[math.nan, 0.6, 0.5], [2.0, 0.5, 0.5]])
    spoilt = getattr(ops, name)(broken, center[:2], eps=0.125)
    assert spoilt[0].isnan().all()
    assert torch.allclose(spoilt[1], torch.tensor([0.625, 0.5, 0.5]), rtol=0, atol=2.0**-23)


@pytest.mark.parametrize("name", ["l1_step", "l1_project", "l2_box_project"])
@pytest.mark.parametrize("size", [1, 7, 16, 300, 5003])
def test_kernel_and_definition_agree_to_rounding(name: str, size: int) -> None:
    points, center = some(4, size, seed=size)
    grad = torch.randn(4, size, generator=torch.Generator().manual_seed(size))
    eps = torch.tensor([0.0, 0.1, 1.0, 20.0])
    step = {"step_size": torch.tensor([0.5, 1.0, 2.0, 0.1]), "count": torch.tensor([1, 3, 8, 900])}
    arguments, options = ((points, grad, center), step) if name == "l1_step" else ((points, center), {})
    native, definition = both(name, *arguments, eps=eps, **options)
    assert ((native.double() - definition.double()).abs() <= 2.0**-23).all()


@pytest.mark.parametrize(("size", "channels"), [(300, 1), (300, 3), (4096, 1), (9001, 1), (15000, 3)])
@pytest.mark.parametrize("name", ["l0_project", "l0_step"])
def test_kernel_and_definition_choose_the_same_values(name: str, size: int, channels: int) -> None:
    points, center = some(5, size, seed=9, spread=1.0)
    points[3:] = (4 * points[3:]).round() / 4  # ties
    center[3:] = 0.5
    grad = torch.randn(5, size, generator=torch.Generator().manual_seed(1))
    options = {"count": torch.tensor([0, 7, 100000, size // channels // 2, size // channels - 1]), "channels": channels}
    arguments = (points, center) if name == "l0_project" else (points, grad, center)
    options |= {} if name == "l0_project" else {"step_size": 3.0}
    native, definition = both(name, *arguments, **options)
    assert same_bits(native, definition)


@pytest.mark.parametrize("size", [4095, 4096, 4097, 20000])
def test_ties_are_chosen_in_order_over_all_of_a_large_example(way: str, size: int) -> None:
    grad = (torch.arange(size) % 3).float().repeat(3, 1)
    center = torch.full((3, size), 0.5)
    count = torch.tensor([size // 3 + size // 6, 5, size])
    result = ops.l1_step(center, grad, center, eps=math.inf, step_size=float(size) / 4, count=count)
    twos, ones = (grad[0] == 2).nonzero()[:, 0], (grad[0] == 1).nonzero()[:, 0]
    for row, number in enumerate(count.tolist()):
        expected = torch.cat([twos[:number], ones[: max(number - len(twos), 0)]]).sort().values
        assert torch.equal((result[row] != center[row]).nonzero()[:, 0], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_step_moves_the_largest_and_of_equals_the_first(way: str, dtype: torch.dtype) -> None:
    grad = torch.tensor([[0.5, -2.0, 1.0, 1.0, math.nan, 0.0, -1.0, math.inf]], dtype=dtype)
    center = torch.full((1, 8), 0.5)
    order = [7, 1, 2, 3, 6, 0]  # NaN and zero never move
    for count in range(9):
        moved = order[: min(count, 6)]
        expected = center.clone()
        for index in moved:
            expected[0, index] += 0.25 / len(moved) * (1 if grad[0, index] > 0 else -1)
        result = ops.l1_step(center, grad, center, eps=1.0, step_size=0.25, count=count)
        assert torch.allclose(result, expected, rtol=0, atol=2.0**-24)
        assert (result != center)[0].nonzero()[:, 0].tolist() == sorted(moved)


def test_what_is_pinned_at_the_box_leaves_its_turn_to_others(way: str) -> None:
    center = torch.tensor([[1.0, 0.0, 0.5, 0.5, 1.0]])
    grad = torch.tensor([[9.0, -8.0, 1.0, -0.5, -0.25]])
    result = ops.l1_step(center, grad, center, eps=1.0, step_size=0.5, count=2)
    assert torch.equal(result, torch.tensor([[1.0, 0.0, 0.75, 0.25, 1.0]]))
    free = ops.l1_step(center, grad, center, eps=1.0, step_size=0.5, count=2, low=-5.0, high=5.0)
    assert torch.equal(free, torch.tensor([[1.25, -0.25, 0.5, 0.5, 1.0]]))


@quick
@given(st.lists(st.sampled_from([0.0, 1e-40, 1e-3, 0.1, 0.1000001, 1.0, 3e38]), min_size=1, max_size=40), st.data())
def test_exactly_so_many_move(keys: list[float], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(keys) + 2))
    grad = torch.tensor([keys])
    center = torch.full(grad.shape, 0.5)
    order = sorted(range(len(keys)), key=lambda i: (-grad[0, i].item(), i))
    expected = sorted(i for i in order[:count] if grad[0, i] > 0)
    for result in both("l1_step", center, grad, center, eps=math.inf, step_size=0.25 * len(keys), count=count):
        assert (result != center)[0].nonzero()[:, 0].tolist() == expected


def test_l0_keeps_what_brings_it_nearest(way: str) -> None:
    """Brute force over all subsets; outside the box a long way to a near bound gains little."""
    generator = torch.Generator().manual_seed(2)
    center = torch.rand(1, 6, generator=generator)
    for _ in range(20):
        points = center + 2 * torch.randn(1, 6, generator=generator)
        for count in range(7):
            result = ops.l0_project(points, center, count=count)
            rivals = []
            for chosen in itertools.combinations(range(6), count):
                rival = center.clone()
                rival[:, list(chosen)] = points[:, list(chosen)].clamp(0, 1)
                rivals.append(float((rival.double() - points.double()).norm()))
            assert (result != center).sum() <= count
            assert float((result.double() - points.double()).norm()) <= min(rivals) + 1e-12


def test_l0_counts_pixels(way: str) -> None:
    center = torch.zeros(1, 3, 2, 2)
    points = torch.zeros(1, 3, 2, 2)
    points[0, :, 0, 1] = 0.5  # three small changes weigh more than a large one
    points[0, 0, 1, 1] = 0.75
    points[0, 2, 1, 0] = 0.125
    result = ops.l0_project(points, center, count=1, channels=3)
    assert torch.equal(result, torch.where(points == 0.5, points, 0.0))
    two = ops.l0_project(points, center, count=2, channels=3)
    assert torch.equal(two, torch.where(points == 0.125, 0.0, points))
    single = ops.l0_project(points, center, count=1)
    assert torch.equal(single, torch.where(points == 0.75, points, 0.0))


def test_feasible_l0_examples_stay_bit_for_bit(way: str) -> None:
    center = torch.tensor([[0.0, 0.25, 0.5, 1.0]])
    points = torch.tensor([[-0.0, 0.75, 0.5, 0.0]])
    assert same_bits(ops.l0_project(points, center, count=2), points)


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_zero_and_broken_gradients_move_nothing_in_l0(way: str, bad: float) -> None:
    center = torch.full((2, 9), 0.5)
    points = center.clone()
    points[:, 3] = 0.75
    grad = torch.ones(2, 9)
    grad[1] = 0.0
    grad[1, 2] = bad
    result = ops.l0_step(points, grad, center, count=2, step_size=0.5)
    assert same_bits(result[1], points[1])
    assert not torch.equal(result[0], points[0])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 31])
@pytest.mark.parametrize("eps", [0.0, 8 / 255, 0.5, 40.0, math.inf])
def test_kernel_and_definition_draw_the_same(size: int, eps: float) -> None:
    center = torch.rand(6, size, generator=torch.Generator().manual_seed(size))
    key = {"seed": 11, "examples": torch.tensor([3, 0, -1, 2**40, 7, 7]), "restart": 2}
    assert same_bits(*both("l1_sample", center, eps=eps, **key))
    assert same_bits(*both("l0_sample", center, count=size // 2, **key))
    assert same_bits(*both("l0_sample", center.repeat(1, 3), count=1, channels=3, **key))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("eps", [2.0**-149, 1e-9, 8 / 255, 1.0, 10.0])
def test_samples_are_in_the_set(way: str, dtype: torch.dtype, eps: float) -> None:
    center = torch.rand(5, 3, 7, 7, generator=torch.Generator().manual_seed(1), dtype=dtype)
    for restart in range(3):
        key = {"seed": 11, "examples": torch.arange(5), "restart": restart}
        ball = ops.l1_sample(center, eps=eps, **key)
        assert (sums(ball.double() - center.double()) <= eps).all()
        few = ops.l0_sample(center, count=4, channels=3, **key)
        assert ((few != center).any(dim=1).flatten(1).sum(dim=1) == 4).all()
        assert all(((drawn >= 0) & (drawn <= 1)).all() for drawn in (ball, few))


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_l1_samples_are_uniform_in_the_ball(way: str, size: int) -> None:
    key = {"seed": 5, "examples": torch.arange(20000)}
    drawn = ops.l1_sample(torch.zeros(20000, size), eps=2.0, low=-9.0, high=9.0, **key).double()
    share = (drawn.abs().sum(dim=1) / 2) ** size  # of the volume inside: uniform in (0, 1)
    steps = torch.linspace(0, 1, len(drawn), dtype=torch.float64)
    assert (share.sort().values - steps).abs().max() < 2.5 / math.sqrt(len(drawn))
    variance = 8 / ((size + 1) * (size + 2))  # of a coordinate
    assert drawn.mean(dim=0).abs().max() < 5 * math.sqrt(variance / len(drawn))
    covariance = drawn.T @ drawn / len(drawn)
    assert (covariance - variance * torch.eye(size)).abs().max() < 10 * variance / math.sqrt(len(drawn))


def test_l0_samples_choose_every_pixel_equally_often(way: str) -> None:
    center = torch.full((20000, 12), 0.5)
    drawn = ops.l0_sample(center, count=3, seed=5, examples=torch.arange(20000))
    moved = drawn != center
    assert (moved.sum(dim=1) == 3).all()
    assert (moved.double().mean(dim=0) - 0.25).abs().max() < 5 * math.sqrt(0.25 * 0.75 / 20000)
    values = drawn[moved].double()
    assert abs(values.mean() - 0.5) < 5 / math.sqrt(12 * len(values))
    assert abs(values.square().mean() - 1 / 3) < 5 * math.sqrt(4 / 45 / len(values))


def test_an_infinite_radius_means_the_box(way: str) -> None:
    center = torch.rand(10, 100, generator=torch.Generator().manual_seed(1))
    drawn = ops.l1_sample(center, eps=math.inf, seed=1, examples=torch.arange(10), low=0.25, high=0.75)
    assert ((drawn >= 0.25) & (drawn <= 0.75)).all()
    assert drawn.mean() == pytest.approx(0.5, abs=0.05)
    points = torch.tensor([[-3.0, 0.5, 7.0]])
    assert torch.equal(ops.l1_project(points, center[:1, :3], eps=math.inf), points.clamp(0, 1))


@pytest.mark.parametrize("name", ["l1_step", "l0_step"])
def test_ties_fall_in_the_logical_order_whatever_the_memory_format(way: str, name: str) -> None:
    center = torch.full((2, 3, 4, 4), 0.5)
    grad = torch.ones(2, 3, 4, 4)
    options = {"count": 7, "step_size": 1.0} | ({"eps": 9.0} if name == "l1_step" else {})
    expected = getattr(ops, name)(center, grad, center, **options)
    assert (expected != center).flatten(1)[:, :7].all()
    last = torch.channels_last
    moved = getattr(ops, name)(center.to(memory_format=last), grad, center.to(memory_format=last), **options)
    assert torch.equal(moved, expected)
    assert moved.is_contiguous(memory_format=last)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": -1}, "count must be a whole number"),
        ({"count": 1.5}, "count must be a whole number"),
        ({"count": torch.ones(2)}, "count must be a tensor of integers"),
        ({"count": torch.ones(3, dtype=torch.int64)}, "count must be one number or one for each of 2"),
        ({"count": 1, "channels": 4}, "channels must divide the 6 values"),
        ({"count": 1, "low": 1.0, "high": 0.0}, "low must not exceed high"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, object], message: str) -> None:
    center = torch.rand(2, 6)
    with pytest.raises(ValueError, match=message):
        ops.l0_project(center, center, **options)


def test_the_bits_of_an_untouched_center_are_kept(way: str) -> None:
    center = torch.tensor([[0.0, 1.0, 1e-40, 1e-30]])
    result = ops.l1_project(torch.tensor([[0.5, 0.5, 0.4, 0.3]]), center, eps=0.0)
    assert torch.equal(bits(result), bits(center))
