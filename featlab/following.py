"""A problem's solution with the way there: every frame, and what a classifier says to each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from featlab.freezing import frozen
from featlab.problem import Problem, Step, ascend, maximize
from featlab.types import Images, Labels, Logits, Scores


def follow(problem: Problem, see: Callable[[Step], None]) -> Images:
    """Return what `maximize` returns, to the bit, and show `see` every frame on the way."""
    found: Images | None = None
    best: Scores | None = None
    for step in ascend(problem):
        see(step)
        if found is None or best is None or problem.keep == "last":
            found, best = step.images, step.scores
            continue
        take = step.scores > best if step.done is None else (step.scores > best) | step.done
        found = torch.where(take.reshape(-1, *[1] * (found.dim() - 1)), step.images, found)
        best = torch.where(take, step.scores, best)
    assert found is not None  # There is always the frame of the start.
    # What these end with is not to be seen in the frames alone: it is searched once more.
    again = problem.keep == "nearest" or (problem.keep == "last" and problem.within.variants > 1)
    return maximize(problem) if again else found


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
