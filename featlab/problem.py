"""The one idea: move a batch of inputs uphill on a score, inside a set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from featlab import ops
from featlab.checks import check_problem
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
    at random in the set, otherwise at the centre; `restarts` repeats this with other random numbers. An example that
    meets `done` leaves the batch and keeps its point; the others end with their best point, or with their last one.
    With `detect_cycles` an example leaves too when its point is one where it has been: with a deterministic objective
    and a rule without memory it would only go round, so the result is the same, to the bit, and found sooner.

    With keep="nearest" an example goes on after it has met `done`, and ends with the image that met it at the least
    `within.distance` from `center`: what a smallest change is searched with. An example that never met it ends with
    `center`. Where `enough` is given, one that met it at no more than this distance leaves, and farther ones count for
    nothing.

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
    keep: Literal["best", "last", "nearest"] = "best"
    enough: PerExample | None = None
    seed: int = 0
    examples: Seeds | None = None

    def __post_init__(self) -> None:
        check_problem(self)
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
    """Yield the start and the point after every step, `steps + 1` frames per restart (fewer once all have left)."""
    latest: Step | None = None
    for seen in _restarts(problem, in_place=False, judge_last=True):
        latest = _frame(seen, latest)
        yield latest


def maximize(problem: Problem) -> Images:
    """Return each example's image: where it met `done`; else its best-scoring one, or the last (`problem.keep`)."""
    judge_last = problem.keep != "last" or problem.done is not None
    found = _Found.at_centers(problem) if problem.keep == "nearest" else None
    for seen in _restarts(problem, in_place=True, judge_last=judge_last):
        if problem.keep != "last":
            found = found.improved(seen) if found else _Found(seen.images.clone(), seen.scores)
        else:
            found = found.replaced(seen) if found else _Found(seen.images, seen.scores)
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
    distance: Scores | None
    leave: bool


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

    @staticmethod
    def at_centers(problem: Problem) -> _Found:
        """Return the centres, for the search of the nearest images that meet a criterion: they are worth nothing."""
        center = problem.center.detach()
        return _Found(center.clone(), torch.full((len(center),), -torch.inf, device=center.device))

    def replaced(self, seen: _Seen) -> _Found:
        """Take every moving example as it is now; while all are moving, what was seen is what was found."""
        if len(seen.index) == len(self.images):
            return _Found(seen.images, seen.scores)
        self.images.index_copy_(0, seen.index, seen.images)
        return self

    def improved(self, seen: _Seen) -> _Found:
        """Take the moving examples that are finished, or score more than before; or those that are nearer."""
        scores, finished = seen.scores, seen.done
        if seen.distance is not None and seen.done is not None:
            scores, finished = torch.where(seen.done, -seen.distance, -torch.inf).to(self.scores.dtype), None
        before = self.scores[seen.index]
        take = scores > before
        take = take if finished is None else take | finished
        ops.keep_better(seen.images, take, index=seen.index, best=self.images)
        return _Found(self.images, self.scores.index_copy(0, seen.index, torch.where(take, scores, before)))


def _restarts(problem: Problem, *, in_place: bool, judge_last: bool) -> Iterator[_Seen]:
    """Yield what is seen in all restarts; an example that is done takes no part in later ones."""
    left = torch.arange(len(problem.center), device=problem.center.device)
    done = torch.zeros(len(left), dtype=torch.bool, device=left.device)
    for restart in range(problem.restarts):
        for seen in _run(problem, restart, left, in_place=in_place, judge_last=judge_last):
            yield seen
            if seen.done is not None and seen.leave:
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
        uphill = problem.rule.needs_gradient and not last
        judged = moving.judge(draw, gradient=uphill, needed=judge_last or not last)
        yield moving.seen(judged, number, restart)
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
    distance: Scores | None = None


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
    nearest: bool
    enough: PerExample | None

    @staticmethod
    def begin(problem: Problem, restart: int) -> _Moving:
        """Return all examples at their starts."""
        examples = torch.arange(len(problem.center)) if problem.examples is None else problem.examples
        key = Key(seed=problem.seed, examples=examples.to(problem.center.device), restart=restart)
        center, within = problem.center.detach(), problem.within
        with torch.no_grad():
            points = within.sample(center, key=key) if problem.random_start else within.start(center)
            state = problem.rule.begin(points, steps=problem.steps, key=key)
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
            problem.keep == "nearest",
            problem.enough,
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
        judged = _Judged(images.detach(), scored.scores.detach(), grad, done)
        return self._measured(judged, points.detach()) if self.nearest else judged

    def _measured(self, judged: _Judged, points: Points) -> _Judged:
        """Return what was judged with the distances, beyond which a finished example is not."""
        with torch.no_grad():
            distance = self.within.distance(points, self.center)
        done = judged.done
        if done is not None and self.enough is not None:
            done = done & (distance <= self.enough)
        return replace(judged, done=done, distance=distance)

    def seen(self, judged: _Judged, number: int, restart: int) -> _Seen:
        """Return what this look at the moving examples showed."""
        return _Seen(
            number, restart, self.index, judged.images, judged.scores, judged.done, judged.distance, self.leave
        )

    @property
    def leave(self) -> bool:
        """Whether examples that meet `done` leave: not those that still look for a nearer image."""
        return not self.nearest or self.enough is not None

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
        leaving = judged.done if self.leave else None
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
            nearest=self.nearest,
            enough=None if self.enough is None else rows_of(self.enough, index),
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
