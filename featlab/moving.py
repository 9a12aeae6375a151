"""The examples that are still moving: where they are, what is known of them there, and one step further."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from featlab import ops
from featlab.objectives import Objective, OnModel, Scored, objective
from featlab.recording import Recorder
from featlab.rules import State, StepRule
from featlab.threat_models import Key, ThreatModel
from featlab.types import Images, PerExample, Points, Rows, Scores, Verdicts, rows_of

if TYPE_CHECKING:
    from featlab.problem import Criterion, Problem


@dataclass(frozen=True, eq=False)
class Judged:
    """What one forward (and backward) pass says of the moving examples."""

    images: Images
    scores: Scores
    grad: Points
    done: Verdicts | None = None
    distance: Scores | None = None

    def rows(self, index: Rows | slice) -> Judged:
        """Return what it says of some of the examples."""
        return Judged(
            self.images[index],
            self.scores[index],
            self.grad[index],
            None if self.done is None else self.done[index],
            None if self.distance is None else self.distance[index],
        )


@dataclass(frozen=True)
class Move:
    """How a step is taken, and what is asked where it ends: one iteration of the loop, but for who leaves it.

    `draw` counts evaluations; without `gradient` none is computed, and without `needed` not even scores. With
    `in_place` the next points are written over the present ones.
    """

    rule: StepRule
    draw: int
    gradient: bool
    needed: bool
    in_place: bool

    def __call__(self, moving: Moving) -> Moving:
        """Return the examples one step further, judged there."""
        return moving.stepped(self).judge(self)


@dataclass(frozen=True, eq=False)
class Moving:
    """The examples that are still moving: everything of the problem that has a batch dimension, and where they are.

    `judged` is what is known of them there; nothing, as long as they have not been judged.
    """

    points: Points
    judged: Judged
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
    def begin(problem: Problem, restart: int) -> Moving:
        """Return all examples at their starts."""
        examples = torch.arange(len(problem.center)) if problem.examples is None else problem.examples
        # The variants share their draws: each then does what it does by itself.
        repeat = restart // problem.within.variants
        key = Key(seed=problem.seed, examples=examples.to(problem.center.device), restart=repeat)
        center, within = problem.center.detach(), problem.within.at(restart).drawn(key)
        with torch.no_grad():
            points = within.sample(center, key=key) if problem.random_start else within.start(center)
            state = problem.rule.begin(points, steps=problem.steps, key=key)
        index = torch.arange(len(center), device=center.device)
        score = objective(problem.objective)
        # A rule that remembers, or a score that draws anew, may leave a place by another way than last time.
        steady = not state and not score.random
        history = index.new_zeros(len(center), problem.steps) if problem.detect_cycles and steady else None
        unknown = torch.full((len(points),), torch.nan, device=points.device)
        return Moving(
            points,
            Judged(points, unknown, points),
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

    def __len__(self) -> int:
        return len(self.index)

    def judge(self, move: Move) -> Moving:
        """Return the examples with scores, gradients and verdicts at the present points, as far as `move` asks."""
        points = self.points.detach()
        if not move.needed:
            unknown = torch.full((len(points),), torch.nan, device=points.device)
            return replace(self, judged=Judged(self.within.decode(points, self.center), unknown, points))
        with torch.set_grad_enabled(move.gradient):
            points.requires_grad_(move.gradient)
            images = self.within.decode(points, self.center)
            scored, done = self._evaluate(images, move.draw)
            grad = _gradient(scored, points) if move.gradient else points
        judged = Judged(images.detach(), scored.scores.detach(), grad.detach(), done)
        return replace(self, judged=self._measured(judged, points.detach()) if self.nearest else judged)

    def _measured(self, judged: Judged, points: Points) -> Judged:
        """Return what was judged with the distances, beyond which a finished example is not."""
        with torch.no_grad():
            distance = self.within.distance(points, self.center)
        done = judged.done
        if done is not None and self.enough is not None:
            done = done & (distance <= self.enough)
        return replace(judged, done=done, distance=distance)

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

    def without_finished(self, number: int) -> Moving:
        """Return what goes on moving; this is the one place where the loop waits for the device."""
        leaving = self.judged.done if self.leave else None
        if self.history is not None:
            goes_round = self._goes_round(self.history, number)
            leaving = goes_round if leaving is None else leaving | goes_round
        if leaving is None or not bool(leaving.any()):
            return self
        return self.rows((~leaving).nonzero()[:, 0])

    def _goes_round(self, history: Tensor, number: int) -> Verdicts:
        """Note where each example is, and return which have been there before."""
        here = ops.fingerprint(self.points)
        been: Verdicts = (history[:, :number] == here[:, None]).any(dim=1)
        history[:, number] = here
        return been

    def moved(self, move: Move, *, again: Recorder | None = None) -> Moving:
        """Return the examples one step further, judged there; `again` may do it by a recording of itself."""
        if again is None or not move.gradient:
            return move(self)
        return again(replace(move, draw=0), self)  # What may be recorded draws nothing.

    def stepped(self, move: Move) -> Moving:
        """Return the examples one step further, not judged there yet."""
        points, state = move.rule.update(
            self.points,
            self.judged.grad,
            self.judged.scores,
            self.center,
            within=self.within,
            step_size=self.step_size,
            state=self.state,
            out=self.points if move.in_place else None,
        )
        return replace(self, points=points, state=state)

    @property
    def varying(self) -> tuple[Points, Judged, State]:
        """What a step changes."""
        return self.points, self.judged, self.state

    def over(self, buffers: Moving) -> Moving:
        """Return these examples where the first of `buffers` are, as views of them."""
        these = slice(len(self))
        state = {name: value[these] for name, value in buffers.state.items()}
        return replace(self, points=buffers.points[these], judged=buffers.judged.rows(these), state=state)

    def rows(self, index: Rows) -> Moving:
        """Return some of the moving examples; all of them are this value itself."""
        if len(index) == len(self):
            return self
        return Moving(
            points=self.points[index],
            judged=self.judged.rows(index),
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
