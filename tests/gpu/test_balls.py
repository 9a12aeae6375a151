"""The linf and l2 operators on a CUDA device: equal to the CPU, on any stream, in graphs, whatever the batch."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import featlab as fl
from featlab import ops

from known import Linear
from ops_cases import norms, same_bits

pytestmark = pytest.mark.gpu

STEPS, PROJECTIONS, SAMPLES = ["linf_step", "l2_step"], ["linf_project", "l2_project"], ["linf_sample", "l2_sample"]
OPS = [*STEPS, *PROJECTIONS, *SAMPLES]
SMALL = [(1, 1), (3, 3), (2, 4), (5, 31), (3, 257), (2, 1030), (2, 3, 5, 7)]
# Sizes on both sides of what a form of the l2 step holds (csrc/cuda/l2.cu), and images.
LARGE = [(4, 3072), (3, 3076), (3, 12288), (3, 12292), (3, 81920), (2, 81924), (2, 163840), (2, 163844)]
LARGE += [(33, 3, 32, 32), (9, 3, 224, 224), (3, 3, 299, 299)]
TYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
Tensors = tuple[Tensor, Tensor, Tensor]


def tensors(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensors:
    """Draw points, gradients and centers on the CPU; the points leave ball and box."""
    generator = torch.Generator().manual_seed(sum(shape))
    center = torch.rand(shape, generator=generator)
    points = center + 0.2 * torch.randn(shape, generator=generator)
    return points, torch.randn(shape, generator=generator).to(dtype), center


def radii(rows: int) -> Tensor:
    return torch.tensor([0.1, 8 / 255, 0.5, 0.0, math.inf]).repeat(rows)[:rows]


def run(name: str, points: Tensor, grad: Tensor, center: Tensor, **options: object) -> Tensor:
    """Call any of the operators, with a radius per example unless `options` say otherwise."""
    if "eps" not in options:
        options["eps"] = radii(len(center)).to(center.device)
    if name in STEPS:
        return getattr(ops, name)(points, grad, center, step_size=0.05, **options)
    if name in PROJECTIONS:
        return getattr(ops, name)(points, center, **options)
    if "examples" not in options:
        options["examples"] = torch.arange(len(center), device=center.device)
    return getattr(ops, name)(center, seed=3, **options)


def on(device: torch.device, values: Tensors) -> Tensors:
    points, grad, center = (value.to(device) for value in values)
    return points, grad, center


def agree(name: str, ours: Tensor, theirs: Tensor) -> bool:
    """The same bits where nothing is summed, one rounding elsewhere."""
    ours = ours.cpu()
    if name.startswith("linf"):
        return same_bits(ours, theirs)
    return ours.shape == theirs.shape and bool(((ours.double() - theirs.double()).abs() <= 2.0**-23).all())


def check(name: str, device: torch.device, values: Tensors) -> None:
    ours, theirs = run(name, *on(device, values)), run(name, *values)
    assert agree(name, ours, theirs)
    assert ours.stride() == theirs.stride()
    offset, eps = (ours.cpu().double() - values[2].double()).flatten(1), radii(len(theirs)).double()
    lengths = norms(offset) if name.startswith("l2") else offset.abs().amax(1)
    assert (lengths <= eps).all()
    assert ((ours >= 0) & (ours <= 1)).all()


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("shape", SMALL, ids=lambda shape: f"small {shape}")
def test_small_shapes_are_as_on_the_cpu(device: torch.device, name: str, shape: tuple[int, ...]) -> None:
    for dtype in TYPES if name in STEPS else TYPES[:1]:
        check(name, device, tensors(shape, dtype))


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_large_shapes_are_as_on_the_cpu(device: torch.device, name: str, shape: tuple[int, ...]) -> None:
    for dtype in TYPES if name in STEPS else TYPES[:1]:
        check(name, device, tensors(shape, dtype))


@pytest.mark.parametrize("name", OPS)
def test_small_channels_last(device: torch.device, name: str) -> None:
    points, grad, center = (value.to(memory_format=torch.channels_last) for value in tensors((3, 4, 5, 6)))
    check(name, device, (points, grad, center))


@pytest.mark.parametrize("name", STEPS)
def test_small_zero_and_broken_gradients(device: torch.device, name: str) -> None:
    points, grad, center = tensors((5, 40))
    for row, value in enumerate((0.0, math.nan, math.inf, -math.inf)):
        grad[row] = 0.0 if row == 0 else grad[row]
        grad[row, 7] = value
    assert agree(name, run(name, *on(device, (points, grad, center))), run(name, points, grad, center))


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("size", [5, 64])
def test_more_rows_than_a_grid_is_high(device: torch.device, name: str, size: int) -> None:
    values = tensors((65535 + 9, size))
    assert agree(name, run(name, *on(device, values)), run(name, *values))


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("size", [31, 3072, 12288, 30000, 150528, 268203])
def test_results_depend_neither_on_the_batch_nor_on_the_run(device: torch.device, name: str, size: int) -> None:
    points, grad, center = on(device, tensors((11, size)))
    whole = run(name, points, grad, center)
    assert same_bits(run(name, points, grad, center).cpu(), whole.cpu())
    eps = radii(11).to(device)
    for first, last in ((0, 1), (1, 4), (4, 11)):
        options = {"examples": torch.arange(first, last, device=device)} if name in SAMPLES else {}
        rows = slice(first, last)
        part = run(name, points[rows], grad[rows], center[rows], eps=eps[rows], **options)
        assert same_bits(part.cpu(), whole[rows].cpu())


@pytest.mark.parametrize("name", [*STEPS, *PROJECTIONS])
def test_a_kernel_runs_on_the_current_stream_and_waits_for_nothing(device: torch.device, name: str) -> None:
    values = tensors((64, 3072))
    points, grad, center = on(device, values)
    late, eps = torch.zeros_like(points), radii(64).to(device)
    run(name, late, grad, center, eps=eps, out=late.clone())  # loads the kernel
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(20_000_000)  # on another stream the kernel would now read zeros
        late.copy_(points)
        run(name, late, grad, center, eps=eps, out=late)
        assert not stream.query(), "the call waited for the device"
    stream.synchronize()
    assert agree(name, late, run(name, *values))


def native_arguments(name: str, device: torch.device) -> tuple[object, ...]:
    points, grad, center = on(device, tensors((8, 3072)))
    eps, size, out = radii(8).to(device), torch.full((1,), 0.05, device=device), torch.empty_like(points)
    if name in STEPS:
        return points, grad, center, eps, size, 0.0, 1.0, out
    if name in PROJECTIONS:
        return points, center, eps, 0.0, 1.0, out
    return center, eps, torch.arange(8, device=device), 3, 0, 0.0, 1.0, out


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
@pytest.mark.parametrize("name", OPS)
def test_a_kernel_neither_allocates_nor_synchronises(device: torch.device, name: str) -> None:
    arguments, operator = native_arguments(name, device), getattr(torch.ops.featlab, name)
    operator(*arguments)
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    torch.cuda.set_sync_debug_mode("error")
    try:
        operator(*arguments)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before


def captured(body: Callable[[], None]) -> torch.cuda.CUDAGraph:
    """Run once to load what is needed, then capture."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        body()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        body()
    return graph


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("size", [31, 3072, 150528])
def test_a_captured_step_replays_the_same_bits(device: torch.device, name: str, size: int) -> None:
    points, grad, center = on(device, tensors((6, size)))
    start, expected = points.clone(), points.clone()
    for _ in range(4):
        run(name, expected, grad, center, eps=0.25, out=expected)
    graph = captured(lambda: run(name, points, grad, center, eps=0.25, out=points))
    points.copy_(start)
    for _ in range(4):
        graph.replay()
    assert same_bits(points.cpu(), expected.cpu())
    grad.neg_()  # a replay reads the memory, not what was in it
    graph.replay()
    assert same_bits(points.cpu(), run(name, expected, grad, center, eps=0.25).cpu())


@pytest.mark.parametrize("ball", ["linf", "l2"])
def test_an_attack_on_a_linear_model_ends_where_it_does_on_the_cpu(device: torch.device, ball: str) -> None:
    weight = torch.randn(12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    images = 0.3 + 0.4 * torch.rand(16, 3, 2, 2, generator=torch.Generator().manual_seed(4))
    labels = torch.arange(16) % 2
    within = fl.threat_model(ball, eps=0.125)

    def attacked(where: torch.device) -> Tensor:
        model = Linear(weight, -(weight * 0.5).sum()).to(where)
        problem = fl.pgd(model, images.to(where), labels.to(where), within=within, steps=7, step_size=0.0625)
        return fl.maximize(problem).cpu()

    ours, theirs = attacked(device), attacked(torch.device("cpu"))
    assert same_bits(ours, theirs) if ball == "linf" else torch.allclose(ours, theirs, rtol=0, atol=1e-6)
