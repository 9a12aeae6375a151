"""Multi-steepest descent: a step that tries every member of a union."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

import featlab as fl

from .relative import Relative
from .union import Union, chosen


@dataclass(frozen=True, eq=False)
class MultiSteepest(fl.StepRule):
    """The member's step that ends with the largest loss: argmax_i f(P_i(x + a r_i v_i(g))), r_i the member's radius.

    For a union with how="msd". Every step takes one forward pass per member, through the `objective`, for which one
    gives what the problem climbs; without one, the step with the largest <g, x' - x> is taken, at no forward pass.

        within = fl.threat_model("union:of=linf:eps=8/255+l2:eps=1/2,how=msd")
        loss = fl.cross_entropy(model, labels)
        fl.maximize(fl.Problem(loss, images, within, 50, 0.1, rule=MultiSteepest(loss)))

    Source: Maini et al. 2020, section 4.2 and algorithm 1.
    """

    objective: Callable[[torch.Tensor], torch.Tensor] | None = None

    def begin(self, points: torch.Tensor, *, steps: int, key: fl.Key | None = None) -> dict[str, torch.Tensor]:
        """Return who each example is, as the objective is asked for the rows of those that are left."""
        del steps, key
        return {"row": torch.arange(len(points), device=points.device)}

    def update(
        self,
        points: torch.Tensor,
        grad: torch.Tensor,
        scores: torch.Tensor,
        center: torch.Tensor,
        *,
        within: fl.ThreatModel,
        step_size: float | torch.Tensor,
        state: dict[str, torch.Tensor],
        out: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the best of the members' steps; where no loss is a number, that of the first."""
        del scores
        if not (isinstance(within, Union) and within.how == "msd"):
            raise ValueError(f"MultiSteepest steps inside a union with how='msd'; got {within!r}")
        found = torch.stack([Relative(each).step(points, grad, center, step_size=step_size) for each in within.of])
        values = self._values(found, points, grad, state["row"]).nan_to_num(nan=-torch.inf)
        moved = chosen(found, values.argmax(dim=0))
        return moved if out is None else out.copy_(moved), state

    def _values(self, found: torch.Tensor, points: torch.Tensor, grad: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        """Return how good each candidate is for each example, (candidates, batch)."""
        if self.objective is None:
            return ((found - points) * grad.to(points.dtype)).flatten(2).sum(dim=2)
        # A plain function follows no rows; the loop lets no example leave where it has one.
        score = self.objective.rows(row) if isinstance(self.objective, fl.Objective) else self.objective
        with torch.no_grad():
            return torch.stack([score(each) for each in found])
