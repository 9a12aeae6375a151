"""Running a stroke step by step, and a whole painting again; both are the same steps, so both end in the same image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import torch
import torch.nn.functional as F

from featlab.following import keeping
from featlab.forms import fields_of, values_of, words_of
from featlab.models import Classifier
from featlab.names import lookup
from featlab.painting.strokes import Painting, Stroke
from featlab.painting.targets import PAINT
from featlab.plugins import task
from featlab.problem import Problem
from featlab.specs import options_of
from featlab.types import Images, Scores

FACTOR: Final = "factor"
"""The option of tasks that make images so many times larger: they begin with the canvas, so many times smaller."""


@dataclass(frozen=True, eq=False)
class Frame:
    """What a stroke has come to after `number` of at most `of` steps.

    `images` are what the stroke would leave if it were stopped here, (count, channels, height, width); most tasks have
    one, and of several the last is the one that the next stroke begins with.
    """

    number: int
    of: int
    images: Images
    scores: Scores

    @classmethod
    def still(cls, image: Images) -> Frame:
        """Return the one frame of what runs no steps."""
        return cls(0, 0, image, torch.full((1,), torch.nan))

    @property
    def image(self) -> Images:
        """The image that the next stroke begins with."""
        return self.images[-1:]


def running(
    stroke: Stroke, before: Images, model: Classifier, *, original: Images, seed: int = 0, steps: int | None = None
) -> Iterator[Frame]:
    """Yield the frame of the start and one per step of a stroke, at most `steps` of them (by default, all that it has).

    `before` and `original` are (1, *model.shape): the image that the strokes before it left, and the first of all.
    A task without a `steps` of its own in its options runs as many as it does by default.
    """
    before, original = before.to(model.device), original.to(model.device)
    if stroke.erases:
        yield Frame.still(before.lerp(original, _mask(stroke, before)))
        return
    problem = problem_of(stroke, before, model, seed=seed, steps=steps)
    whole = (problem.steps + 1) * problem.restarts * problem.within.variants - 1
    most = whole if steps is None else min(whole, steps)
    for number, kept in enumerate(islice(keeping(problem), most + 1)):
        yield Frame(number, most, kept.images, kept.scores)


def replay(painting: Painting, model: Classifier) -> Images:
    """Return the image that a painting ends with, (1, *shape) on the CPU: the same bytes that its strokes once left."""
    first = painting.image.image(model.shape)
    image = first
    for stroke in painting.strokes:
        image = painted(stroke, image, model, original=first, seed=painting.seed)
    return image


def painted(stroke: Stroke, before: Images, model: Classifier, *, original: Images, seed: int = 0) -> Images:
    """Return the image after a stroke's steps, (1, *shape) on the CPU."""
    frame: Frame | None = None
    for frame in running(stroke, before, model, original=original, seed=seed, steps=stroke.steps):  # noqa: B007
        pass
    assert frame is not None  # There is always the frame of the start.
    return frame.image.cpu()


def problem_of(stroke: Stroke, before: Images, model: Classifier, *, seed: int, steps: int | None) -> Problem:
    """Return the problem that a stroke's task makes; ValueError where a word or an option is missing or wrong."""
    make = task(stroke.task)
    known, what = options_of(make), f"task {stroke.task!r}"
    options = dict(stroke.options)
    if stroke.task == PAINT and steps is not None:
        options["steps"] = steps
    for name in options:
        lookup(f"an option of {what}", name, {each: None for each in known if each not in words_of(make)})
    if "seed" in known:
        options.setdefault("seed", seed)
    needed = [each.name for each in fields_of(make) if each.required and each.name not in options]
    if needed:
        raise ValueError(f"{what} needs the option {needed[0]!r}; give it a value")
    given = values_of(make, options, what=what)
    shrink = given.get(FACTOR, known[FACTOR].default) if FACTOR in known else 1
    problem = make(**_words(stroke, before, model, shrink=shrink), **given)
    if not isinstance(problem, Problem):
        raise ValueError(f"{what} must return a featlab.Problem to be run here; got {type(problem).__name__}")
    if tuple(problem.center.shape[1:]) != model.shape or len(problem.center) < 1:
        raise ValueError(
            f"{what} makes images of shape {tuple(problem.center.shape[1:])}, which do not fit on a canvas of "
            f"{model.shape}; run it as a command"
        )
    return problem


def _words(stroke: Stroke, before: Images, model: Classifier, *, shrink: int = 1) -> dict[str, Any]:
    """Return what a task asks for by name; a word that it needs and the stroke has not is an error."""
    if not isinstance(shrink, int) or shrink < 1 or any(side % shrink for side in model.shape[1:]):
        raise ValueError(f"{FACTOR} must divide the sides of the canvas, {model.shape[1:]}; got {shrink}")
    images, mask = (F.avg_pool2d(each, shrink) if shrink > 1 else each for each in (before, _mask(stroke, before)))
    given: dict[str, Any] = {"model": model, "images": images, "mask": mask}
    if stroke.target is not None:
        given |= dict([stroke.target.word(model, stroke.task)])
    asked = words_of(task(stroke.task))
    missing = [word for word, needed in asked.items() if needed and word not in given]
    if missing:
        kinds = {"labels": "a class", "unit": "a unit", "reference": "a reference"}
        raise ValueError(f"task {stroke.task!r} needs {kinds.get(missing[0], missing[0])} as its target; choose one")
    return {word: value for word, value in given.items() if word in asked}


def _mask(stroke: Stroke, before: Images) -> Images:
    height, width = before.shape[2:]
    return stroke.area.mask(height, width).to(before)
