"""Auto-PGD's steps on a CUDA device: equal to the CPU, replayed from a graph, and whole attacks."""

import pytest
import torch
from torch import Tensor

import featlab as fl
from featlab import ops

from known import Linear
from ops_cases import norms, same_bits

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

NAMES = ["linf_momentum_step", "l2_momentum_step"]
SIZES = [(5, 1), (5, 31), (6, 1028), (6, 3, 32, 32), (5, 3, 224, 224)]
TRAIL = ("previous", "best", "best_grad")


def tensors(shape: tuple[int, ...]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    center = torch.rand(shape, generator=generator)
    near = {name: (center + 0.1 * torch.randn(shape, generator=generator)).clamp(0, 1) for name in ("points", *TRAIL)}
    index = torch.arange(shape[0])
    grad = torch.randn(shape, generator=generator)
    return {**near, "grad": grad, "center": center, "improved": index % 2 == 0, "back": index % 3 == 0}


def step(name: str, given: dict[str, Tensor]) -> Tensor:
    rest = {key: value for key, value in given.items() if key not in {"points", "grad", "center"}}
    options = {"eps": 0.1 if name.startswith("linf") else 1.0, "step_size": 0.2, "alpha": 0.75, "out": given["points"]}
    return getattr(ops, name)(given["points"], given["grad"], given["center"], **rest, **options)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_that_of_the_cpu(name: str, shape: tuple[int, ...]) -> None:
    here, there = tensors(shape), {key: value.cuda() for key, value in tensors(shape).items()}
    step(name, here)
    step(name, there)
    for key in TRAIL:
        assert same_bits(there[key].cpu(), here[key])
    moved = there["points"].cpu()
    if name.startswith("linf"):
        assert same_bits(moved, here["points"])
    else:
        assert ((moved - here["points"]).abs() <= 2.0**-21).all()
        assert (norms(moved.double() - here["center"].double()) <= 1.0).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_replays_the_step(name: str) -> None:
    eager, graphed = ({key: value.cuda() for key, value in tensors((4, 3, 32, 32)).items()} for _ in range(2))
    graph, kept = torch.cuda.CUDAGraph(), {key: value.clone() for key, value in graphed.items()}
    with torch.cuda.graph(graph):
        step(name, graphed)
    for key, value in kept.items():
        graphed[key].copy_(value)
    for _ in range(3):
        step(name, eager)
        graph.replay()
    for key in ("points", *TRAIL):
        assert same_bits(graphed[key].cpu(), eager[key].cpu())


def test_an_attack_never_waits_for_the_device() -> None:
    torch.manual_seed(0)
    weight = torch.randn(12)
    model, images = Linear(weight, -(weight * 0.5).sum()).cuda(), torch.rand(16, 3, 2, 2)
    labels = model(images.cuda()).argmax(dim=1)
    problem = fl.apgd(model, images.cuda(), labels, within=fl.threat_model("linf", eps=0.03), steps=20)
    frames = fl.ascend(problem)
    next(frames)
    torch.cuda.set_sync_debug_mode("error")
    try:
        last = list(frames)[-1]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert (last.images.cpu().double() - images.double()).abs().max() <= 0.03
