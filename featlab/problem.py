"""The one idea: move a batch of inputs uphill on a score, inside a set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Literal, Protocol

import torch

from featlab import ops
from featlab.checks import check_problem
from featlab.moving import Move, Moving
from featlab.objectives import objective
from featlab.recording import Recorder
from featlab.rules import Steepest, StepRule
from featlab.threat_models import ThreatModel
from featlab.types import Images, PerExample, Rows, Scores, Seeds, Verdicts


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
    """Yield the start and the point after every step, `steps + 1` frames per restart (fewer once all have left).

    There are `restarts` times `within.variants` restarts, restart r inside `within.at(r)`.
    """
    latest: Step | None = None
    for seen in _restarts(problem, in_place=False, judge_last=True):
        latest = _frame(seen, latest)
        yield latest


def maximize(problem: Problem, *, recorder: Recorder | None = None) -> Images:
    """Return each example's image: where it met `done`; else its best-scoring one, or the last (`problem.keep`).

    With a `recorder` iterations are recorded and repeated, for batches rounded up to its sizes; the result is that
    without one, as far as the model answers an image alike in batches of any size.
    """
    if problem.keep == "last" and problem.within.variants > 1:
        return _best_of_last(problem)
    if recorder is not None and not objective(problem.objective).recordable:
        recorder.refuse("the objective is a plain function, or another one at each evaluation")
        recorder = None
    judge_last = problem.keep != "last" or problem.done is not None
    found = _Found.at_centers(problem) if problem.keep == "nearest" else None
    for seen in _restarts(problem, in_place=True, judge_last=judge_last, again=recorder):
        if problem.keep != "last":
            found = found.improved(seen) if found else _Found(seen.images.clone(), seen.scores)
        else:
            own = seen if recorder is None else seen.kept()
            found = found.replaced(own) if found else _Found(own.images, own.scores)
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
    distance: Scores | None
    leave: bool

    def kept(self) -> _Seen:
        """Return this with images of its own: those in the buffers of a recording are written over."""
        return replace(self, images=self.images.clone())


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
        everyone = len(seen.index) == len(self.scores)
        before = self.scores if everyone else self.scores[seen.index]
        take = scores > before
        take = take if finished is None else take | finished
        ops.keep_better(seen.images, take, index=seen.index, best=self.images)
        scores = torch.where(take, scores, before)
        return _Found(self.images, scores if everyone else self.scores.index_copy(0, seen.index, scores))


def _restarts(problem: Problem, *, in_place: bool, judge_last: bool, again: Recorder | None = None) -> Iterator[_Seen]:
    """Yield what is seen in all restarts; an example that is done takes no part in later ones."""
    left = torch.arange(len(problem.center), device=problem.center.device)
    done = torch.zeros(len(left), dtype=torch.bool, device=left.device)
    for restart in range(problem.restarts * problem.within.variants):
        for seen in _run(problem, restart, left, in_place=in_place, judge_last=judge_last, again=again):
            yield seen
            if seen.done is not None and seen.leave:
                done[seen.index] = seen.done
        if problem.done is not None:
            left = (~done).nonzero()[:, 0]
            if len(left) == 0:
                return


def _run(
    problem: Problem, restart: int, left: Rows, *, in_place: bool, judge_last: bool, again: Recorder | None
) -> Iterator[_Seen]:
    """Yield what is seen in one restart of some of the examples. This is the only loop over steps."""
    moving = Moving.begin(problem, restart).rows(left)
    for number in range(problem.steps + 1):
        last = number == problem.steps
        gradient = problem.rule.needs_gradient and not last
        draw = restart * (problem.steps + 1) + number
        move = Move(problem.rule, draw, gradient=gradient, needed=judge_last or not last, in_place=in_place)
        moving = moving.judge(move) if number == 0 else moving.moved(move, again=again)
        yield _seen(moving, number, restart)
        if last:
            return
        moving = moving.without_finished(number)
        if len(moving) == 0:
            return


def _seen(moving: Moving, number: int, restart: int) -> _Seen:
    """Return what a look at the moving examples showed."""
    judged = moving.judged
    return _Seen(
        number, restart, moving.index, judged.images, judged.scores, judged.done, judged.distance, moving.leave
    )
