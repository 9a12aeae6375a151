"""Step rules: how a gradient becomes the next point."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from featlab.threat_models import Key, ThreatModel, spread
from featlab.types import Images, PerExample, Points, Scores

State = dict[str, Tensor]
"""What a rule remembers from step to step: tensors with one row per example, so that examples may leave the batch."""


class StepRule(ABC):
    """How a gradient becomes the next point.

    Where `needs_gradient` is False the loop runs forward passes only, and `update` is given the points for a gradient.
    """

    needs_gradient: ClassVar[bool] = True

    def begin(self, points: Points, *, steps: int, key: Key) -> State:
        """Return the state before the first of `steps` steps; `key` is what a rule that draws draws by."""
        del points, steps, key
        return {}

    @abstractmethod
    def update(
        self,
        points: Points,
        grad: Points,
        scores: Scores,
        center: Images,
        *,
        within: ThreatModel,
        step_size: PerExample,
        state: State,
        out: Points | None = None,
    ) -> tuple[Points, State]:
        """Return the next points, inside S(center), and the next state.

        `grad` and `scores` are those of `points`; `out` receives the next points where given, and may be `points`. The
        tensors of `state` may be written over.
        """


@dataclass(frozen=True)
class Steepest(StepRule):
    """Projected steepest ascent, x' = P(x + step_size * steepest(g)). Source: Madry et al. 2018, section 2.1."""

    def update(
        self,
        points: Points,
        grad: Points,
        scores: Scores,
        center: Images,
        *,
        within: ThreatModel,
        step_size: PerExample,
        state: State,
        out: Points | None = None,
    ) -> tuple[Points, State]:
        """Return the step of the threat model itself."""
        del scores
        return within.step(points, grad, center, step_size=step_size, out=out), state


@dataclass(frozen=True)
class Momentum(StepRule):
    """Steepest ascent along m' = decay * m + g / |g|_1. Source: Dong et al. 2018, section 3.1 (MI-FGSM)."""

    decay: float = 1.0

    def begin(self, points: Points, *, steps: int, key: Key) -> State:
        """Return a momentum of zero."""
        del steps, key
        return {"momentum": torch.zeros_like(points)}

    def update(
        self,
        points: Points,
        grad: Points,
        scores: Scores,
        center: Images,
        *,
        within: ThreatModel,
        step_size: PerExample,
        state: State,
        out: Points | None = None,
    ) -> tuple[Points, State]:
        """Return the steepest step along the accumulated, normalised gradients."""
        del scores
        moved = within.accumulated_step(
            points,
            grad,
            center,
            momentum=state["momentum"],
            decay=self.decay,
            step_size=step_size,
            out=out,
        )
        return moved, state


@dataclass(frozen=True)
class Adam(StepRule):
    """Adam's direction, then the projection; the step size is its learning rate. Source: Kingma and Ba 2015, alg. 1."""

    beta1: float = 0.9
    beta2: float = 0.999
    floor: float = 1e-8

    def begin(self, points: Points, *, steps: int, key: Key) -> State:
        """Return moments of zero."""
        del steps, key
        count = torch.zeros(points.shape[0], dtype=points.dtype, device=points.device)
        return {"first": torch.zeros_like(points), "second": torch.zeros_like(points), "count": count}

    def update(
        self,
        points: Points,
        grad: Points,
        scores: Scores,
        center: Images,
        *,
        within: ThreatModel,
        step_size: PerExample,
        state: State,
        out: Points | None = None,
    ) -> tuple[Points, State]:
        """Return P(x + step_size * m / (sqrt(v) + floor)) with bias-corrected moments m and v."""
        del scores
        grad = grad.to(points.dtype)
        count = state["count"] + 1
        first = torch.lerp(grad, state["first"], self.beta1)
        second = torch.lerp(grad.square(), state["second"], self.beta2)
        mean = first / spread(1 - self.beta1**count, points)
        scale = (second / spread(1 - self.beta2**count, points)).sqrt() + self.floor
        moved = within.project(points + spread(step_size, points) * mean / scale, center)
        moved = moved if out is None else out.copy_(moved)
        return moved, {"first": first, "second": second, "count": count}
