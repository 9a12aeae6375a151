"""The ball of the sum of absolute changes, cut to a box."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

import featlab as fl

from .balls import Ball


@dataclass(frozen=True, eq=False)
class L1(Ball):
    """The l1 ball, |x' - x|_1 <= eps. Steps move the `sparsity` share of the values whose gradient is largest.

    All that move do so by the same amount; the very steepest step would move one value alone, which is slow. Values at
    the bounds of the box, where the gradient points out of it, leave their turn to others. The projection is that on
    the ball and the box together, without which the ball is left half empty.
    Source: Tramer and Boneh 2019, section 4.1 (sparse l1 descent); Croce and Hein 2021, "Mind the box", section 3.
    """

    sparsity: float | torch.Tensor = 0.05
    norm = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        share = torch.as_tensor(self.sparsity)
        if share.dim() > 1 or not bool(((share > 0) & (share <= 1)).all()):
            raise ValueError(f"sparsity is the share of the values that a step moves, in (0, 1], got {self.sparsity}")

    def sparse(self, share: float | torch.Tensor) -> L1:
        """Return the ball with another sparsity, the same for all examples or one each."""
        return replace(self, sparsity=share)

    def rows(self, index: torch.Tensor) -> L1:
        """Return the ball of some of the examples."""
        part = super().rows(index)
        assert isinstance(part, L1)  # `replace` keeps the class.
        share = self.sparsity
        return replace(part, sparsity=share.to(index.device)[index]) if isinstance(share, torch.Tensor) else part

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the nearest points of the ball and the box."""
        return fl.ops.l1_project(points, center, eps=self.eps, low=self.low, high=self.high)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return sign(grad) / n on the n values of largest |grad|, and 0 elsewhere: the steepest that is as sparse."""
        nowhere, anywhere = torch.zeros_like(grad), float("inf")
        return fl.ops.l1_step(
            nowhere,
            grad,
            nowhere,
            eps=anywhere,
            step_size=1.0,
            count=self._count(grad),
            low=-anywhere,
            high=anywhere,
        )

    def admissible(self, grad: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Return the gradient with 0 where it points out of the box."""
        leaves = ((grad > 0) & (points >= self.high)) | ((grad < 0) & (points <= self.low))
        return torch.where(leaves, 0.0, grad)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return points uniform in the ball, cut to the box."""
        return fl.ops.l1_sample(
            center,
            eps=self.eps,
            seed=key.seed,
            examples=key.examples,
            restart=key.restart,
            low=self.low,
            high=self.high,
        )

    def step(
        self,
        points: torch.Tensor,
        grad: torch.Tensor,
        center: torch.Tensor,
        *,
        step_size: float | torch.Tensor,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the step of the definition, without a sort."""
        return fl.ops.l1_step(
            points,
            grad,
            center,
            eps=self.eps,
            step_size=step_size,
            count=self._count(points),
            low=self.low,
            high=self.high,
            out=out,
        )

    def _count(self, points: torch.Tensor) -> int | torch.Tensor:
        size = points[:1].numel()
        if isinstance(self.sparsity, torch.Tensor):
            return (self.sparsity.to(points.device) * size).round().clamp_min(1).to(torch.int64)
        return max(1, round(self.sparsity * size))
