"""Step rules that search the smallest change: along a linearised boundary, and by a radius that breathes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from featlab.rules import State, StepRule
from featlab.threat_models import Key, ThreatModel, spread
from featlab.types import Images, PerExample, Points, Scores


SPARSER = 1.5
"""By how much fewer values move than are changed (Croce and Hein 2021, section 4)."""


def counters(points: Points, *, steps: int) -> State:
    """Return what a rule needs to know how far its schedule is: the step's number and the number of steps."""
    number = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    return {"number": number, "steps": torch.full_like(number, max(steps, 1))}


def elapsed(state: State) -> Tensor:
    """Return the part of the steps that lies behind, from 0 to almost 1, per example in float64."""
    return state["number"].double() / state["steps"]


@dataclass(frozen=True)
class FAB(StepRule):
    """The fast adaptive boundary attack: steps to where the score, made linear, is zero, and back towards the centre.

    The score is to be positive exactly where an example is finished (`margin`, or `margin_targeted` for the targeted
    form), and the set is to be one whose radius does not bind: `fab` sees to both. With H the points of the box where
    the linear score is 0, x* = reach(x, H) and c* = reach(center, H), the next point is
    P((1 - a)(x + n (x* - x)) + a (center + n (c* - center))), with a = min(|x* - x| / (|x* - x| + |c* - center|), bias)
    and n the step size: 1 ends on the linear boundary, and what is more overshoots it, less and less towards the last
    step. From a positive score the step starts at center + back (x - center).
    Source: Croce and Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary attack",
    section 3 and algorithm 1 (there a step back takes its own gradient; here it keeps the linear score of the point).
    """

    bias: float = 0.1
    back: float = 0.9

    def begin(self, points: Points, *, steps: int, key: Key) -> State:
        """Return the count of the steps."""
        del key
        return counters(points, steps=steps)

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
        """Return the biased step over the linear boundary."""
        origin, grad = within.start(center), grad.to(points.dtype)
        share = torch.where(scores > 0, self.back, 1.0).to(points.dtype)
        start = origin + spread(share, points) * (points - origin)
        # What the score still lacks at the start and at the centre, if it is linear.
        slope = ((points - origin).double() * grad.double()).flatten(1).sum(dim=1)
        lacking = -scores.double()
        ahead = within.reach(start, grad, lacking + (1 - share.double()) * slope)
        aside = within.reach(origin, grad, lacking + slope)
        way, detour = _length(within, ahead, start), _length(within, aside, origin)
        bias = (way / (way + detour).clamp_min(1e-12)).clamp(0.0, self.bias)
        over = self._overshoot(step_size, state).to(points.dtype)
        ahead, aside = (
            begin + spread(over, points) * (end - begin) for begin, end in ((start, ahead), (origin, aside))
        )
        moved = within.project(
            torch.lerp(ahead, aside, spread(bias.to(points.dtype), points) + torch.zeros_like(points)), center
        )
        moved = moved if out is None else out.copy_(moved)
        return moved, {**state, "number": state["number"] + 1}

    def _overshoot(self, step_size: PerExample, state: State) -> Tensor:
        beyond = torch.as_tensor(step_size, dtype=torch.float64, device=state["number"].device) - 1.0
        return 1.0 + beyond * (1.0 - elapsed(state)).clamp_min(0.02)


def _length(within: ThreatModel, points: Points, start: Points) -> Scores:
    """Return the length of a way in the norm of the set."""
    order = within.order or 2.0
    length: Scores = torch.linalg.vector_norm((points - start).flatten(1).double(), ord=order, dim=1)
    return length


def _sparse(within: ThreatModel, points: Points, origin: Points) -> ThreatModel:
    """Return the set whose steps are a little sparser than the change so far; a fifth of the values where none is."""
    size = points[:1].numel()
    changed = (points != origin).flatten(1).sum(dim=1).double()
    return within.sparse(torch.where(changed > 0, changed / SPARSER, size / 5).clamp_min(1.0) / size)


@dataclass(frozen=True)
class DDN(StepRule):
    """Decoupled direction and norm: steepest steps on a sphere that shrinks by `rate` when the score is positive.

    d' = d + s r steepest(grad), with the radius r and the step size s, then r' = r (1 - rate) or r (1 + rate), and the
    next point is the one of the sphere of radius r' and the box that is nearest to center + d'. Step size and rate fall
    along half a cosine, to a hundredth at the last step. The first radius is the distance to the linearised boundary,
    so there is no scale to choose. Where steps can be sparse (l1), each moves 2/3 of as many values as are changed.
    The score is to be positive exactly where an example is finished.
    Source: Rony et al. 2019, section 4 and algorithm 1 (there in l2, with a first radius of 1 and a constant rate);
    the falling rate and the first radius: Pintor et al. 2021 (FMN), section 2.
    """

    rate: float = 0.05

    def begin(self, points: Points, *, steps: int, key: Key) -> State:
        """Return the count of the steps, and a radius not yet known."""
        del key
        size = torch.full((len(points),), torch.nan, dtype=torch.float64, device=points.device)
        return {**counters(points, steps=steps), "size": size}

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
        """Return the point of the next sphere in the direction so far and uphill."""
        origin, grad = within.start(center), grad.to(points.dtype)
        falls = 0.01 + 0.99 * (1 + torch.cos(math.pi * elapsed(state))) / 2
        size = state["size"]
        first = _length(within, within.reach(points, grad, -scores.double()), origin)
        sign = torch.where(scores > 0, -1.0, 1.0).double()
        size = torch.where(size.isnan(), first, size * (1 + self.rate * falls * sign))
        pace = torch.as_tensor(step_size, dtype=torch.float64, device=size.device) * falls * size
        uphill = _sparse(within, points, origin).steepest(within.admissible(grad, points))
        change = points - origin + spread(pace, points) * uphill
        length = _length(within, change, torch.zeros_like(change))
        # Too short a change is scaled up; too long a one has its nearest point on the sphere, which in l1 is sparse.
        factor = torch.where(length > 0, size / length.clamp_min(1e-300), 1.0).clamp_min(1.0)
        moved = within.resized(size).project(origin + spread(factor, points) * change, center)
        moved = moved if out is None else out.copy_(moved)
        return moved, {**state, "number": state["number"] + 1, "size": size}
