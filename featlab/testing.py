"""The conformance kit: what every threat model, extractor and task must hold. Needs `pip install featlab[testing]`.

from featlab.testing import check_threat_model

def test_mine():
    check_threat_model(lambda: Mine(eps=0.3), shape=(3, 8, 8))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from featlab.problem import Problem, maximize
from featlab.threat_models import Key, ThreatModel, Trail, spread
from featlab.types import FeatureExtractor, Images, Points, Scores, Verdicts

BATCH: Final = 5
TYPES: Final = (torch.float32, torch.float64)
Contains = Callable[[Points, Images], Verdicts]
Length = Callable[[Points], Scores]


def check_threat_model(
    make: Callable[[], ThreatModel],
    *,
    shape: Sequence[int],
    contains: Contains | None = None,
    length: Length | None = None,
    moves_images: bool = True,
    examples: int = 25,
    device: str = "cpu",
) -> None:
    """Check the properties of a threat model on random images of one shape, raising AssertionError where one fails.

    Projection is idempotent; samples lie inside, and depend on the key alone; no example influences another, and
    `rows` follows them; the start stands for the centre; steps, also with momentum, stay inside and equal their
    definition; steps write to `out`, and stand still where the gradient is zero; the steepest direction gains at least
    as much as the others, whatever the gradient's scale; arguments are not changed. `make` is called once per case;
    per-example options are for a batch of 5. What the kit cannot know may be told: `contains(points, center)` says, for
    each example, whether the point is in the set, and is asked of every projection, sample and step;
    `length(directions)` is the norm in which the steepest direction has length one. `moves_images` says that points
    are images, which must stay in [0, 1].
    """

    # A failing case is a seed, and one seed is as simple as another: nothing is gained by shrinking it.
    @settings(max_examples=examples, deadline=None, derandomize=True, database=None, phases=(Phase.generate,))
    @given(
        seed=st.integers(0, 2**31 - 1), size=st.sampled_from([1e-3, 0.1, 1.0, 30.0]), dtype=st.sampled_from(list(TYPES))
    )
    def holds(seed: int, size: float, dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(seed)
        center = torch.rand(BATCH, *shape, generator=generator, dtype=dtype).to(device)
        center.view(-1)[:2] = torch.tensor([0.0, 1.0])
        within = make()
        with _unchanged("start", center):
            start = within.start(center)
        grad = torch.randn(start.shape, generator=generator, dtype=dtype).to(device)
        key = Key(seed=seed, examples=torch.arange(BATCH, device=device))
        case = _Case(within, center, start, grad, key, size, contains, moves_images)
        for rule in (_starts, _projects, _samples, _steps, _rests, _follows, _glides):
            rule(case)
        _gains(within, grad, length, generator)

    holds()


@dataclass(frozen=True, eq=False)
class _Case:
    """One random situation in which a threat model is put."""

    within: ThreatModel
    center: Images
    start: Points
    grad: Points
    key: Key
    size: float
    contains: Contains | None
    moves_images: bool

    def moved(self) -> Points:
        return self.within.step(self.start, self.grad, self.center, step_size=self.size)

    def inside(self, points: Points, what: str) -> None:
        """Assert that points lie in the set, as far as can be told."""
        assert bool(torch.isfinite(points).all()), f"{what} must be finite"
        _same(f"{what} must lie in the set: projecting it must change nothing", self._project(points), points)
        if self.contains is not None:
            assert bool(self.contains(points, self.center).all()), f"{what} must lie in the set, as `contains` says"
        if self.moves_images:
            assert bool(((points >= 0) & (points <= 1)).all()), f"{what} must have values in [0, 1]"

    def _project(self, points: Points) -> Points:
        return self.within.project(points.clone(), self.center.clone())


def _starts(case: _Case) -> None:
    assert case.start.data_ptr() != case.center.data_ptr(), "the start must be a new tensor"
    with _unchanged("decode", case.start, case.center):
        decoded = case.within.decode(case.start, case.center)
    _same("the start must stand for the centre", decoded, case.center)


def _projects(case: _Case) -> None:
    far = case.start + case.size * case.grad
    with _unchanged("project", far, case.center):
        case.inside(case.within.project(far, case.center), "a projection")


def _samples(case: _Case) -> None:
    with _unchanged("sample", case.center):
        drawn = case.within.sample(case.center, key=case.key)
    case.inside(drawn, "a sample")
    again = case.within.sample(case.center, key=case.key)
    assert torch.equal(drawn, again), "a sample must depend on the key alone"
    for some in (_rows([3, 1], drawn), _rows([2], drawn)):
        part = case.within.rows(some).sample(case.center[some], key=case.key.rows(some))
        _same("a sample must not depend on its batch", part, drawn[some])


def _steps(case: _Case) -> None:
    with _unchanged("step without out", case.start, case.grad, case.center):
        moved = case.moved()
    case.inside(moved, "a step")
    definition = ThreatModel.step(case.within, case.start, case.grad, case.center, step_size=case.size)
    _same("a step must equal its definition, project(points + size * steepest)", moved, definition, 1e-4, 2e-5)
    out = case.start.clone()
    with _unchanged("step with out", case.grad, case.center):
        written = case.within.step(out, case.grad, case.center, step_size=case.size, out=out)
    assert torch.equal(written, moved), "step with out= must give the same points"
    assert torch.equal(out, moved), "step must write to out"


def _rests(case: _Case) -> None:
    nothing = torch.zeros_like(case.grad)
    assert not bool(case.within.steepest(nothing).any()), "the steepest direction of a zero gradient must be zero"
    moved = case.moved()
    still = case.within.step(moved, nothing, case.center, step_size=case.size)
    _same("a zero gradient must not move", still, moved)


def _follows(case: _Case) -> None:
    """Steps and projections of some examples, by themselves, are those that they have among the others."""
    sizes = case.size * torch.linspace(0.5, 1.0, BATCH, dtype=case.center.dtype, device=case.center.device)
    whole = _moves(case.within, case.start, case.grad, case.center, sizes)
    for some in (_rows([4, 0, 2], sizes), _rows([1], sizes)):
        rows = case.within.rows(some)
        part = _moves(rows, case.start[some], case.grad[some], case.center[some], sizes[some])
        for got, wanted in zip(part, whole, strict=True):
            _same("examples must not influence each other, and rows must follow them", got, wanted[some])


def _moves(
    within: ThreatModel, start: Points, grad: Points, center: Images, sizes: Tensor
) -> tuple[Points, Points, Points]:
    """Return all that a threat model makes of points and gradients."""
    far = within.project(start + spread(sizes, start) * grad, center)
    return within.step(start, grad, center, step_size=sizes), far, within.steepest(grad)


def _glides(case: _Case) -> None:
    """A step with momentum equals its definition, notes the best points, and follows its rows."""
    flags = torch.arange(BATCH, device=case.center.device)
    verdicts = {"improved": flags % 2 == 0, "back": flags % 3 == 0}

    def step(method: Callable[..., Points], some: slice) -> tuple[Points, ...]:
        start, grad = case.start[some], case.grad[some]
        best = case.within.rows(flags[some]).project(start - case.size * grad, case.center[some])
        trail = Trail(best.clone(), best, -grad)
        told = {name: verdict[some] for name, verdict in verdicts.items()}
        options = {"trail": trail, "step_size": case.size, "alpha": 0.75, **told}
        moved = method(case.within.rows(flags[some]), start, grad, case.center[some], **options)
        return moved, trail.previous, trail.best, trail.best_grad

    with _unchanged("momentum_step", case.start, case.grad, case.center):
        ours = step(type(case.within).momentum_step, slice(None))
    case.inside(ours[0], "a step with momentum")
    for got, wanted in zip(ours, step(ThreatModel.momentum_step, slice(None)), strict=True):
        _same("a step with momentum must equal its definition", got, wanted, 1e-4, 2e-5)
    for got, wanted in zip(step(type(case.within).momentum_step, slice(1, 4)), ours, strict=True):
        _same("a step with momentum must not depend on its batch", got, wanted[1:4])


def _gains(within: ThreatModel, grad: Points, length: Length | None, generator: torch.Generator) -> None:
    with _unchanged("steepest", grad):
        best = within.steepest(grad)
    rule = "the steepest direction must not depend on the gradient's scale"
    _same(rule, within.steepest(1e-12 * grad), best)
    _same(rule, within.steepest(1e6 * grad), best)
    gain = _dot(best, grad)
    assert bool((gain >= 0).all()), "the steepest direction must not lose"
    for _ in range(4):
        other = torch.randn(grad.shape, generator=generator, dtype=grad.dtype).to(grad.device)
        for rival in _rivals(within, other, length):
            beaten = _dot(rival, grad) <= gain + 1e-4 * gain.abs() + 1e-6
            assert bool(beaten.all()), "another direction of length one gains more than the steepest"
    assert length is None or bool((length(best) <= 1 + 1e-5).all()), "the steepest direction must have length <= 1"


def _rivals(within: ThreatModel, other: Points, length: Length | None) -> list[Points]:
    """Return directions of length one: another gradient's steepest has it, and so has what the norm is known of."""
    steepest = within.steepest(other)
    return [steepest] if length is None else [steepest, other / spread(length(other), other)]


def _dot(directions: Points, grad: Points) -> Scores:
    gain: Scores = (directions * grad).flatten(1).sum(dim=1)
    return gain


def _rows(index: list[int], like: Tensor) -> Tensor:
    return torch.tensor(index, device=like.device)


def _same(rule: str, got: Tensor, wanted: Tensor, rtol: float = 0.0, atol: float = 1e-6) -> None:
    """Assert that two tensors are equal up to rounding, and say which rule asks for it."""
    torch.testing.assert_close(got, wanted, rtol=rtol, atol=atol, msg=lambda details: f"{rule}: {details}")


@contextmanager
def _unchanged(what: str, *arguments: Tensor) -> Iterator[None]:
    """Assert that the arguments are, bit for bit, what they were before."""
    before = [argument.clone() for argument in arguments]
    yield
    for argument, kept in zip(arguments, before, strict=True):
        assert torch.equal(argument, kept), f"{what} must not change its arguments"


def check_extractor(make: Callable[[], FeatureExtractor], *, images: Images) -> None:
    """Check that an extractor gives one row of finite features per image, each its own image's, with a gradient."""
    extract = make()
    with _unchanged("an extractor", images):
        features = extract(images)
    assert features.dim() == 2, f"features must be (batch, features), got shape {tuple(features.shape)}"
    assert len(features) == len(images), "there must be one row of features per image"
    assert bool(torch.isfinite(features).all()), "features must be finite"
    assert torch.equal(extract(images), features), "features must be a function of the images alone"
    _same("images must not influence each other", extract(images[1:2]), features[1:2], 1e-4, 1e-5)
    points = images.clone().requires_grad_()
    first = extract(points)[0].sum()
    assert first.requires_grad, "the features must have a gradient with respect to their image"
    (grad,) = torch.autograd.grad(first, points, allow_unused=True)
    has_grad = grad is not None and bool((grad[0] != 0).any())
    assert has_grad, "the features must have a gradient with respect to their image"
    assert not bool((grad[1:] != 0).any()), "images must not influence each other"


def check_task(make: Callable[[], Problem]) -> None:
    """Check that a task returns a problem whose solution is no worse than its start, inside, and the same each time."""
    problem = make()
    assert isinstance(problem, Problem), f"a task must return a featlab.Problem, got {type(problem).__name__}"
    with _unchanged("solving a task", problem.center):
        found = maximize(problem)
    assert found.shape == problem.center.shape, "there must be one image for each of the task's"
    assert bool(((found >= 0) & (found <= 1)).all()), "the images found must have values in [0, 1]"
    if type(problem.within).decode is ThreatModel.decode:
        _same("the images found must lie in the task's set", problem.within.project(found, problem.center), found)
    with torch.no_grad():
        before, after = problem.objective(problem.center), problem.objective(found)
    assert bool((after >= before - 1e-5 * before.abs()).all()), "the solution must not be worse than the start"
    _same("a task must be a function of its arguments", maximize(make()), found)
