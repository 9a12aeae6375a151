"""The one idea: move a batch of inputs uphill on a score, inside a set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from featlab.objectives import Objective, OnModel, objective
from featlab.rules import State, Steepest, StepRule
from featlab.threat_models import Key, ThreatModel
from featlab.types import Images, PerExample, Points, Rows, Scores, Seeds, Verdicts, rows_of


class Criterion(Protocol):
    """When an example is finished."""

    def __call__(self, images: Images, /) -> Verdicts:
        """Return which images are finished."""
        ...

    def rows(self, index: Rows) -> Criterion:
        """Return the criterion of some of the examples."""
        ...


@dataclass(frozen=True, eq=False)
class Problem:
    """Maximise `objective` over S(center), for each example of the batch by itself.

    `step_size` is one number or one per example, in the units of the threat model. With `random_start` the points start
    at random in the set, otherwise at the centre; `restarts` repeats this with other random numbers. An example that
    meets `done` leaves the batch and keeps its point; the others end with their best point, or with their last one.
    `seed` and `examples` (the identity of each example, 0, 1, ... by default) key all random numbers.
    """

    objective: Callable[[Images], Scores]
    center: Images
    within: ThreatModel
    steps: int
    step_size: PerExample
    _: KW_ONLY
    rule: StepRule = field(default_factory=Steepest)
    random_start: bool = False
    restarts: int = 1
    done: Criterion | None = None
    keep: Literal["best", "last"] = "best"
    seed: int = 0
    examples: Seeds | None = None

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "objective", objective(self.objective))


@dataclass(frozen=True, eq=False)
class Step:
    """A frame of the ascent: the images after `number` steps, their scores, and which examples are finished.

    The tensors cover the whole batch, and are the caller's to keep.
    """

    number: int
    restart: int
    images: Images
    scores: Scores
    done: Verdicts | None = None


def ascend(problem: Problem) -> Iterator[Step]:
    """Yield the start and the point after every step, `steps + 1` frames per restart (fewer once all are done)."""
    yield from _frames(problem, in_place=False, judge_last=True)


def maximize(problem: Problem) -> Images:
    """Return each example's image: where it met `done`; else its best-scoring one, or the last (`problem.keep`)."""
    judge_last = problem.keep == "best" or problem.done is not None
    found: Step | None = None
    for step in _frames(problem, in_place=True, judge_last=judge_last):
        found = step if problem.keep == "last" else _better(found, step)
    assert found is not None  # There is always the frame of the start.
    return found.images


def _better(found: Step | None, step: Step) -> Step:
    """Return, per example, the frame that is finished, or else the one with the larger score."""
    if found is None:
        return replace(step, images=step.images.clone())  # The next step may be written over the frame's own memory.
    take = step.scores > found.scores
    if found.done is not None and step.done is not None:
        take = ~found.done & (take | step.done)
    rows = take.reshape(-1, *[1] * (step.images.dim() - 1))
    return replace(
        step, images=torch.where(rows, step.images, found.images), scores=torch.where(take, step.scores, found.scores)
    )


def _frames(problem: Problem, *, in_place: bool, judge_last: bool) -> Iterator[Step]:
    """Yield the frames of all restarts; an example that is done takes no part in later ones."""
    latest: Step | None = None
    for restart in range(problem.restarts):
        for frame in _run(problem, restart, latest, in_place=in_place, judge_last=judge_last):
            yield frame
            latest = frame
        if latest is not None and latest.done is not None and bool(latest.done.all()):
            return


def _run(problem: Problem, restart: int, before: Step | None, *, in_place: bool, judge_last: bool) -> Iterator[Step]:
    """Yield the frames of one restart. This is the only loop over steps."""
    moving = _Moving.begin(problem, restart, before)
    for number in range(problem.steps + 1):
        last = number == problem.steps
        draw = restart * (problem.steps + 1) + number
        judged = moving.judge(draw, gradient=not last, needed=judge_last or not last)
        frame = moving.frame(number, restart, judged, before)
        yield frame
        if last:
            return
        before = frame if problem.done is not None else before
        moving, judged = moving.without_finished(judged)
        if moving.points.shape[0] == 0:
            return
        moving = moving.moved(judged, problem.rule, in_place=in_place)


@dataclass(frozen=True, eq=False)
class _Judged:
    """What one forward (and backward) pass says of the moving examples."""

    images: Images
    scores: Scores
    grad: Points
    done: Verdicts | None


@dataclass(frozen=True, eq=False)
class _Moving:
    """The examples that are still moving: everything of the problem that has a batch dimension, and where they are."""

    points: Points
    center: Images
    within: ThreatModel
    objective: Objective
    step_size: PerExample
    state: State
    done: Criterion | None
    index: Rows | None

    @staticmethod
    def begin(problem: Problem, restart: int, before: Step | None) -> _Moving:
        """Return all examples that are not done yet, at their starts."""
        examples = torch.arange(len(problem.center)) if problem.examples is None else problem.examples
        key = Key(seed=problem.seed, examples=examples.to(problem.center.device), restart=restart)
        center, within = problem.center.detach(), problem.within
        with torch.no_grad():
            points = within.sample(center, key=key) if problem.random_start else within.start(center)
            state = problem.rule.begin(points, steps=problem.steps)
        index = None if problem.done is None else torch.arange(len(center), device=center.device)
        moving = _Moving(
            points, center, within, objective(problem.objective), problem.step_size, state, problem.done, index
        )
        return moving if before is None or before.done is None else moving.rows((~before.done).nonzero()[:, 0])

    def judge(self, draw: int, *, gradient: bool, needed: bool) -> _Judged:
        """Return scores, gradients and verdicts at the present points; scores are NaN where not `needed`."""
        points = self.points.detach()
        if not needed:
            unknown = torch.full((len(points),), torch.nan, device=points.device)
            return _Judged(self.within.decode(points, self.center), unknown, points, None)
        with torch.set_grad_enabled(gradient):
            points.requires_grad_(gradient)
            images = self.within.decode(points, self.center)
            scores, done = self._evaluate(images, draw)
            grad = _gradient(scores, points) if gradient else points
        return _Judged(images.detach(), scores.detach(), grad, done)

    def _evaluate(self, images: Images, draw: int) -> tuple[Scores, Verdicts | None]:
        """Return scores and verdicts, from one forward pass where both read the same model."""
        judge, done = self.objective.at(draw), self.done
        if isinstance(judge, OnModel) and isinstance(done, OnModel) and judge.model is done.model:
            outputs = judge.outputs(images)
            return judge.head(outputs), done.head(outputs.detach())
        return judge(images), None if done is None else done(images.detach())

    def frame(self, number: int, restart: int, judged: _Judged, before: Step | None) -> Step:
        """Return the frame of the whole batch: the moving examples over those that have left."""
        if self.index is None or judged.done is None:
            return Step(number, restart, judged.images, judged.scores)
        if before is None or before.done is None:
            return Step(number, restart, judged.images.clone(), judged.scores, judged.done)
        return Step(
            number,
            restart,
            before.images.index_copy(0, self.index, judged.images),
            before.scores.index_copy(0, self.index, judged.scores),
            before.done.index_copy(0, self.index, judged.done),
        )

    def without_finished(self, judged: _Judged) -> tuple[_Moving, _Judged]:
        """Return what goes on moving; this is the one place where the loop waits for the device."""
        if judged.done is None or not bool(judged.done.any()):
            return self, judged
        stay = (~judged.done).nonzero()[:, 0]
        kept = _Judged(judged.images[stay], judged.scores[stay], judged.grad[stay], judged.done[stay])
        return self.rows(stay), kept

    def moved(self, judged: _Judged, rule: StepRule, *, in_place: bool) -> _Moving:
        """Return the examples one step further."""
        points, state = rule.update(
            self.points,
            judged.grad,
            judged.scores,
            self.center,
            within=self.within,
            step_size=self.step_size,
            state=self.state,
            out=self.points if in_place else None,
        )
        return replace(self, points=points, state=state)

    def rows(self, index: Rows) -> _Moving:
        """Return some of the moving examples."""
        return _Moving(
            points=self.points[index],
            center=self.center[index],
            within=self.within.rows(index),
            objective=self.objective.rows(index),
            step_size=rows_of(self.step_size, index),
            state={name: value[index] for name, value in self.state.items()},
            done=None if self.done is None else self.done.rows(index),
            index=None if self.index is None else self.index[index],
        )


def _gradient(scores: Scores, points: Points) -> Points:
    """Return d sum(scores) / d points, every example's own gradient as examples do not influence each other."""
    if not scores.requires_grad:
        raise ValueError(
            "the objective's scores do not depend on the images, so there is no uphill; "
            "compute them with differentiable operations, outside torch.no_grad()"
        )
    (grad,) = torch.autograd.grad(scores.sum(), points)
    return grad


def _check(problem: Problem) -> None:
    """Refuse, once and at the door, what would fail or mislead inside the loop."""
    center = problem.center
    if center.dim() < 2 or not center.is_floating_point():
        raise ValueError(
            f"center must be floating-point images of shape (batch, ...), got {center.dtype} of shape "
            f"{tuple(center.shape)}; convert uint8 images with images.float() / 255"
        )
    if center.dtype not in {torch.float32, torch.float64}:
        raise ValueError(f"center must be float32 or float64, got {center.dtype}; only the model may run in less")
    if problem.steps < 0 or problem.restarts < 1:
        raise ValueError(f"steps must be >= 0 and restarts >= 1, got {problem.steps} and {problem.restarts}")
    if problem.restarts > 1 and not (problem.random_start and problem.keep == "best"):
        raise ValueError("restarts > 1 needs random_start=True and keep='best': otherwise every restart is the same")
    if problem.keep not in {"best", "last"}:
        raise ValueError(f"keep must be 'best' or 'last', got {problem.keep!r}")
    _check_rows("step_size", problem.step_size, len(center))
    _check_rows("examples", problem.examples, len(center))
    size = torch.as_tensor(problem.step_size)
    if not bool(torch.isfinite(size).all() & (size >= 0).all()):
        raise ValueError(f"step_size must be finite and >= 0, got {problem.step_size}")


def _check_rows(name: str, value: float | Tensor | None, count: int) -> None:
    if isinstance(value, Tensor) and tuple(value.shape) != (count,):
        raise ValueError(f"{name} must be one value or one per example, ({count},); got shape {tuple(value.shape)}")
