"""Auto-PGD in the l1 ball: steps that are as sparse as the best change so far asks for, from large balls to small."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from featlab.rules import State, StepRule
from featlab.smallest import counters
from featlab.threat_models import Key, ThreatModel, spread
from featlab.types import Images, PerExample, Points, Scores


@dataclass(frozen=True)
class SparseAPGD(StepRule):
    """Ascent without momentum whose steps move few values, in balls that become smaller.

    After every `window` share of a ball's steps each example counts the values k that its best point changes. Where k
    fell below `steady` of what it was, the step size returns to the radius and the ascent to the best point; elsewhere
    the step size shrinks by `shrink`, down to a tenth of the radius. The next steps move k / `shrink` values.
    With `radii` (3, 2, 1) the first 30 % of the steps are in the threat model's own ball, the next 30 % in one of 2/3
    of its radius, and the rest in one of 1/3: each begins at the projection of the best point of the one before. The
    threat model is then the one of three times the radius that one means (`apgd` and the suites see to it).
    Source: Croce and Hein 2021, "Mind the box: l1-APGD for sparse adversarial attacks on image classifiers", sections
    3 and 4.
    """

    radii: tuple[float, ...] = (1.0,)
    window: float = 0.04
    shrink: float = 1.5
    steady: float = 0.95
    first: float = 0.2

    def begin(self, points: Points, *, steps: int, key: Key) -> State:
        """Return the start as its own best point."""
        del key
        count, size = len(points), points[:1].numel()
        one = torch.ones(count, dtype=torch.float64, device=points.device)
        return {
            **counters(points, steps=steps),
            "best": points.clone(),
            "best_grad": torch.zeros_like(points),
            "best_score": -torch.inf * one,
            "share": self.first * one,
            "changed": size * one,
            "factor": one,
        }

    def phases(self, steps: int) -> list[int]:
        """Return the numbers of the steps at which a next ball begins, the first one's 0 among them."""
        shares = {1: (), 2: (0.5,), 3: (0.3, 0.6)}.get(len(self.radii))
        if shares is None:
            raise ValueError(f"radii are one, two or three numbers, the first the largest; got {self.radii}")
        return [0, *(int(share * steps) for share in shares)]

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
        """Return the sparse step from here or from the best point, or the best point in the next ball."""
        number, steps = int(state["number"][0]), int(state["steps"][0])
        starts = self.phases(steps)
        phase = max(place for place, start in enumerate(starts) if start <= number)
        ball = self._ball(within, phase)
        state = self._improved(points, grad, scores, state)
        if phase > 0 and number == starts[phase]:
            moved, state = self._narrowed(ball, center, state)
        else:
            length = [*starts, steps][phase + 1] - starts[phase]
            every = max(int(self.window * length), 1)
            checks = number > starts[phase] and (number - starts[phase]) % every == 0
            again, state = self._checked(ball, center, state) if checks else (None, state)
            here = points if again is None else torch.where(again, state["best"], points)
            uphill = grad if again is None else torch.where(again, state["best_grad"], grad.to(points.dtype))
            size = state["factor"] * spread(step_size, state["factor"]) * (self.radii[phase] / self.radii[0])
            moved = ball.sparse(state["share"]).step(here, uphill, center, step_size=size)
        moved = moved if out is None else out.copy_(moved)
        return moved, {**state, "number": state["number"] + 1}

    def _ball(self, within: ThreatModel, phase: int) -> ThreatModel:
        return within if phase == 0 else within.resized(within.radius * self.radii[phase] / self.radii[0])

    def _improved(self, points: Points, grad: Points, scores: Scores, state: State) -> State:
        """Return the state with the points that score more than all before in this ball."""
        better = scores.double() > state["best_score"]
        where = better.reshape(-1, *[1] * (points.dim() - 1))
        return {
            **state,
            "best": torch.where(where, points, state["best"]),
            "best_grad": torch.where(where, grad.to(points.dtype), state["best_grad"]),
            "best_score": torch.where(better, scores.double(), state["best_score"]),
        }

    def _narrowed(self, ball: ThreatModel, center: Images, state: State) -> tuple[Points, State]:
        """Return the best points in a smaller ball, where nothing is known yet of the scores."""
        best = ball.project(state["best"], center)
        changed = _changed(best, center)
        return best, {
            **state,
            "best": best,
            "best_score": torch.full_like(state["best_score"], -torch.inf),
            "share": self._share(changed, center),
            "changed": changed,
            "factor": torch.ones_like(state["factor"]),
        }

    def _checked(self, ball: ThreatModel, center: Images, state: State) -> tuple[Tensor, State]:
        """Return which examples go back to their best point, and the state with new shares and step sizes."""
        del ball
        changed = _changed(state["best"], center)
        fewer = changed < self.steady * state["changed"]
        slower = (state["factor"] / self.shrink).clamp_min(0.1)
        state = {
            **state,
            "share": self._share(changed, center),
            "changed": changed,
            "factor": torch.where(fewer, 1.0, slower),
        }
        return fewer.reshape(-1, *[1] * (center.dim() - 1)), state

    def _share(self, changed: Tensor, center: Images) -> Tensor:
        size = center[:1].numel()
        return (changed / self.shrink / size).clamp(1 / size, 1.0)


def _changed(points: Points, center: Images) -> Tensor:
    """Return how many values differ, per example in float64."""
    return (points != center).flatten(1).sum(dim=1).double()
