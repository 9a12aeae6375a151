"""Total variation: closed forms, its gradient, every layout, invariance, what is refused."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from featlab import ops
from featlab.ops import reference

from ops_cases import quick, same_bits

FORMS = ["l1", "l2", "huber"]


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def plain(images: Tensor, form: str, delta: float) -> Tensor:
    """The formula, with PyTorch's own pieces."""
    total = torch.zeros(len(images), dtype=images.dtype)
    for d in (images[..., 1:] - images[..., :-1], images[..., 1:, :] - images[..., :-1, :]):
        cost = {"l1": d.abs(), "l2": d.square()}.get(form)
        if cost is None:
            cost = torch.nn.functional.huber_loss(d, torch.zeros_like(d), reduction="none", delta=delta) / delta
        total = total + cost.flatten(1).sum(dim=1)
    return total


def test_what_a_step_and_a_ramp_cost(way: str) -> None:
    step = torch.zeros(1, 1, 4, 6)
    step[..., 3:] = 0.5
    assert ops.total_variation(step).item() == 4 * 0.5
    assert ops.total_variation(step, form="l2").item() == 4 * 0.25
    assert ops.total_variation(step, form="huber", delta=0.25).item() == 4 * (0.5 - 0.125)
    ramp = (torch.arange(6) / 8).expand(1, 1, 4, 6)
    assert ops.total_variation(ramp, form="huber", delta=0.25).item() == 4 * 5 * (1 / 64) / 0.5
    assert ops.total_variation(torch.full((2, 3, 5, 7), 0.3)).tolist() == [0.0, 0.0]
    assert ops.total_variation(torch.rand(2, 3, 1, 1)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (2, 1, 1, 6), (2, 2, 6, 1), (3, 4, 5), (1, 2, 2, 3, 4)])
def test_the_gradient_is_that_of_the_formula(way: str, form: str, shape: tuple[int, ...]) -> None:
    images, weight = pictures(*shape), torch.linspace(0.5, 3.0, shape[0])
    exact = images.double().requires_grad_()
    expected = plain(exact, form, 0.2) * weight.double()
    (slope,) = torch.autograd.grad(expected.sum(), exact)
    moved = images.clone().requires_grad_()
    value = ops.total_variation(moved, weight=weight, form=form, delta=0.2)
    value.sum().backward()
    torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(moved.grad.double(), slope, rtol=1e-5, atol=2e-6)
    both = ops.total_variation_slope(images, weight=weight, form=form, delta=0.2)
    assert same_bits(both[0], value.detach())
    assert same_bits(both[1], moved.grad)


@pytest.mark.parametrize("form", FORMS)
def test_gradcheck_in_float64(form: str) -> None:
    images = pictures(2, 2, 4, 5).double().requires_grad_()  # no two neighbours are equal, where |d| has no slope
    weight = torch.tensor([0.5, 2.0])
    assert torch.autograd.gradcheck(lambda x: ops.total_variation(x, weight=weight, form=form, delta=0.3), images)


@quick
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(1, 40)),
    form=st.sampled_from([0, 1, 2]),
    delta=st.sampled_from([1e-6, 0.01, 0.3, 5.0]),
    levels=st.sampled_from([1, 3, 255, 10**6]),
    last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_kernel_and_definition_give_the_same_slope(
    shape: tuple[int, ...], form: int, delta: float, levels: int, last: bool, seed: int
) -> None:
    images = (pictures(*shape, seed=seed) * levels).round() / levels
    images = images.to(memory_format=torch.channels_last) if last else images
    weight = torch.tensor([1 / 3])
    ours, theirs = torch.full_like(images, math.nan), torch.full_like(images, math.nan)
    value, expected = torch.empty(shape[0]), torch.empty(shape[0])
    torch.ops.featlab.total_variation(images, weight, form, delta, value, ours)
    reference.total_variation(images, weight, form, delta, expected, theirs)
    assert same_bits(ours, theirs)
    torch.testing.assert_close(value, expected, rtol=3e-7, atol=1e-30)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 3, 224, 224), (2, 1, 7, 4001)])
def test_the_error_of_the_value_is_at_most_twice_that_of_pytorch(way: str, form: str, shape: tuple[int, ...]) -> None:
    images = pictures(*shape)
    exact = plain(images.double(), form, 0.1)
    ours = (ops.total_variation(images, form=form, delta=0.1).double() - exact).abs()
    theirs = (plain(images, form, 0.1).double() - exact).abs()
    assert (ours <= 2 * theirs + 2.0**-23 * exact).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2), (1, 0, 2, 3), (3, 2, 1, 0)])
def test_the_memory_format_does_not_matter(way: str, form: str, order: tuple[int, ...]) -> None:
    images = pictures(3, 2, 5, 37)
    inverse = sorted(range(4), key=order.__getitem__)
    value, slope = ops.total_variation_slope(images, form=form)
    other, turned = ops.total_variation_slope(images.permute(order).contiguous().permute(inverse), form=form)
    torch.testing.assert_close(other, value, rtol=2e-7, atol=0)
    assert same_bits(turned.contiguous(), slope)
    wide = pictures(3, 2, 5, 74)
    _, spaced = ops.total_variation_slope(wide[..., ::2], form=form)
    assert same_bits(spaced, ops.total_variation_slope(wide[..., ::2].contiguous(), form=form)[1])


@pytest.mark.parametrize("shape", [(5, 3, 4, 5), (5, 3, 64, 65)])
def test_results_depend_neither_on_the_batch_nor_on_the_threads(way: str, shape: tuple[int, ...]) -> None:
    images, weight = pictures(*shape), torch.linspace(0.1, 2.0, 5)
    value, slope = ops.total_variation_slope(images, weight=weight)
    for rows in ([0], [1, 2], [4, 3]):
        part = ops.total_variation_slope(images[rows], weight=weight[rows])
        assert same_bits(part[0], value[rows])
        assert same_bits(part[1], slope[rows])
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert same_bits(ops.total_variation_slope(images, weight=weight)[0], value)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4), (2, 3, 4, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_varies_in_nothing(way: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    images = torch.empty(shape, dtype=dtype, requires_grad=True)
    value = ops.total_variation(images)
    assert value.tolist() == [0.0] * shape[0]
    assert value.dtype == dtype
    value.sum().backward()
    assert images.grad.shape == shape


def test_a_nan_stays_where_it_is(way: str) -> None:
    images = pictures(2, 1, 6, 6)
    images[0, 0, 3, 3] = math.nan
    value, slope = ops.total_variation_slope(images, form="l2")
    assert value.isnan().tolist() == [True, False]
    assert slope[0, 0, 0, 0].isfinite()
    assert slope[1].isfinite().all()
    assert slope.isnan().sum() == 5  # itself and its four neighbours


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # opcheck itself looks at it
@pytest.mark.parametrize("form", [0, 1, 2])
@pytest.mark.parametrize("wanted", [True, False])
def test_opcheck(form: int, wanted: bool) -> None:
    for images in (
        pictures(2, 3, 4, 5),
        pictures(2, 3, 4, 5).to(memory_format=torch.channels_last),
        pictures(0, 1, 2, 2),
    ):
        slope = torch.empty_like(images) if wanted else torch.empty(0)
        arguments = (images, torch.ones(1), form, 0.1, torch.empty(len(images)), slope)
        torch.library.opcheck(torch.ops.featlab.total_variation.default, arguments)


def test_one_graph_under_torch_compile() -> None:
    images = pictures(2, 3, 4, 5).requires_grad_()

    def score(x: Tensor) -> Tensor:
        return ops.total_variation(x * 2, form="huber").square().sum()

    (plainly,) = torch.autograd.grad(score(images), images)
    (compiled,) = torch.autograd.grad(torch.compile(score, fullgraph=True, backend="aot_eager")(images), images)
    assert same_bits(plainly, compiled)


def test_a_second_derivative_is_refused_and_not_zero() -> None:
    images = pictures(1, 1, 3, 3).requires_grad_()
    with pytest.raises(NotImplementedError, match="total_variation is differentiable once"):
        torch.autograd.grad(ops.total_variation(images, form="l2").sum(), images, create_graph=True)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (torch.rand(3, 4), {}, r"\(batch, ..., height, width\); got torch.float32 of shape \(3, 4\)"),
        (torch.rand(1, 1, 2, 2).half(), {}, "got torch.float16"),
        (torch.rand(2, 1, 2, 2), {"weight": torch.ones(3)}, r"one for each of 2 examples; got shape \(3,\)"),
        (torch.rand(2, 1, 2, 2), {"form": "l3"}, "form must be one of l1, l2, huber; got 'l3'"),
        (torch.rand(2, 1, 2, 2), {"delta": 0.0}, "delta must be positive"),
        (torch.rand(2, 1, 2, 2), {"delta": math.nan}, "delta must be positive"),
    ],
)
def test_what_is_refused(images: Tensor, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.total_variation(images, **options)
