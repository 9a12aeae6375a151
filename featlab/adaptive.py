"""Auto-PGD: momentum, and a step size that halves where the scores stop rising."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from featlab import ops
from featlab.rules import State, StepRule
from featlab.threat_models import Key, ThreatModel, Trail, spread
from featlab.types import Images, PerExample, Points, Scores

_SCORES = ("score", "best_score", "checked_score", "rises")
_RECORD = ("number", *_SCORES, "factor", "halved")


@dataclass(frozen=True)
class APGD(StepRule):
    """Ascent with momentum `alpha` whose step size halves, per example, at checkpoints where it did too little.

    A window between checkpoints did too little where the score rose in at most `rho` of its steps, or where neither
    the best score nor the step size changed since the window before; the ascent then goes on from its best point. The
    first window takes the share `first` of the steps, each later one `shrink` less, and none less than `least`. The
    step size of the problem is the first one; the paper's is twice the radius.
    Source: Croce and Hein 2020 (AutoAttack), section 3 and algorithm 1.
    """

    alpha: float = 0.75
    rho: float = 0.75
    first: float = 0.22
    shrink: float = 0.03
    least: float = 0.06

    def begin(self, points: Points, *, steps: int, key: Key) -> State:
        """Return the start as its own best point, with no history."""
        del key
        device, count = points.device, len(points)
        windows = torch.tensor(self.windows(steps), dtype=torch.float64, device=device)
        return {
            "previous": points.clone(),
            "best": points.clone(),
            "best_grad": torch.zeros_like(points),
            "windows": windows.expand(count, -1),
            "number": torch.zeros(count, dtype=torch.int64, device=device),
            # Written over at each step, so none may be another one.
            **{name: torch.zeros(count, dtype=torch.float64, device=device) for name in _SCORES},
            "factor": torch.ones(count, dtype=torch.float64, device=device),
            "halved": torch.ones(count, dtype=torch.bool, device=device),
        }

    def windows(self, steps: int) -> list[int]:
        """Return, for the points after 0, 1, ... `steps` steps, the length of the window that ends there; else 0."""
        window = max(int(self.first * steps), 1)
        shrink, least = max(int(self.shrink * steps), 1), max(int(self.least * steps), 1)
        table, checkpoint = [0] * (steps + 1), window
        while checkpoint <= steps:
            table[checkpoint] = window
            window = max(window - shrink, least)
            checkpoint += window
        return table

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
        """Return the step with momentum from here, or from the best point where the step size has just halved."""
        record = {name: state[name] for name in _RECORD}
        improved, back, alpha = ops.apgd_judge(
            scores.detach(), windows=state["windows"], rho=self.rho, alpha=self.alpha, **record
        )
        trail = Trail(state["previous"], state["best"], state["best_grad"])
        moved = within.momentum_step(
            points,
            grad,
            center,
            trail=trail,
            improved=improved,
            back=back,
            step_size=state["factor"] * spread(step_size, state["factor"]),
            alpha=alpha,
            out=out,
        )
        return moved, state
