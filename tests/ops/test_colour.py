"""Decorrelated colours: the formula, its gradient, types and layouts, what is refused."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from featlab import ops
from featlab.ops import reference

from ops_cases import quick, same_bits

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FORMATS = [torch.contiguous_format, torch.channels_last]


def points(*shape: int, seed: int = 0, scale: float = 3.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def plain(x: Tensor, matrix: Tensor) -> Tensor:
    """The formula, with PyTorch's own pieces."""
    mean, std = (torch.tensor(v, dtype=x.dtype).reshape(3, 1, 1) for v in (MEAN, STD))
    return (torch.sigmoid(torch.einsum("cd,bdhw->bchw", matrix.to(x.dtype), x)) - mean) / std


def test_the_matrix_is_the_published_one() -> None:
    matrix = ops.imagenet_colours()
    assert matrix.norm(dim=0).max().item() == pytest.approx(1.0)
    published = torch.tensor([[0.5629, 0.1948, 0.0433], [0.5845, 0.0, -0.1082], [0.5845, -0.1948, 0.0649]])
    torch.testing.assert_close(matrix.float(), published, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("here", FORMATS)
@pytest.mark.parametrize("there", [torch.preserve_format, *FORMATS])
@pytest.mark.parametrize("sides", [(1, 1), (5, 7), (32, 33)])
def test_forward_and_backward_are_the_formula(
    way: str, dtype: torch.dtype, here: torch.memory_format, there: torch.memory_format, sides: tuple[int, int]
) -> None:
    matrix = ops.imagenet_colours()
    x = points(3, 3, *sides).to(memory_format=here).requires_grad_()
    upstream = points(3, 3, *sides, seed=1, scale=1.0).to(dtype)
    shown = ops.colour(x, mean=MEAN, std=STD, dtype=dtype, memory_format=there)
    assert shown.dtype == dtype
    assert shown.is_contiguous(memory_format=here if there == torch.preserve_format else there)
    (grad,) = torch.autograd.grad(shown, x, upstream)
    exact = x.detach().double().requires_grad_()
    expected = plain(exact, matrix)
    (slope,) = torch.autograd.grad(expected, exact, upstream.double())
    if dtype == torch.bfloat16:  # the nearest one, but where the float32 result is next to a tie
        assert (shown.double() - expected).abs().div(expected.abs() + 1e-3).max() <= 2.0**-8
    else:
        assert (shown.double() - expected).abs().max() <= 2e-6
    assert grad.is_contiguous(memory_format=here)
    assert (grad.double() - slope).abs().max() <= 2e-6


def test_the_error_is_at_most_twice_that_of_pytorch(way: str) -> None:
    matrix, x = ops.imagenet_colours(), points(4, 3, 64, 64)
    exact = plain(x.double(), matrix)
    ours = (ops.colour(x, mean=MEAN, std=STD).double() - exact).abs()
    theirs = (plain(x, matrix).double() - exact).abs()
    assert ours.max() <= 2 * theirs.max()
    assert ours.mean() <= 2 * theirs.mean()


@quick
@given(
    values=st.lists(
        st.floats(-200, 200, width=32) | st.sampled_from([0.0, -0.0, 88.5, -88.5, 3e38, -3e38]), min_size=3
    ),
    seed=st.integers(0, 99),
)
def test_kernel_and_definition_agree(values: list[float], seed: int) -> None:
    count = len(values) // 3
    x = torch.tensor(values[: 3 * count]).reshape(1, 3, 1, count)
    matrix = torch.eye(3) + 0.1 * points(3, 3, seed=seed, scale=1.0)
    constants = (matrix, torch.tensor(MEAN), torch.tensor(STD))
    ours, theirs = torch.full_like(x, math.nan), torch.full_like(x, math.nan)
    torch.ops.featlab.colour(x, *constants, ours)
    reference.colour(x, *constants, theirs)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=2e-6)
    torch.ops.featlab.colour_backward(x.sign(), x, matrix, constants[2], ours)
    reference.colour_backward(x.sign(), x, matrix, constants[2], theirs)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=2e-6)


def test_gradcheck_in_float64() -> None:
    x = points(2, 3, 2, 3, scale=1.0).double().requires_grad_()
    matrix = points(3, 3, seed=2, scale=1.0)
    assert torch.autograd.gradcheck(lambda x: ops.colour(x, matrix=matrix, mean=MEAN, std=STD), x)


def test_without_arguments_colours_lie_between_zero_and_one(way: str) -> None:
    shown = ops.colour(points(2, 3, 9, 9, scale=1000.0))
    assert ((shown >= 0) & (shown <= 1)).all()
    assert torch.equal(ops.colour(torch.zeros(1, 3, 2, 2)), torch.full((1, 3, 2, 2), 0.5))
    lost = torch.zeros(1, 3, 1, 2)
    lost[0, 1, 0, 0] = math.nan
    assert ops.colour(lost).isnan()[0, :, 0].tolist() == [[True, False]] * 3
    assert ops.colour(lost, dtype=torch.bfloat16).isnan()[0, :, 0].tolist() == [[True, False]] * 3


def test_results_depend_neither_on_the_batch_nor_on_the_threads_nor_on_the_layout(way: str) -> None:
    x = points(5, 3, 67, 61)
    whole = ops.colour(x, mean=MEAN, std=STD)
    assert same_bits(ops.colour(x[[1, 4]], mean=MEAN, std=STD), whole[[1, 4]])
    other = ops.colour(x.to(memory_format=torch.channels_last), mean=MEAN, std=STD)
    assert same_bits(other.contiguous(), whole)
    assert same_bits(ops.colour(x.transpose(2, 3), mean=MEAN, std=STD).transpose(2, 3).contiguous(), whole)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert same_bits(ops.colour(x, mean=MEAN, std=STD), whole)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 3, 0, 4)])
def test_nothing_in_nothing_out(way: str, shape: tuple[int, ...]) -> None:
    x = torch.empty(shape, requires_grad=True)
    shown = ops.colour(x, dtype=torch.bfloat16)
    shown.sum().backward()
    assert shown.shape == x.grad.shape == shape


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # opcheck itself looks at it
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("form", FORMATS)
def test_opcheck(dtype: torch.dtype, form: torch.memory_format) -> None:
    x, out = points(2, 3, 4, 5), torch.empty(2, 3, 4, 5, dtype=dtype).to(memory_format=form)
    constants = (torch.eye(3), torch.zeros(3), torch.ones(3))
    torch.library.opcheck(torch.ops.featlab.colour.default, (x, *constants, out))
    torch.library.opcheck(
        torch.ops.featlab.colour_backward.default, (out.zero_(), x, torch.eye(3), torch.ones(3), torch.empty_like(x))
    )


def test_one_graph_under_torch_compile() -> None:
    x = points(2, 3, 4, 5).requires_grad_()

    def score(x: Tensor) -> Tensor:
        return ops.colour(x, dtype=torch.bfloat16).float().square().sum()

    (plainly,) = torch.autograd.grad(score(x), x)
    (compiled,) = torch.autograd.grad(torch.compile(score, fullgraph=True, backend="aot_eager")(x), x)
    assert same_bits(plainly, compiled)


def test_a_second_derivative_is_refused_and_not_zero() -> None:
    x = points(1, 3, 3, 3).requires_grad_()
    with pytest.raises(NotImplementedError, match="colour is differentiable once"):
        torch.autograd.grad(ops.colour(x).sum(), x, create_graph=True)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (torch.rand(3, 4, 4), {}, r"must be float32 or float64 of shape \(batch, channels, height, width\)"),
        (torch.rand(1, 3, 2, 2).half(), {}, "got torch.float16"),
        (torch.rand(1, 1, 2, 2), {}, "must have 3 channels; got 1"),
        (torch.rand(1, 3, 2, 2), {"matrix": torch.eye(2)}, r"matrix must have shape \(3, 3\); got \(2, 2\)"),
        (torch.rand(1, 3, 2, 2), {"mean": 0.5}, r"mean must have shape \(3,\)"),
        (torch.rand(1, 3, 2, 2), {"dtype": torch.float16}, "float32 or bfloat16; got torch.float16"),
    ],
)
def test_what_is_refused(x: Tensor, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.colour(x, **options)
