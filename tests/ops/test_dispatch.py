"""What the operators promise to PyTorch and to callers: schemas, layouts, `out`, invariance, errors."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from featlab import ops
from featlab.ops import layout, native

from ops_cases import same_bits

STEPS = ["linf_step", "l2_step", "l1_step", "l0_step"]
PROJECTIONS = ["linf_project", "l2_project", "l2_box_project", "l1_project", "l0_project"]
SAMPLES = ["linf_sample", "l2_sample", "l1_sample", "l0_sample"]
COUNTED = {"l1_step": {"count": 5}, **{f"l0_{what}": {"count": 5} for what in ("step", "project", "sample")}}
ORDERED = [*SAMPLES, "l1_step", "l0_step", "l0_project"]  # in the logical order of the elements
BALLS = [*STEPS, *PROJECTIONS, *SAMPLES]
Run = Callable[..., Tensor]


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def gradients(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def run(name: str, points: Tensor, grad: Tensor, center: Tensor, **options: object) -> Tensor:
    """Call any of the functions with the arguments that it takes."""
    function = getattr(ops, name)
    arguments = {"eps": 0.25, **COUNTED.get(name, {}), **options}
    if name.startswith("l0"):
        del arguments["eps"]
    if name in STEPS:
        return function(points, grad, center, **{"step_size": 0.1, **arguments})
    if name in PROJECTIONS:
        return function(points, center, **arguments)
    return function(center, **{"seed": 1, "examples": torch.arange(len(center)), **arguments})


def op_arguments(name: str, points: Tensor, grad: Tensor, center: Tensor) -> tuple[object, ...]:
    out = torch.full_like(points, math.nan).detach()
    eps, size, count = torch.tensor([0.25]), torch.tensor([0.1]), torch.tensor([3])
    each = count if name.startswith("l0") else eps
    channels = (1,) if name.startswith("l0") else ()
    if name in STEPS:
        number = (count,) if name == "l1_step" else ()
        return points, grad, center, each.expand(len(points)).contiguous(), size, *number, *channels, 0.0, 1.0, out
    if name in PROJECTIONS:
        return points, center, each, *channels, 0.0, 1.0, out
    return center, each, torch.arange(len(center)), 7, 0, *channels, 0.0, 1.0, out


CASES = {
    "images": (images(2, 3, 4, 5), gradients(2, 3, 4, 5), images(2, 3, 4, 5, seed=1)),
    "scalars": (images(3), gradients(3), images(3, seed=1)),
    "no examples": (images(0, 4), gradients(0, 4), images(0, 4)),
    "no elements": (images(2, 0), gradients(2, 0), images(2, 0)),
    "bfloat16 gradient": (images(2, 9), gradients(2, 9).bfloat16(), images(2, 9, seed=1)),
    "requires grad": (images(2, 9).requires_grad_(), gradients(2, 9), images(2, 9, seed=1)),
    "channels last": tuple(
        t.to(memory_format=torch.channels_last)
        for t in (images(2, 3, 4, 5), gradients(2, 3, 4, 5), images(2, 3, 4, 5, seed=1))
    ),
}


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # opcheck itself looks at it
@pytest.mark.parametrize(
    ("name", "case"),  # what works in the logical order is given contiguous tensors
    [(name, case) for name in BALLS for case in CASES if name not in ORDERED or case != "channels last"],
)
def test_opcheck(name: str, case: str) -> None:
    torch.library.opcheck(getattr(torch.ops.featlab, name).default, op_arguments(name, *CASES[case]))


@pytest.mark.parametrize("name", BALLS)
def test_one_graph_under_torch_compile(name: str) -> None:
    points, grad, center = CASES["images"]
    torch.compiler.reset()  # every name is another specialisation of the same functions

    def twice(points: Tensor, grad: Tensor, center: Tensor) -> Tensor:
        return run(name, run(name, points, grad, center), grad, center)

    compiled = torch.compile(twice, fullgraph=True, backend="aot_eager")
    assert same_bits(compiled(points, grad, center), twice(points, grad, center))


@pytest.mark.parametrize("name", [*STEPS, *PROJECTIONS, *SAMPLES])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2), (1, 0, 2, 3), (3, 2, 1, 0)])
def test_the_memory_format_does_not_matter(way: str, name: str, order: tuple[int, ...]) -> None:
    points, grad, center = images(3, 2, 5, 7), gradients(3, 2, 5, 7), images(3, 2, 5, 7, seed=1)
    inverse = sorted(range(4), key=order.__getitem__)

    def permuted(tensor: Tensor) -> Tensor:
        return tensor.permute(order).contiguous().permute(inverse)

    expected = run(name, points, grad, center)
    for arguments in ((permuted(points), grad, center), (permuted(points), permuted(grad), permuted(center))):
        result = run(name, *arguments)
        assert torch.allclose(result, expected, rtol=0, atol=0 if name.startswith(("linf", "l0")) else 2.0**-23)
    if name not in SAMPLES and order[0] == 0:
        assert result.stride() == permuted(points).stride()


@pytest.mark.parametrize("name", [*STEPS, *PROJECTIONS])
def test_views_that_are_not_dense(way: str, name: str) -> None:
    grad, center = gradients(2, 6), images(2, 6, seed=1)
    wide = images(2, 12)
    expected = run(name, wide[:, ::2].contiguous(), grad, center)
    assert same_bits(run(name, wide[:, ::2], grad, center), expected)
    guard = wide[:, 1::2].clone()
    assert run(name, wide[:, ::2], grad, center, out=wide[:, ::2]) is not None
    assert same_bits(wide[:, ::2].contiguous(), expected)
    assert same_bits(wide[:, 1::2].contiguous(), guard.contiguous()), "values between those of the view were touched"


@pytest.mark.parametrize("name", [*STEPS, *PROJECTIONS])
def test_out_may_be_the_points_or_anything_else(way: str, name: str) -> None:
    points, grad, center = images(2, 3, 4, 5), gradients(2, 3, 4, 5), images(2, 3, 4, 5, seed=1)
    before = points.clone()
    expected = run(name, points, grad, center)
    assert same_bits(points, before)
    buffer = torch.full((4, 3, 4, 5), math.nan)
    assert run(name, points, grad, center, out=buffer[1:3]) is not None
    assert same_bits(buffer[1:3], expected)
    assert buffer[[0, 3]].isnan().all(), "memory around the output was touched"
    other = torch.full((2, 3, 4, 5), math.nan).to(memory_format=torch.channels_last)
    assert torch.equal(run(name, points, grad, center, out=other), expected)
    assert run(name, points, grad, center, out=points) is points
    assert same_bits(points, expected)


@pytest.mark.parametrize("name", [*STEPS, *PROJECTIONS, *SAMPLES])
@pytest.mark.parametrize("size", [5, 3000, 33001])
def test_results_depend_neither_on_the_batch_nor_on_the_threads(way: str, name: str, size: int) -> None:
    points, grad, center = images(5, size), gradients(5, size), images(5, size, seed=1)
    examples, eps = torch.arange(5), torch.tensor([0.1, 0.5, 2.0, 9.0, math.inf])
    key = {"examples": examples} if name in SAMPLES else {}
    whole = run(name, points, grad, center, eps=eps, **key)
    for rows in ([0], [1, 2], [4, 3]):
        part_key = {"examples": examples[rows]} if name in SAMPLES else {}
        part = run(name, points[rows], grad[rows], center[rows], eps=eps[rows], **part_key)
        assert same_bits(part, whole[rows])
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert same_bits(run(name, points, grad, center, eps=eps, **key), whole)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", [*STEPS, *PROJECTIONS, *SAMPLES])
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0), (0,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_in_nothing_out(way: str, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    empty = torch.empty(shape, dtype=dtype)
    result = run(name, empty, empty, empty, eps=torch.full(shape[:1], 0.5))
    assert result.shape == shape
    assert result.dtype == dtype


@pytest.mark.parametrize("name", [*STEPS, *PROJECTIONS, *SAMPLES])
def test_no_graph_is_recorded(name: str) -> None:
    points, grad, center = images(2, 4), gradients(2, 4), images(2, 4, seed=1).requires_grad_()
    assert not run(name, points.requires_grad_(), grad, center).requires_grad


@pytest.mark.parametrize("name", [*STEPS, *PROJECTIONS, *SAMPLES])
def test_float64_and_float32_agree(name: str) -> None:
    points, grad, center = images(2, 300), gradients(2, 300), images(2, 300, seed=1)
    single = run(name, points, grad, center)
    double = run(name, points.double(), grad.double(), center.double())
    assert double.dtype == torch.float64
    assert torch.allclose(single.double(), double, rtol=0, atol=3e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": images(2, 5)}, "points must have the shape"),
        ({"grad": images(2, 5)}, "grad must have the shape"),
        ({"grad": torch.ones(2, 4, dtype=torch.int64)}, "grad must be a floating-point"),
        ({"center": images(2, 4).half()}, "center must be float32 or float64"),
        ({"points": images(2, 4).double()}, "points must have the type"),
        ({"eps": -0.1}, "eps must be zero or positive"),
        ({"eps": math.nan}, "eps must be zero or positive"),
        ({"eps": torch.ones(3)}, "eps must be one number or one for each of 2"),
        ({"step_size": torch.ones(2, 4)}, "step_size must be one number or one for each of 2"),
        ({"low": 1.0, "high": 0.0}, "low must not exceed high"),
        ({"out": images(2, 4).double()}, "out must have the type"),
    ],
)
@pytest.mark.parametrize("name", [name for name in STEPS if not name.startswith("l0")])
def test_bad_arguments_are_named(name: str, change: dict[str, object], message: str) -> None:
    arguments = {"points": images(2, 4), "grad": gradients(2, 4), "center": images(2, 4, seed=1), **change}
    with pytest.raises(ValueError, match=message):
        run(name, **arguments)


@pytest.mark.parametrize("name", SAMPLES)
def test_bad_keys_are_named(name: str) -> None:
    center = images(2, 4)
    with pytest.raises(ValueError, match="one integer for each of 2"):
        run(name, center, center, center, examples=torch.arange(3))
    with pytest.raises(ValueError, match=r"restart must lie in \[0, 2\^24\)"):
        run(name, center, center, center, restart=-1)


def test_the_kernels_check_their_arguments_too() -> None:
    if not native.LIBRARIES["cpu"].loaded:
        pytest.skip("no kernels were built")
    points, eps = images(2, 4), torch.ones(1)
    with pytest.raises(RuntimeError, match="float32"):
        torch.ops.featlab.linf_project(points.double(), points.double(), eps.double(), 0.0, 1.0, points.double())
    with pytest.raises(RuntimeError, match=r"dense|strides"):
        torch.ops.featlab.l2_project(points.t(), points.t(), eps, 0.0, 1.0, points.t())
    with pytest.raises(RuntimeError, match="one per example"):
        torch.ops.featlab.l2_project(points, points, torch.ones(3), 0.0, 1.0, points.clone())


def test_block_layouts() -> None:
    pictures = images(3, 2, 5, 7)
    assert layout.is_block_layout(pictures)
    assert layout.is_block_layout(pictures.to(memory_format=torch.channels_last))
    assert layout.is_block_layout(pictures[1:2].transpose(1, 3))
    assert layout.is_block_layout(pictures[:, :, :0])
    assert not layout.is_block_layout(pictures[:, :1])
    assert not layout.is_block_layout(pictures.transpose(0, 1))
    assert not layout.is_block_layout(pictures[:1].expand(3, 2, 5, 7))
    assert not layout.is_block_layout(torch.empty(9).as_strided((1, 3, 3), (9, 2, 2)))
