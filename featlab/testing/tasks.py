"""The laws of tasks, and the check that asks them all."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import torch
from torch import Tensor, nn

from featlab.objectives import objective
from featlab.problem import Problem, maximize
from featlab.testing.laws import Law, NotAsked, Trial, Verdict, demand, same, unchanged
from featlab.testing.models import Kept
from featlab.threat_models import ThreatModel
from featlab.types import Images, Scores


@dataclass(frozen=True, eq=False)
class Errand:
    """What makes a task's problem, and the model that it may use."""

    make: Callable[[], Problem]
    model: nn.Module | None

    @cached_property
    def problem(self) -> Problem:
        """The problem, made once."""
        return self.make()

    @cached_property
    def found(self) -> Images:
        """The problem's solution."""
        return maximize(replace(self.problem, center=self.problem.center.clone()))

    def scores(self, images: Images) -> Scores:
        """Return the scores of images, with the random numbers of the first evaluation."""
        with torch.no_grad():
            scores: Scores = objective(self.problem.objective).at(0)(images)
        return scores


def task_problem(case: Errand) -> None:
    """A task returns a featlab.Problem."""
    assert isinstance(case.problem, Problem), f"a task must return a featlab.Problem, got {type(case.problem).__name__}"


def arguments_unchanged(case: Errand) -> None:
    """Solving the problem does not change the images that it starts from."""
    with unchanged("solving a task", case.problem.center):
        maximize(case.problem)


def solution_shape(case: Errand) -> None:
    """The solution is one image for each of the task's."""
    assert case.found.shape == case.problem.center.shape, "there must be one image for each of the task's"


def solution_range(case: Errand) -> None:
    """The images found have values in [0, 1]."""
    assert bool(((case.found >= 0) & (case.found <= 1)).all()), "the images found must have values in [0, 1]"


def solution_inside(case: Errand) -> None:
    """The images found lie in the task's set, where its points are images."""
    within = case.problem.within
    if type(within).decode is not ThreatModel.decode:
        raise NotAsked("the points of the task's set are not images")
    projected = within.project(case.found.clone(), case.problem.center)
    same("the images found must lie in the task's set", projected, case.found, atol=1e-6)


def solution_improves(case: Errand) -> None:
    """The solution scores no less than the start."""
    before, after = case.scores(case.problem.center), case.scores(case.found)
    assert bool((after >= before - 1e-5 * before.abs()).all()), "the solution must not be worse than the start"


def examples_apart(case: Errand) -> None:
    """The score of an image does not depend on the other images."""
    points = case.problem.center.clone().requires_grad_()
    mine = objective(case.problem.objective).at(0)(points)[0]
    (grad,) = torch.autograd.grad(mine, points, allow_unused=True)
    assert grad is not None, "the score must depend on the images"
    assert not bool((grad[1:] != 0).any()), "images must not influence each other's scores"


def objective_rows(case: Errand) -> None:
    """Where examples may leave the batch, the objective, the set and the criterion follow their rows."""
    problem = case.problem
    if problem.done is None and not problem.detect_cycles:
        raise NotAsked("no example leaves this problem's batch")
    index = torch.arange(len(problem.center), device=problem.center.device).flip(0)[:-1]
    images = problem.center[index]
    with torch.no_grad():
        part: Tensor = objective(problem.objective).at(0).rows(index)(images)
    same("the objective must follow its rows", part, case.scores(problem.center)[index], rtol=1e-4, atol=1e-5)
    if problem.done is not None:
        followed = torch.equal(problem.done.rows(index)(images), problem.done(problem.center)[index])
        assert followed, "the criterion must follow its rows"


def deterministic(case: Errand) -> None:
    """A task is a function of its arguments: made again, its problem has the same solution."""
    same("a task must be a function of its arguments", maximize(case.make()), case.found, atol=1e-6)


def model_kept(case: Errand) -> None:
    """Making and solving the problem leave the model as it was: modes, flags, gradients, weights and hooks."""
    if case.model is None:
        raise NotAsked("asked where the model is given, with model=")
    for training in (False, True):
        with Kept(case.model, training=training):
            maximize(case.make())


TASK_LAWS: Final[tuple[Law, ...]] = (
    task_problem,
    arguments_unchanged,
    deterministic,
    solution_shape,
    solution_range,
    solution_inside,
    solution_improves,
    examples_apart,
    objective_rows,
    model_kept,
)


def check_task(make: Callable[[], Problem], *, model: nn.Module | None = None, exempt: Collection[str] = ()) -> None:
    """Check the laws of tasks on the problem that `make` returns; AssertionError names the first that is broken.

    Given the `model` that the task uses, it must be as it was. `exempt` names laws that the task does not claim.
    """
    demand(judge_task(make, model=model, exempt=exempt))


def judge_task(
    make: Callable[[], Problem], *, model: nn.Module | None = None, exempt: Collection[str] = ()
) -> list[Verdict]:
    """Return what became of every law; the arguments are those of `check_task`."""
    trial = Trial(TASK_LAWS, exempt)
    trial.ask(Errand(make, model))
    return trial.verdicts
