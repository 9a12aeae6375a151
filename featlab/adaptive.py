"""Auto-PGD: momentum, and a step size that halves where the scores stop rising."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from featlab.rules import State, StepRule
from featlab.threat_models import Key, ThreatModel, Trail, spread
from featlab.types import Images, PerExample, Points, Scores, Verdicts


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
        score = torch.zeros(count, dtype=torch.float64, device=device)
        windows = torch.tensor(self.windows(steps), dtype=torch.float64, device=device)
        return {
            "previous": points.clone(),
            "best": points.clone(),
            "best_grad": torch.zeros_like(points),
            "windows": windows.expand(count, -1),
            "number": torch.zeros(count, dtype=torch.int64, device=device),
            "score": score,
            "best_score": score,
            "checked_score": score,
            "rises": score,
            "factor": torch.ones_like(score),
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
        improved, back, record = self._judge(scores.double(), state)
        # The first step has no momentum yet, and the paper takes it whole.
        alpha = torch.where(state["number"] == 0, 1.0, torch.full_like(record["factor"], self.alpha))
        trail = Trail(state["previous"], state["best"], state["best_grad"])
        moved = within.momentum_step(
            points,
            grad,
            center,
            trail=trail,
            improved=improved,
            back=back,
            step_size=record["factor"] * spread(step_size, record["factor"]),
            alpha=alpha,
            out=out,
        )
        return moved, {**state, **record}

    def _judge(self, scores: Scores, state: State) -> tuple[Verdicts, Verdicts, State]:
        """Return who is better than ever, who goes back to its best point with half the step, and the new record."""
        begins = state["number"] == 0
        improved = begins | (scores > state["best_score"])
        best = torch.where(improved, scores, state["best_score"])
        checked = torch.where(begins, scores, state["checked_score"])
        rises = torch.where(begins, 0.0, state["rises"] + (scores > state["score"]))
        window = state["windows"].gather(1, state["number"][:, None])[:, 0]
        check = window > 0
        stuck = (rises <= self.rho * window) | (~state["halved"] & (checked >= best))
        back = check & stuck
        record = {
            "number": state["number"] + 1,
            # The published code compares the score of the first step with 0, not with that of the start.
            "score": torch.where(begins, 0.0, scores),
            "best_score": best,
            "checked_score": torch.where(check, best, checked),
            "rises": torch.where(check, 0.0, rises),
            "factor": torch.where(back, state["factor"] / 2, state["factor"]),
            "halved": torch.where(check, stuck, state["halved"]),
        }
        return improved, back, record
