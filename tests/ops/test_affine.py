"""Affine maps of pictures: known maps, the transpose, random draws, invariance, what is refused."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from featlab import ops
from featlab.ops import reference
from featlab.ops.affine import random_theta

from ops_cases import quick, same_bits

PADDINGS = ["zero", "edge"]
IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def maps(count: int, *, seed: int, size: float = 0.4, shift: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor([size, size, shift, size, size, shift])
    return torch.tensor(IDENTITY) + sizes * torch.randn(count, 6, generator=generator)


def sampled(images: Tensor, theta: Tensor, padding: str) -> Tensor:
    """The same with PyTorch's own sampler, whose coordinates go from -1 to 1."""
    height, width = images.shape[2:]
    t = theta.to(images).reshape(-1, 6, 1, 1)
    i, j = torch.meshgrid(torch.arange(height).to(images), torch.arange(width).to(images), indexing="ij")
    x, y = t[:, 0] * j + t[:, 1] * i + t[:, 2], t[:, 3] * j + t[:, 4] * i + t[:, 5]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    mode = "zeros" if padding == "zero" else "border"
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=mode, align_corners=True)


@pytest.mark.parametrize("padding", PADDINGS)
def test_shifts_by_whole_pixels_copy(way: str, padding: str) -> None:
    images = pictures(2, 3, 5, 6)
    theta = torch.tensor([IDENTITY, [1.0, 0.0, 2.0, 0.0, 1.0, -1.0]])
    moved = ops.affine(images, theta, padding=padding)
    assert same_bits(moved[0], images[0])
    assert same_bits(moved[1, :, 1:, :4], images[1, :, :4, 2:])
    beyond = moved[1, :, 1:, 4:]
    wanted = images[1, :, :4, 5:].expand(-1, -1, 2) if padding == "edge" else torch.zeros_like(beyond)
    assert torch.equal(beyond, wanted)
    mirrored = ops.affine(images, torch.tensor([[-1.0, 0.0, 5.0, 0.0, 1.0, 0.0]] * 2), padding=padding)
    assert torch.equal(mirrored, images.flip(3))


@pytest.mark.parametrize("padding", PADDINGS)
def test_it_is_bilinear_sampling(way: str, padding: str) -> None:
    images, theta = pictures(5, 3, 9, 12), maps(5, seed=3)
    exact = images.double().requires_grad_()
    expected = sampled(exact, theta, padding)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    (slope,) = torch.autograd.grad(expected, exact, upstream.double())
    moved = images.clone().requires_grad_()
    out = ops.affine(moved, theta, padding=padding)
    out.backward(upstream)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=5e-6)
    torch.testing.assert_close(moved.grad.double(), slope, rtol=0, atol=5e-5)


@pytest.mark.parametrize("padding", PADDINGS)
def test_gradcheck_in_float64(padding: str) -> None:
    images, theta = pictures(3, 2, 4, 5).double().requires_grad_(), maps(3, seed=5)
    assert torch.autograd.gradcheck(lambda x: ops.affine(x, theta, padding=padding), images)


@quick
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(1, 40)),
    size=st.sampled_from([0.0, 0.05, 1.0, 30.0]),
    shift=st.sampled_from([0.0, 1.0, 20.0, 1e9]),
    edge=st.booleans(),
    last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_kernel_and_definition_agree(
    shape: tuple[int, ...], size: float, shift: float, edge: bool, last: bool, seed: int
) -> None:
    form = torch.channels_last if last else torch.contiguous_format
    images = pictures(*shape, seed=seed).to(memory_format=form)
    theta = maps(shape[0], seed=seed, size=size, shift=shift)
    ours, theirs = torch.full_like(images, math.nan), torch.full_like(images, math.nan)
    torch.ops.featlab.affine(images, theta, edge, ours)
    reference.affine(images, theta, edge, theirs)
    assert same_bits(ours, theirs)
    torch.ops.featlab.affine_backward(images, theta, edge, ours)
    reference.affine_backward(images, theta, edge, theirs)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@quick
@given(
    padding=st.sampled_from(PADDINGS),
    sides=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    size=st.sampled_from([0.1, 1.0, 5.0]),
    seed=st.integers(0, 99),
)
def test_backward_is_the_transpose(padding: str, sides: tuple[int, int], size: float, seed: int) -> None:
    """<A x, y> = <x, A' y>, whatever the map."""
    x, y = pictures(2, 2, *sides, seed=seed).requires_grad_(), pictures(2, 2, *sides, seed=seed + 1)
    moved = ops.affine(x, maps(2, seed=seed, size=size), padding=padding)
    (back,) = torch.autograd.grad(moved, x, y)
    left, right = (moved.double() * y.double()).sum(), (x.double() * back.double()).sum()
    torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_memory_format_the_batch_and_the_threads_do_not_matter(way: str, padding: str) -> None:
    images, theta = pictures(5, 3, 67, 61), maps(5, seed=1, size=0.1)
    upstream = pictures(5, 3, 67, 61, seed=1)

    def both(x: Tensor, theta: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        moved = ops.affine(x, theta, padding=padding)
        return moved.detach().contiguous(), torch.autograd.grad(moved, x, y)[0].contiguous()

    whole = both(images, theta, upstream)
    last = both(images.to(memory_format=torch.channels_last), theta, upstream)
    part = both(images[[3, 1]], theta[[3, 1]], upstream[[3, 1]])
    for k in range(2):
        assert same_bits(last[k], whole[k])
        assert same_bits(part[k], whole[k][[3, 1]])
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            again = both(images, theta, upstream)
            assert all(same_bits(again[k], whole[k]) for k in range(2))
    finally:
        torch.set_num_threads(threads)


def test_maps_that_are_no_numbers_read_a_corner(way: str) -> None:
    images, theta = pictures(1, 1, 3, 3), torch.full((1, 6), math.nan)
    assert torch.equal(ops.affine(images, theta, padding="edge"), images[:, :, :1, :1].expand(1, 1, 3, 3))
    assert not ops.affine(images, theta, padding="zero").any()
    assert not ops.affine(images, torch.full((1, 6), math.inf), padding="zero").any()


KEY = {"seed": 7, "examples": torch.arange(6), "step": 3}
MOVES = {"jitter": 3, "scale": (0.8, 1.25), "rotate": 20.0}


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_draw_depends_on_seed_example_and_step_alone(way: str, padding: str) -> None:
    images = pictures(1, 3, 12, 13).expand(6, -1, -1, -1)
    whole = ops.random_affine(images, **KEY, **MOVES, padding=padding)
    for rows in ([0], [5, 2]):
        part = ops.random_affine(images[rows], **{**KEY, "examples": torch.tensor(rows)}, **MOVES, padding=padding)
        assert same_bits(part, whole[rows])
    assert len({tuple(row.flatten().tolist()) for row in whole}) == 6, "every example has a map of its own"
    for change in ({"seed": 8}, {"step": 4}, {"examples": torch.arange(6) + 6}):
        assert not torch.equal(ops.random_affine(images, **{**KEY, **change}, **MOVES, padding=padding), whole)


def test_jitter_alone_copies_pixels_and_nothing_is_no_move(way: str) -> None:
    images = pictures(1, 1, 9, 9).expand(400, -1, -1, -1)
    assert same_bits(ops.random_affine(images, seed=0, examples=torch.arange(400)), images.contiguous())
    moved = ops.random_affine(images, seed=0, examples=torch.arange(400), jitter=2)
    windows = {(dy, dx): images[0, 0, 2 + dy : 7 + dy, 2 + dx : 7 + dx] for dy in range(-2, 3) for dx in range(-2, 3)}
    found = [key for row in moved for key, window in windows.items() if torch.equal(row[0, 2:7, 2:7], window)]
    assert len(found) == 400
    assert set(found) == set(windows), "each of the 25 shifts is drawn"


def test_draws_have_the_distribution_that_is_asked_for() -> None:
    theta = random_theta(
        (11, 21), seed=1, examples=torch.arange(20000), step=0, jitter=0, scale=(0.5, 2.0), rotate=30.0
    )
    size = 1 / (theta[:, 0].square() + theta[:, 1].square()).sqrt()
    angle = torch.rad2deg(torch.atan2(theta[:, 1], theta[:, 0]))
    for values, low, high in ((size, 0.5, 2.0), (angle, -30.0, 30.0)):
        assert ((values >= low) & (values <= high)).all()
        uniform = torch.linspace(low, high, len(values), dtype=torch.float64)
        assert (values.sort().values - uniform).abs().max() < 2.5 / math.sqrt(len(values)) * (high - low)
    center = torch.stack([theta[:, 0] * 10 + theta[:, 1] * 5, theta[:, 3] * 10 + theta[:, 4] * 5]) + theta[:, [2, 5]].T
    torch.testing.assert_close(center.T, torch.tensor([[10.0, 5.0]]).double().expand(20000, 2))  # stays in its place
    torch.testing.assert_close(theta[:, 3], -theta[:, 1])


@pytest.mark.parametrize("padding", PADDINGS)
def test_scale_enlarges_and_rotation_turns(way: str, padding: str) -> None:
    spot = torch.zeros(1, 1, 15, 15)
    spot[..., 6:9, 6:9] = 1.0
    larger = ops.random_affine(spot, seed=0, examples=torch.arange(1), scale=(2.0, 2.0), padding=padding)
    assert larger.sum() == pytest.approx(4 * 9, rel=0.05)
    bar = torch.zeros(1, 1, 15, 15)
    bar[..., 7, 3:12] = 1.0
    turned = ops.random_affine(bar, seed=1, examples=torch.arange(1), rotate=180.0, padding=padding)
    assert turned.sum() == pytest.approx(9, rel=0.1)
    assert not torch.allclose(turned, bar, atol=0.5)


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4)])
def test_nothing_in_nothing_out(way: str, shape: tuple[int, ...]) -> None:
    images = torch.empty(shape, requires_grad=True)
    moved = ops.random_affine(images, seed=0, examples=torch.arange(shape[0]), jitter=1, rotate=5.0)
    moved.sum().backward()
    assert moved.shape == images.grad.shape == shape


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # opcheck itself looks at it
@pytest.mark.parametrize("name", ["affine", "affine_backward"])
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_opcheck(name: str, form: torch.memory_format) -> None:
    images = pictures(2, 3, 4, 5).to(memory_format=form)
    arguments = (images, maps(2, seed=0), True, torch.empty_like(images))
    torch.library.opcheck(getattr(torch.ops.featlab, name).default, arguments)


def test_one_graph_under_torch_compile() -> None:
    images = pictures(2, 3, 6, 5).requires_grad_()

    def score(x: Tensor) -> Tensor:
        return ops.random_affine(x, seed=0, examples=torch.arange(2), jitter=1, rotate=9.0).square().sum()

    (plainly,) = torch.autograd.grad(score(images), images)
    (compiled,) = torch.autograd.grad(torch.compile(score, fullgraph=True, backend="aot_eager")(images), images)
    assert same_bits(plainly, compiled)


def test_a_second_derivative_is_refused_and_not_zero() -> None:
    images = pictures(1, 1, 3, 3).requires_grad_()
    with pytest.raises(NotImplementedError, match="affine is differentiable once"):
        torch.autograd.grad(ops.affine(images, maps(1, seed=0)).square().sum(), images, create_graph=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": -1}, r"step must lie in \[0, 2\^24\)"),
        ({"jitter": 0.5}, "jitter must be a whole number"),
        ({"jitter": -1}, "jitter must be a whole number"),
        ({"scale": (0.0, 1.0)}, "scale must be"),
        ({"scale": (1.2, 1.0)}, "scale must be"),
        ({"rotate": 190.0}, "rotate must lie in"),
        ({"padding": "wrap"}, "padding must be one of zero, edge; got 'wrap'"),
        ({"examples": torch.rand(2)}, "one integer each"),
        ({"examples": torch.arange(3)}, r"theta must have shape \(2, 6\)"),
    ],
)
def test_what_is_refused(options: dict[str, object], message: str) -> None:
    arguments = {"seed": 0, "examples": torch.arange(2), **options}
    with pytest.raises(ValueError, match=message):
        ops.random_affine(pictures(2, 1, 4, 4), **arguments)
