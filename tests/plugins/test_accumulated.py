"""MI-FGSM's step: the balls' own equals the definition, and the rule takes it."""

import pytest
import torch

import featlab as fl

BALLS = ["linf:eps=0.1", "l2:eps=0.5", "l2:eps=0.5,exact=true", "l1:eps=2", "box"]


def drawn(*shape: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    center, grad, momentum = (torch.rand(shape, generator=generator, dtype=dtype) for _ in range(3))
    return center, grad - 0.5, (momentum - 0.5) / center[0].numel()


@pytest.mark.parametrize("name", BALLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_step_equals_its_definition(name: str, dtype: torch.dtype) -> None:
    within = fl.threat_model(name)
    center, grad, momentum = drawn(4, 3, 5, 5, dtype=dtype)
    points = within.project(center + 0.05 * grad, center)
    kept, told = momentum.clone(), momentum.clone()
    options = {"decay": 0.9, "step_size": 0.03}
    ours = within.accumulated_step(points, grad, center, momentum=kept, **options)
    defined = fl.ThreatModel.accumulated_step(within, points, grad, center, momentum=told, **options)
    torch.testing.assert_close(ours, defined, rtol=0, atol=2e-6)
    torch.testing.assert_close(kept, told, rtol=1e-5, atol=1e-8)
    assert not torch.equal(kept, momentum)


@pytest.mark.parametrize("name", BALLS)
def test_out_may_be_the_points(name: str) -> None:
    within = fl.threat_model(name)
    center, grad, momentum = drawn(3, 3, 4, 4, dtype=torch.float32)
    expected = within.accumulated_step(center, grad, center, momentum=momentum.clone(), decay=1.0, step_size=0.03)
    points = center.clone()
    options = {"decay": 1.0, "step_size": 0.03, "out": points}
    assert within.accumulated_step(points, grad, center, momentum=momentum.clone(), **options) is points
    assert torch.equal(points, expected)


@pytest.mark.parametrize("name", ["linf:eps=0.1", "l2:eps=0.5"])
def test_a_broken_gradient_leaves_its_example_to_the_momentum(name: str) -> None:
    within = fl.threat_model(name)
    center, grad, momentum = drawn(3, 3, 4, 4, dtype=torch.float32)
    grad[1, 0, 0, 0] = torch.nan
    for step in (within.accumulated_step, fl.ThreatModel.accumulated_step.__get__(within)):
        kept = momentum.clone()
        moved = step(center, grad, center, momentum=kept, decay=0.5, step_size=0.03)
        assert torch.equal(kept[1], 0.5 * momentum[1])
        assert moved.isfinite().all()
        assert not torch.equal(moved[1], center[1])
