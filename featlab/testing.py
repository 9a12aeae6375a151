"""The conformance kit: what every threat model, extractor and task must hold. Needs `featlab[testing]`.

from featlab.testing import check_threat_model

def test_mine():
    check_threat_model(lambda: Mine(eps=0.3), shape=(3, 8, 8))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featlab.problem import Problem, maximize
from featlab.threat_models import Key, ThreatModel
from featlab.types import FeatureExtractor, Images

BATCH = 5
TIGHT = {"rtol": 0.0, "atol": 1e-6}


def check_threat_model(
    make: Callable[[], ThreatModel],
    *,
    shape: Sequence[int],
    moves_images: bool = True,
    examples: int = 25,
) -> None:
    """Check the properties of a threat model on random images of one shape, raising AssertionError where one fails.

    Projection is idempotent, and leaves what is inside; samples lie inside, and depend on the key alone; no example
    influences another; the start stands for the centre; a step of a zero gradient stays; steps stay inside, and equal
    their definition; the steepest direction gains at least as much as any other of its length; arguments are not
    changed. `moves_images` says that points are images, so that they must stay in [0, 1].
    """

    @settings(max_examples=examples, deadline=None, derandomize=True, database=None)
    @given(seed=st.integers(0, 2**31 - 1), size=st.sampled_from([1e-3, 0.1, 1.0, 30.0]))
    def holds(seed: int, size: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        center = torch.rand(BATCH, *shape, generator=generator)
        center.view(-1)[:2] = torch.tensor([0.0, 1.0])
        key = Key(seed=seed, examples=torch.arange(BATCH))
        within = make()
        start = within.start(center)
        noise = torch.randn(start.shape, generator=generator)
        _projects(within, start + size * noise, center)
        _samples(within, center, key)
        _steps(within, start, noise, center, size)
        _gains(within, noise, generator)
        _rows(within, start, noise, center, key, size)
        if moves_images:
            inside = within.step(start, noise, center, step_size=size)
            assert bool(((inside >= 0) & (inside <= 1)).all()), "a step must end in [0, 1]"

    holds()


def _projects(within: ThreatModel, points: Images, center: Images) -> None:
    keep = points.clone(), center.clone()
    once = within.project(points, center)
    assert bool(torch.isfinite(once).all()), "a projection must be finite"
    torch.testing.assert_close(within.project(once, center), once, **TIGHT, msg=_say("projection must be idempotent"))
    assert torch.equal(points, keep[0]), "project must not change its arguments"
    assert torch.equal(center, keep[1]), "project must not change its arguments"


def _samples(within: ThreatModel, center: Images, key: Key) -> None:
    drawn = within.sample(center, key=key)
    torch.testing.assert_close(within.project(drawn, center), drawn, **TIGHT, msg=_say("a sample must lie in the set"))
    again = within.sample(center, key=key)
    assert torch.equal(drawn, again), "a sample must depend on the key alone"
    some = torch.tensor([3, 1])
    part = within.rows(some).sample(center[some], key=key.rows(some))
    torch.testing.assert_close(part, drawn[some], **TIGHT, msg=_say("a sample must not depend on its batch"))


def _steps(within: ThreatModel, start: Images, grad: Images, center: Images, size: float) -> None:
    decoded = within.decode(start, center)
    torch.testing.assert_close(decoded, center, **TIGHT, msg=_say("the start must stand for the centre"))
    assert start.data_ptr() != center.data_ptr(), "the start must be a new tensor"
    keep = start.clone(), grad.clone()
    moved = within.step(start, grad, center, step_size=size)
    assert torch.equal(start, keep[0]), "step must not change its points unless it is told to write there"
    assert torch.equal(grad, keep[1]), "step must not change the gradient"
    torch.testing.assert_close(within.project(moved, center), moved, **TIGHT, msg=_say("a step must end in the set"))
    definition = ThreatModel.step(within, start, grad, center, step_size=size)
    torch.testing.assert_close(moved, definition, rtol=1e-4, atol=2e-5, msg=_say("a step must equal its definition"))
    out = start.clone()
    written = within.step(out, grad, center, step_size=size, out=out)
    assert torch.equal(written, moved), "step with out= must give the same points"
    assert torch.equal(out, moved), "step must write to out"
    still = within.step(moved, torch.zeros_like(grad), center, step_size=size)
    torch.testing.assert_close(still, moved, **TIGHT, msg=_say("a zero gradient must not move"))


def _gains(within: ThreatModel, grad: Images, generator: torch.Generator) -> None:
    best = within.steepest(grad)
    gain = (best * grad).flatten(1).sum(dim=1)
    assert bool((gain >= 0).all()), "the steepest direction must not lose"
    for _ in range(4):
        # Any gradient's own steepest direction has length at most one, so it may not gain more than the best.
        other = within.steepest(torch.randn(grad.shape, generator=generator))
        rival = (other * grad).flatten(1).sum(dim=1)
        assert bool((rival <= gain + 1e-4 * gain.abs() + 1e-6).all()), "another direction of length one gains more"


def _rows(within: ThreatModel, start: Images, grad: Images, center: Images, key: Key, size: float) -> None:
    some = torch.tensor([4, 0, 2])
    whole = within.step(start, grad, center, step_size=size)
    part = within.rows(some).step(start[some], grad[some], center[some], step_size=size)
    torch.testing.assert_close(part, whole[some], **TIGHT, msg=_say("examples must not influence each other"))
    del key


def _say(rule: str) -> Callable[[str], str]:
    return lambda details: f"{rule}: {details}"


def check_extractor(make: Callable[[], FeatureExtractor], *, images: Images) -> None:
    """Check that an extractor gives one row of finite features per image, each its own image's, with a gradient."""
    extract = make()
    features = extract(images)
    assert features.dim() == 2, f"features must be (batch, features), got shape {tuple(features.shape)}"
    assert len(features) == len(images), "there must be one row of features per image"
    assert bool(torch.isfinite(features).all()), "features must be finite"
    assert torch.equal(extract(images), features), "features must be a function of the images alone"
    part = extract(images[1:2])
    torch.testing.assert_close(
        part, features[1:2], rtol=1e-4, atol=1e-5, msg=_say("images must not influence each other")
    )
    points = images.clone().requires_grad_()
    (grad,) = torch.autograd.grad(extract(points)[0].sum(), points)
    assert bool((grad[0] != 0).any()), "the features must have a gradient with respect to their image"
    assert not bool((grad[1:] != 0).any()), "images must not influence each other"


def check_task(make: Callable[[], Problem]) -> None:
    """Check that a task returns a problem whose solution is no worse than its start, the same each time, and inside."""
    problem = make()
    assert isinstance(problem, Problem), f"a task must return a featlab.Problem, got {type(problem).__name__}"
    found = maximize(problem)
    assert found.shape == problem.center.shape, "there must be one image for each of the task's"
    with torch.no_grad():
        before, after = problem.objective(problem.center), problem.objective(found)
    assert bool((after >= before - 1e-5 * before.abs()).all()), "the solution must not be worse than the start"
    assert bool(((found >= 0) & (found <= 1)).all()), "images must stay in [0, 1]"
    torch.testing.assert_close(maximize(make()), found, **TIGHT, msg=_say("a task must be a function of its arguments"))
