"""The operators for pictures on a CUDA device: equal to the CPU, whatever the batch, without allocation or waiting."""

import pytest
import torch
from torch import Tensor

import featlab as fl
from featlab import ops

from ops_cases import same_bits

pytestmark = pytest.mark.gpu

OPS = ["total_variation", "colour", "colour_backward", "affine", "affine_backward"]
SMALL = [(1, 3, 1, 1), (2, 3, 5, 7), (3, 3, 17, 16), (1, 3, 2, 300)]
LARGE = [(33, 3, 32, 32), (9, 3, 224, 224), (2, 3, 299, 301)]
FORMATS = [torch.contiguous_format, torch.channels_last]
SAME = {"affine", "affine_backward"}
"""These give the same bits on every device: what they sum, they sum in one order."""


def arguments(name: str, shape: tuple[int, ...], form: torch.memory_format, dtype: torch.dtype) -> list[object]:
    """Draw the operator's arguments on the CPU; the last ones are its results."""
    generator = torch.Generator().manual_seed(sum(shape))

    def drawn() -> Tensor:
        return torch.rand(shape, generator=generator).to(memory_format=form)

    images, grad = drawn(), drawn() - 0.5
    out = torch.zeros_like(images)
    matrix, mean, std = ops.imagenet_colours().float(), torch.full((3,), 0.4), torch.full((3,), 0.25)
    noise = torch.randn(shape[0], 6, generator=generator)
    theta = torch.tensor([1.0, 0, 0, 0, 1.0, 0]) + torch.tensor([0.05, 0.05, 4.0, 0.05, 0.05, 4.0]) * noise
    return {
        "total_variation": [images, torch.rand(shape[0], generator=generator), 2, 0.1, torch.zeros(shape[0]), out],
        "colour": [6 * images - 3, matrix, mean, std, out.to(dtype)],
        "colour_backward": [grad.to(dtype), 6 * images - 3, matrix, std, out],
        "affine": [images, theta, True, out],
        "affine_backward": [grad, theta, True, out],
    }[name]


def on(device: torch.device, values: list[object]) -> list[object]:
    return [value.to(device) if isinstance(value, Tensor) else value for value in values]


def results(name: str, values: list[object]) -> list[Tensor]:
    """Run the operator; return what it has written."""
    getattr(torch.ops.featlab, name)(*values)
    return [value for value in values[-2 if name == "total_variation" else -1 :] if isinstance(value, Tensor)]


def check(name: str, device: torch.device, values: list[object]) -> None:
    ours, theirs = results(name, on(device, values)), results(name, values)
    for a, b in zip(ours, theirs, strict=True):
        rounding = 2.0**-7 if a.dtype == torch.bfloat16 else 2e-6
        torch.testing.assert_close(a.cpu(), b, rtol=rounding, atol=rounding)
        assert name not in SAME or same_bits(a.cpu(), b)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("shape", [*SMALL, *LARGE], ids=str)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shapes_are_as_on_the_cpu(
    device: torch.device, name: str, shape: tuple[int, ...], form: torch.memory_format, dtype: torch.dtype
) -> None:
    check(name, device, arguments(name, shape, form, dtype))


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("shape", [(11, 3, 32, 32), (5, 3, 224, 224)], ids=str)
def test_results_depend_neither_on_the_batch_nor_on_the_run(
    device: torch.device, name: str, shape: tuple[int, ...]
) -> None:
    values = on(device, arguments(name, shape, torch.contiguous_format, torch.float32))
    whole = [result.clone() for result in results(name, values)]
    for a, b in zip(results(name, values), whole, strict=True):
        assert same_bits(a.cpu(), b.cpu())
    batched = [isinstance(value, Tensor) and value.shape[:1] == shape[:1] for value in values]
    part = [value[2:5].clone() if some else value for value, some in zip(values, batched, strict=True)]
    for a, b in zip(results(name, part), whole, strict=True):
        assert same_bits(a.cpu(), b[2:5].cpu())


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
@pytest.mark.parametrize("name", OPS)
def test_a_kernel_neither_allocates_nor_synchronises(device: torch.device, name: str) -> None:
    values = on(device, arguments(name, (8, 3, 32, 32), torch.contiguous_format, torch.float32))
    results(name, values)
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    torch.cuda.set_sync_debug_mode("error")
    try:
        results(name, values)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
def test_random_maps_are_those_of_the_cpu_and_are_drawn_without_waiting(device: torch.device) -> None:
    images, examples = torch.rand(6, 3, 40, 40, generator=torch.Generator().manual_seed(0)), torch.arange(6)
    options = {"seed": 3, "step": 2, "jitter": 4, "scale": (0.9, 1.1), "rotate": 10.0}
    there, names = images.to(device), examples.to(device)
    ops.random_affine(there, examples=names, **options)
    torch.cuda.set_sync_debug_mode("error")
    try:
        moved = ops.random_affine(there, examples=names, **options)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert same_bits(moved.cpu(), ops.random_affine(images, examples=examples, **options))


def test_a_visualisation_rises_as_it_does_on_the_cpu(device: torch.device) -> None:
    model = fl.build("small_cnn", mean=0.5, std=0.5, classes=["a", "b", "c"], shape=(1, 12, 12), seed=1)
    grey = torch.full((2, 1, 12, 12), 0.4)

    def found(where: torch.device) -> Tensor:
        options = {"variation": 0.1, "jitter": 1, "rotate": 5.0, "steps": 5, "step_size": 0.2}
        return fl.maximize(fl.task("visualize")(model.to(where), grey.to(where), "logits:1", **options)).cpu()

    torch.testing.assert_close(found(device), found(torch.device("cpu")), rtol=0, atol=1e-2)
