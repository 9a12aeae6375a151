"""The one idea: move a batch of inputs uphill on a score, inside a set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from featlab import ops
from featlab.objectives import Objective, OnModel, Scored, objective
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
    at random in the set, otherwise at the centre; `restarts` repeats this with other random numbers, and in each of the
    threat model's variants with the same ones. An example that meets `done` leaves the batch and keeps its point; the
    others end with their best point, or with their last one (of several variants' last points, with the best).
    With `detect_cycles` an example leaves too when its point is one where it has been: with a deterministic objective
    and a rule without memory it would only go round, so the result is the same, to the bit, and found sooner.
    `seed` and `examples` (the identity of each example, 0, 1, ... by default) key all random numbers.
    Source of the cycles: "PGD with cycle detection", arXiv 2503.19347.
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
    detect_cycles: bool = False
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
    """Yield the start and the point after every step, `steps + 1` frames per restart (fewer once all have left).

    There are `restarts` times `within.variants` restarts, restart r inside `within.at(r)`.
    """
    latest: Step | None = None
    for seen in _restarts(problem, in_place=False, judge_last=True):
        latest = _frame(seen, latest)
        yield latest


def maximize(problem: Problem) -> Images:
    """Return each example's image: where it met `done`; else its best-scoring one, or the last (`problem.keep`)."""
    if problem.keep == "last" and problem.within.variants > 1:
        return _best_of_last(problem)
    judge_last = problem.keep == "best" or problem.done is not None
    found: _Found | None = None
    for seen in _restarts(problem, in_place=True, judge_last=judge_last):
        if problem.keep == "best":
            found = found.improved(seen) if found else _Found(seen.images.clone(), seen.scores)
        else:
            found = found.replaced(seen) if found else _Found(seen.images, seen.scores)
    assert found is not None  # There is always the frame of the start.
    return found.images


def _best_of_last(problem: Problem) -> Images:
    """Return, of the points that the variants end with, each example's best-scoring one."""
    found: _Found | None = None
    for seen in _restarts(problem, in_place=True, judge_last=True):
        nothing = torch.full_like(seen.scores, -torch.inf)
        found = found or _Found(problem.center.clone(), nothing)
        if seen.number == problem.steps:
            found = found.improved(seen)
        elif seen.done is not None:
            # Before the last step only those that leave count: no score is more than minus infinity.
            found = found.improved(replace(seen, scores=nothing))
    assert found is not None  # There is always the frame of the start.
    return found.images


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one look at the moving examples showed; `index` says which of the batch they are."""

    number: int
    restart: int
    index: Rows
    images: Images
    scores: Scores
    done: Verdicts | None


def _frame(seen: _Seen, before: Step | None) -> Step:
    """Return the frame of the whole batch: the moving examples over those that have left."""
    if before is None or len(seen.index) == len(before.images):
        return Step(seen.number, seen.restart, seen.images, seen.scores, seen.done)
    done = None if seen.done is None or before.done is None else before.done.index_copy(0, seen.index, seen.done)
    return Step(
        seen.number,
        seen.restart,
        before.images.index_copy(0, seen.index, seen.images),
        before.scores.index_copy(0, seen.index, seen.scores),
        done,
    )


@dataclass(frozen=True, eq=False)
class _Found:
    """What each example of the batch will end with; the images are overwritten as the loop goes on."""

    images: Images
    scores: Scores

    def replaced(self, seen: _Seen) -> _Found:
        """Take every moving example as it is now; while all are moving, what was seen is what was found."""
        if len(seen.index) == len(self.images):
            return _Found(seen.images, seen.scores)
        self.images.index_copy_(0, seen.index, seen.images)
        return self

    def improved(self, seen: _Seen) -> _Found:
        """Take the moving examples that are finished, or score more than before."""
        before = self.scores[seen.index]
        take = seen.scores > before
        take = take if seen.done is None else take | seen.done
        ops.keep_better(seen.images, take, index=seen.index, best=self.images)
        return _Found(self.images, self.scores.index_copy(0, seen.index, torch.where(take, seen.scores, before)))


def _restarts(problem: Problem, *, in_place: bool, judge_last: bool) -> Iterator[_Seen]:
    """Yield what is seen in all restarts; an example that is done takes no part in later ones."""
    left = torch.arange(len(problem.center), device=problem.center.device)
    done = torch.zeros(len(left), dtype=torch.bool, device=left.device)
    for restart in range(problem.restarts * problem.within.variants):
        for seen in _run(problem, restart, left, in_place=in_place, judge_last=judge_last):
            yield seen
            if seen.done is not None:
                done[seen.index] = seen.done
        if problem.done is not None:
            left = (~done).nonzero()[:, 0]
            if len(left) == 0:
                return


def _run(problem: Problem, restart: int, left: Rows, *, in_place: bool, judge_last: bool) -> Iterator[_Seen]:
    """Yield what is seen in one restart of some of the examples. This is the only loop over steps."""
    moving = _Moving.begin(problem, restart).rows(left)
    for number in range(problem.steps + 1):
        last = number == problem.steps
        draw = restart * (problem.steps + 1) + number
        judged = moving.judge(draw, gradient=not last, needed=judge_last or not last)
        yield _Seen(number, restart, moving.index, judged.images, judged.scores, judged.done)
        if last:
            return
        moving, judged = moving.without_finished(judged, number)
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
    index: Rows
    history: Tensor | None

    @staticmethod
    def begin(problem: Problem, restart: int) -> _Moving:
        """Return all examples at their starts."""
        examples = torch.arange(len(problem.center)) if problem.examples is None else problem.examples
        # The variants share their draws: each then does what it does by itself.
        repeat = restart // problem.within.variants
        key = Key(seed=problem.seed, examples=examples.to(problem.center.device), restart=repeat)
        center, within = problem.center.detach(), problem.within.at(restart).drawn(key)
        with torch.no_grad():
            points = within.sample(center, key=key) if problem.random_start else within.start(center)
            state = problem.rule.begin(points, steps=problem.steps)
        index = torch.arange(len(center), device=center.device)
        score = objective(problem.objective)
        # A rule that remembers, or a score that draws anew, may leave a place by another way than last time.
        steady = not state and not score.random
        history = index.new_zeros(len(center), problem.steps) if problem.detect_cycles and steady else None
        return _Moving(
            points,
            center,
            within,
            score,
            problem.step_size,
            state,
            problem.done,
            index,
            history,
        )

    def judge(self, draw: int, *, gradient: bool, needed: bool) -> _Judged:
        """Return scores, gradients and verdicts at the present points; scores are NaN where not `needed`."""
        points = self.points.detach()
        if not needed:
            unknown = torch.full((len(points),), torch.nan, device=points.device)
            return _Judged(self.within.decode(points, self.center), unknown, points, None)
        with torch.set_grad_enabled(gradient):
            points.requires_grad_(gradient)
            images = self.within.decode(points, self.center)
            scored, done = self._evaluate(images, draw)
            grad = _gradient(scored, points) if gradient else points
        return _Judged(images.detach(), scored.scores.detach(), grad, done)

    def _evaluate(self, images: Images, draw: int) -> tuple[Scored, Verdicts | None]:
        """Return scores and verdicts, from one forward pass where both read the same model."""
        judge, done = self.objective.at(draw), self.done
        if not isinstance(judge, OnModel):
            scores = judge(images)
            return Scored(scores, scores.sum()), None if done is None else done(images.detach())
        outputs = judge.outputs(images)
        if isinstance(done, OnModel) and judge.model is done.model:
            return judge.scored(outputs), done.head(outputs.detach())
        return judge.scored(outputs), None if done is None else done(images.detach())

    def without_finished(self, judged: _Judged, number: int) -> tuple[_Moving, _Judged]:
        """Return what goes on moving; this is the one place where the loop waits for the device."""
        leaving = judged.done
        if self.history is not None:
            goes_round = self._goes_round(self.history, number)
            leaving = goes_round if leaving is None else leaving | goes_round
        if leaving is None or not bool(leaving.any()):
            return self, judged
        stay = (~leaving).nonzero()[:, 0]
        done = None if judged.done is None else judged.done[stay]
        return self.rows(stay), _Judged(judged.images[stay], judged.scores[stay], judged.grad[stay], done)

    def _goes_round(self, history: Tensor, number: int) -> Verdicts:
        """Note where each example is, and return which have been there before."""
        here = ops.fingerprint(self.points)
        been: Verdicts = (history[:, :number] == here[:, None]).any(dim=1)
        history[:, number] = here
        return been

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
        """Return some of the moving examples; all of them are this value itself."""
        if len(index) == len(self.index):
            return self
        return _Moving(
            points=self.points[index],
            center=self.center[index],
            within=self.within.rows(index),
            objective=self.objective.rows(index),
            step_size=rows_of(self.step_size, index),
            state={name: value[index] for name, value in self.state.items()},
            done=None if self.done is None else self.done.rows(index),
            index=self.index[index],
            history=None if self.history is None else self.history[index],
        )


def _gradient(scored: Scored, points: Points) -> Points:
    """Return d sum(scores) / d points, every example's own gradient as examples do not influence each other."""
    if not scored.source.requires_grad:
        raise ValueError(
            "the objective's scores do not depend on the images, so there is no uphill; "
            "compute them with differentiable operations, outside torch.no_grad()"
        )
    (grad,) = torch.autograd.grad(scored.source, points, scored.slope)
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
    if problem.detect_cycles and problem.keep == "last":
        raise ValueError("detect_cycles needs keep='best': the last point of a walk in a circle depends on its steps")
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
