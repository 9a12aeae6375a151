"""Deformed, recoloured and weathered pictures on a CUDA device: as on the CPU, the same each time, in one graph."""

import pytest
import torch

import featlab as fl

pytestmark = pytest.mark.gpu

SIGNALS = [
    "hsb",
    "recolor:eps=0.1,smooth=1",
    "frequency:eps=1",
    "frequency:eps=8/255,norm=linf,low=1/4,high=1/2",
    "jpeg:eps=1/2",
    "blur:sigma=2",
    "blur:sigma=2,kind=motion",
    "fog:eps=1/2",
    "snow:eps=3/4",
]
SPECS = [
    "rigid",
    "rigid:scale=1.5,padding=edge",
    "rigid:grid=5:5:31",
    "flow:eps=1",
    "elastic:eps=2",
    "patch:size=3",
    *SIGNALS,
]


@pytest.mark.parametrize("shape", [(5, 3, 32, 32), (3, 1, 28, 28), (2, 3, 45, 70)], ids=str)
@pytest.mark.parametrize("spec", SPECS)
def test_images_are_those_of_the_cpu(spec: str, shape: tuple[int, ...], device: torch.device) -> None:
    images, within = torch.rand(shape, generator=torch.Generator().manual_seed(1)), fl.threat_model(spec)
    there, examples = images.to(device), torch.arange(len(images))
    assert torch.equal(within.decode(within.start(there), there), there)
    points = within.sample(images, key=fl.Key(seed=0, examples=examples))
    drawn = within.sample(there, key=fl.Key(seed=0, examples=examples.to(device)))
    torch.testing.assert_close(drawn.cpu(), points, rtol=0, atol=1e-5)
    torch.testing.assert_close(within.decode(drawn, there).cpu(), within.decode(points, images), rtol=0, atol=1e-4)


@pytest.mark.parametrize("spec", SPECS)
def test_gradients_are_the_same_bits_each_time(spec: str, device: torch.device) -> None:
    within = fl.threat_model(spec)
    images = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(2)).to(device)
    key = fl.Key(seed=0, examples=torch.arange(16, device=device))
    found = []
    for _ in range(3):
        points = within.sample(images, key=key).requires_grad_()
        found.append(torch.autograd.grad(within.decode(points, images).square().sum(), points)[0])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("spec", SIGNALS)
def test_nothing_is_copied_from_the_host_once_the_constants_are_there(spec: str, device: torch.device) -> None:
    """As a CUDA graph asks: decoding, its gradient and a step can be captured."""
    within = fl.threat_model(spec)
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(3)).to(device)
    start = within.start(images)

    def once() -> torch.Tensor:
        points = start.detach().requires_grad_()
        (grad,) = torch.autograd.grad(within.decode(points, images).square().sum(), points)
        return within.step(start, grad, images, step_size=0.1)

    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        wanted = [once() for _ in range(3)][-1]
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = once()
    graph.replay()
    torch.testing.assert_close(captured, wanted)
