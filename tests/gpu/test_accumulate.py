"""MI-FGSM's steps on a CUDA device: equal to the CPU, replayed from a graph, and the attack."""

import pytest
import torch
from torch import Tensor

import featlab as fl
from featlab import ops

from known import Linear
from ops_cases import norms, same_bits

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

NAMES = ["linf_accumulated_step", "l2_accumulated_step"]
SIZES = [(5, 1), (5, 31), (6, 1028), (6, 3, 32, 32), (5, 3, 224, 224), (3, 3, 299, 299)]
TYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def tensors(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    center = torch.rand(shape, generator=generator)
    points = (center + 0.1 * torch.randn(shape, generator=generator)).clamp(0, 1)
    grad = torch.randn(shape, generator=generator).to(dtype)
    return {"points": points, "grad": grad, "center": center, "momentum": torch.zeros(shape)}


def step(name: str, given: dict[str, Tensor]) -> None:
    options = {"eps": 0.1 if name.startswith("linf") else 1.0, "step_size": 0.02, "decay": 0.9}
    points, momentum = given["points"], given["momentum"]
    getattr(ops, name)(points, given["grad"], given["center"], momentum=momentum, out=points, **options)


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", NAMES)
def test_steps_are_those_of_the_cpu(name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    here, there = tensors(shape, dtype), {key: value.cuda() for key, value in tensors(shape, dtype).items()}
    for _ in range(3):
        step(name, here)
        step(name, there)
    moved = there["points"].cpu()
    assert same_bits(there["momentum"].cpu(), here["momentum"])
    if name.startswith("linf"):
        assert same_bits(moved, here["points"])
    else:
        assert ((moved - here["points"]).abs() <= 2.0**-21).all()
        assert (norms(moved.double() - here["center"].double()) <= 1.0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(4, 3, 32, 32), (3, 3, 224, 224)], ids=str)
def test_a_graph_replays_the_step(name: str, shape: tuple[int, ...]) -> None:
    eager, graphed = ({key: value.cuda() for key, value in tensors(shape).items()} for _ in range(2))
    kept = {key: value.clone() for key, value in graphed.items()}
    step(name, graphed)  # asks the device what it can do
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(name, graphed)
    for key, value in kept.items():
        graphed[key].copy_(value)
    for _ in range(3):
        step(name, eager)
        graph.replay()
    for key in ("points", "momentum"):
        assert same_bits(graphed[key].cpu(), eager[key].cpu())


def test_the_attack_ends_where_it_does_on_the_cpu() -> None:
    weight = torch.randn(12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    images = 0.3 + 0.4 * torch.rand(16, 3, 2, 2, generator=torch.Generator().manual_seed(4))
    within = fl.threat_model("linf", eps=0.125)

    def attacked(device: str) -> Tensor:
        model = Linear(weight, -(weight * 0.5).sum()).to(device)
        labels = (torch.arange(16) % 2).to(device)
        rule = fl.Momentum()
        problem = fl.pgd(model, images.to(device), labels, within=within, steps=7, step_size=0.0625, rule=rule)
        return fl.maximize(problem).cpu()

    assert same_bits(attacked("cuda"), attacked("cpu"))
