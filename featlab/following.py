"""A problem's solution with the way there: every frame, and what a classifier says to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from featlab.freezing import frozen
from featlab.problem import Problem, Step, ascend, maximize
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, Logits, Scores


@dataclass(frozen=True, eq=False)
class Kept:
    """A frame, and what `maximize` would return if the ascent ended with it: images, and what they are worth."""

    step: Step
    images: Images
    scores: Scores


def keeping(problem: Problem) -> Iterator[Kept]:
    """Yield every frame of an ascent with what it has come to.

    What counts is each example's finished, else best-scoring image; or the last; or with keep="nearest" the nearest of
    the finished ones, whose distance can be told in sets whose points are images alone (ValueError in others).
    """
    kept: Kept | None = None
    for step in ascend(problem):
        kept = _kept(kept, step, problem)
        yield kept


def _kept(before: Kept | None, step: Step, problem: Problem) -> Kept:
    worth = _worth(step, problem)
    if problem.keep == "last" or before is None:
        return Kept(step, problem.center if problem.keep == "nearest" else step.images, worth)
    take = worth > before.scores
    if problem.keep == "best" and step.done is not None:
        take = take | step.done
    images = torch.where(take.reshape(-1, *[1] * (step.images.dim() - 1)), step.images, before.images)
    return Kept(step, images, torch.where(take, worth, before.scores))


def _worth(step: Step, problem: Problem) -> Scores:
    """Return what the images of a step are judged by: their scores, or how near they are once they are finished."""
    if problem.keep != "nearest" or step.done is None:
        return step.scores
    if type(problem.within).decode is not ThreatModel.decode:
        raise ValueError("the nearest image of a set whose points are no images can be looked for in Python only")
    return torch.where(step.done, -problem.within.distance(step.images, problem.center), -torch.inf)


def follow(problem: Problem, see: Callable[[Step], None]) -> Images:
    """Return what `maximize` returns, to the bit, and show `see` every frame on the way."""
    # What these end with is not to be seen in the frames alone: it is searched once more.
    if problem.keep == "nearest" or (problem.keep == "last" and problem.within.variants > 1):
        for step in ascend(problem):
            see(step)
        return maximize(problem)
    kept: Kept | None = None
    for kept in keeping(problem):
        see(kept.step)
    assert kept is not None  # There is always the frame of the start.
    return kept.images


@dataclass
class Trace:
    """What is noted of each frame: scores, how far the images have come, and the probability of a class of each.

    The class is that of `labels`, where they are given; else the model's answer to the first frame.
    """

    model: Callable[[Images], Logits] | None
    labels: Labels | None = None
    start: Images | None = None

    def row(self, step: Step) -> dict[str, Any]:
        """Return the note of a frame as JSON values, with one number for each example."""
        start = step.images if self.start is None else self.start
        self.start = start
        change = (step.images - start).flatten(1).norm(dim=1)
        row = {
            "restart": step.restart,
            "step": step.number,
            "scores": rounded(step.scores),
            "change": rounded(change),
        }
        if self.model is None:
            return row
        with torch.no_grad(), frozen(self.model):
            odds = self.model(step.images).softmax(dim=1)
        self.labels = odds.argmax(dim=1) if self.labels is None else self.labels
        return {**row, "probabilities": rounded(odds.gather(1, self.labels[:, None])[:, 0])}


def rounded(values: Scores) -> list[float | None]:
    """Return numbers with six digits, and None for what is not finite, which JSON has no numbers for."""
    return [float(f"{value:.6g}") if abs(value) < float("inf") else None for value in values.tolist()]
