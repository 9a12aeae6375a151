"""The sparse operators on a CUDA device: equal to the CPU, in graphs, whatever the batch."""

import math

import pytest
import torch
from torch import Tensor

from featlab import ops

from ops_cases import same_bits

pytestmark = pytest.mark.gpu

STEPS, PROJECTIONS, SAMPLES = (
    ["l1_step", "l0_step"],
    ["l1_project", "l2_box_project", "l0_project"],
    ["l1_sample", "l0_sample"],
)
OPS = [*STEPS, *PROJECTIONS, *SAMPLES]
SHAPES = [(1, 1), (5, 31), (3, 257), (2, 3, 5, 7), (33, 3, 32, 32), (5, 3, 224, 224), (65535 + 9, 5)]
TYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
Tensors = tuple[Tensor, Tensor, Tensor]


def tensors(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensors:
    generator = torch.Generator().manual_seed(sum(shape))
    center = torch.rand(shape, generator=generator)
    points = center + 0.2 * torch.randn(shape, generator=generator)
    return points, torch.randn(shape, generator=generator).to(dtype), center


def run(name: str, values: Tensors, rows: slice = slice(None)) -> Tensor:
    """Call any of the operators on some rows, with options per example."""
    points, grad, center = (value[rows] for value in values)
    index = torch.arange(len(values[0]), device=center.device)[rows]
    options = {"eps": torch.tensor([0.1, 3.0, 40.0, 0.0, math.inf], device=center.device)[index % 5]}
    if name.startswith("l0"):
        options = {"count": index % 7, "channels": center.shape[1] if center.dim() == 4 else 1}
    if name == "l1_step":
        options["count"] = 3 * (index % 7)
    if name in SAMPLES:
        return getattr(ops, name)(center, seed=3, examples=index, **options)
    moving = (points, grad, center) if name in STEPS else (points, center)
    return getattr(ops, name)(*moving, **options, **({"step_size": 0.5} if name in STEPS else {}))


def on(device: torch.device, values: Tensors) -> Tensors:
    points, grad, center = (value.to(device) for value in values)
    return points, grad, center


def agree(name: str, ours: Tensor, theirs: Tensor) -> bool:
    """The same bits where nothing is summed, or in whole numbers; one rounding elsewhere."""
    if name in {"l1_sample", "l0_sample", "l0_project"}:
        return same_bits(ours.cpu(), theirs)
    return bool(((ours.cpu().double() - theirs.double()).abs() <= 2.0**-23).all())


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{'small ' if math.prod(shape) < 1000 else ''}{shape}")
def test_as_on_the_cpu(device: torch.device, name: str, shape: tuple[int, ...]) -> None:
    for dtype in TYPES if name in STEPS else TYPES[:1]:
        values = tensors(shape, dtype)
        ours, theirs = run(name, on(device, values)), run(name, values)
        assert agree(name, ours, theirs)
        assert ((ours >= 0) & (ours <= 1)).all()


@pytest.mark.parametrize("name", ["l1_step", "l1_project", "l1_sample"])
def test_l1_norms_are_at_most_eps_without_tolerance(device: torch.device, name: str) -> None:
    values = on(device, tensors((20, 3, 64, 64)))
    sums = (run(name, values).double() - values[2].double()).abs().flatten(1).sum(dim=1)
    assert (sums <= torch.tensor([0.1, 3.0, 40.0, 0.0, math.inf]).double().to(device).repeat(4)).all()


@pytest.mark.parametrize("name", STEPS)
def test_small_ties_and_broken_gradients(device: torch.device, name: str) -> None:
    points, grad, center = tensors((7, 300))
    grad = grad.sign()
    for row, value in enumerate((0.0, math.nan, math.inf)):
        grad[row, 5:] = value
    values = (points, grad, center)
    assert agree(name, run(name, on(device, values)), run(name, values))


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("size", [31, 3072, 150528])
def test_results_depend_neither_on_the_batch_nor_on_the_run(device: torch.device, name: str, size: int) -> None:
    values = on(device, tensors((11, size)))
    whole = run(name, values)
    assert same_bits(run(name, values).cpu(), whole.cpu())
    for rows in (slice(0, 1), slice(1, 4), slice(4, 11)):
        assert same_bits(run(name, values, rows).cpu(), whole[rows].cpu())


@pytest.mark.parametrize("name", ["l1_step", "l0_step", "l2_box_project"])
def test_a_captured_graph_replays_the_same_bits(device: torch.device, name: str) -> None:
    values = on(device, tensors((8, 3072)))
    graph = torch.cuda.CUDAGraph()
    arguments = {"eps": torch.full((8,), 3.0, device=device), "step_size": torch.full((8,), 0.5, device=device)}
    count = torch.full((8,), 5, device=device)
    points, grad, center = values
    out = torch.full_like(points, math.nan)

    def call() -> Tensor:
        if name == "l2_box_project":
            return ops.l2_box_project(points, center, eps=arguments["eps"], out=out)
        if name == "l0_step":
            return ops.l0_step(points, grad, center, count=count, step_size=arguments["step_size"], out=out)
        return ops.l1_step(points, grad, center, count=count, **arguments, out=out)

    expected = call().clone()
    with torch.cuda.graph(graph):
        call()
    out.fill_(math.nan)
    graph.replay()
    torch.cuda.synchronize()
    assert same_bits(out.cpu(), expected.cpu())
