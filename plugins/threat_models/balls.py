"""Balls of the max norm and of the Euclidean norm, cut to a box."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

import featlab as fl


@dataclass(frozen=True, eq=False)
class Ball(fl.ThreatModel):
    """Points at distance at most `eps` from the centre with values in [low, high]; `eps` is one number or one each."""

    eps: float | torch.Tensor
    low: float = 0.0
    high: float = 1.0
    norm: ClassVar[float]

    def __post_init__(self) -> None:
        if isinstance(self.eps, torch.Tensor) and self.eps.dim() != 1:
            raise ValueError(f"eps must be one number, or one for each example, got shape {tuple(self.eps.shape)}")
        if not bool(torch.as_tensor(self.eps >= 0).all()):  # NaN is not >= 0 either.
            raise ValueError(f"eps must be a number >= 0, got {self.eps}")
        if not self.low < self.high:
            raise ValueError(f"low must be less than high, got {self.low} and {self.high}")

    @property
    def radius(self) -> float | torch.Tensor:
        """The radius eps."""
        return self.eps

    @property
    def order(self) -> float:
        """The p of the ball's norm."""
        return self.norm

    def resized(self, radius: float | torch.Tensor) -> Ball:
        """Return the ball with another eps."""
        return replace(self, eps=radius)

    def reach(self, points: torch.Tensor, grad: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        """Return the nearest points of hyperplane and box."""
        normal = grad.to(points.dtype)
        return fl.ops.hyperplane_project(points, normal, gain, order=self.norm, low=self.low, high=self.high)

    def rows(self, index: torch.Tensor) -> Ball:
        """Return the ball of some of the examples."""
        return replace(self, eps=self.eps.to(index.device)[index]) if isinstance(self.eps, torch.Tensor) else self


@dataclass(frozen=True, eq=False)
class Linf(Ball):
    """The max-norm ball, |x' - x|_inf <= eps. Steps follow the sign of the gradient.

    Source: Goodfellow et al. 2015, section 4; Madry et al. 2018, section 2.1.
    """

    norm = math.inf

    def __post_init__(self) -> None:
        super().__post_init__()
        width = self.high - self.low
        largest = float(self.eps.max()) if isinstance(self.eps, torch.Tensor) and len(self.eps) else self.eps
        if isinstance(largest, float | int) and math.isfinite(largest) and largest > width:
            raise ValueError(
                f"eps {largest:g} is out of scale: values lie in [{self.low:g}, {self.high:g}], so eps is at most "
                f"{width:g}; did you mean {largest:g}/255?"
            )

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the nearest points of the ball."""
        return fl.ops.linf_project(points, center, eps=self.eps, low=self.low, high=self.high)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return sign(grad), and 0 where the gradient is NaN."""
        return grad.sign().nan_to_num(0.0)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return points uniform in the ball."""
        return fl.ops.linf_sample(
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
        """Return the step of the definition, in one pass over memory."""
        return fl.ops.linf_step(
            points, grad, center, eps=self.eps, step_size=step_size, low=self.low, high=self.high, out=out
        )

    def accumulated_step(
        self,
        points: torch.Tensor,
        grad: torch.Tensor,
        center: torch.Tensor,
        *,
        momentum: torch.Tensor,
        decay: float | torch.Tensor,
        step_size: float | torch.Tensor,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the step of the definition, in one call."""
        return fl.ops.linf_accumulated_step(
            points,
            grad,
            center,
            momentum=momentum,
            eps=self.eps,
            step_size=step_size,
            decay=decay,
            low=self.low,
            high=self.high,
            out=out,
        )

    def momentum_step(
        self,
        points: torch.Tensor,
        grad: torch.Tensor,
        center: torch.Tensor,
        *,
        trail: fl.Trail,
        improved: torch.Tensor,
        back: torch.Tensor,
        step_size: float | torch.Tensor,
        alpha: float | torch.Tensor,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the step of the definition, in one pass over memory."""
        return fl.ops.linf_momentum_step(
            points,
            grad,
            center,
            previous=trail.previous,
            best=trail.best,
            best_grad=trail.best_grad,
            improved=improved,
            back=back,
            eps=self.eps,
            step_size=step_size,
            alpha=alpha,
            low=self.low,
            high=self.high,
            out=out,
        )


@dataclass(frozen=True, eq=False)
class L2(Ball):
    """The Euclidean ball, |x' - x|_2 <= eps. Steps follow the normalised gradient.

    The projection scales into the ball and then cuts to the box, as is usual; the result lies in both, but where the
    box cuts it is not the nearest such point. With `exact` it is, and as far from the centre as the ball allows.
    Source: Madry et al. 2018, section 2.1; Szegedy et al. 2014, section 4.
    """

    exact: bool = False
    norm = 2.0

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the points scaled into the ball, then cut to the box; the nearest points where `exact`."""
        project = fl.ops.l2_box_project if self.exact else fl.ops.l2_project
        return project(points, center, eps=self.eps, low=self.low, high=self.high)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return grad / |grad|, and 0 for a gradient of 0."""
        return normalized(grad)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return points uniform in the ball, cut to the box."""
        return fl.ops.l2_sample(
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
        """Return the step of the definition, in one pass over memory unless it is `exact`."""
        if self.exact:
            return super().step(points, grad, center, step_size=step_size, out=out)
        return fl.ops.l2_step(
            points, grad, center, eps=self.eps, step_size=step_size, low=self.low, high=self.high, out=out
        )

    def accumulated_step(
        self,
        points: torch.Tensor,
        grad: torch.Tensor,
        center: torch.Tensor,
        *,
        momentum: torch.Tensor,
        decay: float | torch.Tensor,
        step_size: float | torch.Tensor,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the step of the definition, in one call unless it is `exact`."""
        if self.exact:
            return super().accumulated_step(
                points, grad, center, momentum=momentum, decay=decay, step_size=step_size, out=out
            )
        return fl.ops.l2_accumulated_step(
            points,
            grad,
            center,
            momentum=momentum,
            eps=self.eps,
            step_size=step_size,
            decay=decay,
            low=self.low,
            high=self.high,
            out=out,
        )

    def momentum_step(
        self,
        points: torch.Tensor,
        grad: torch.Tensor,
        center: torch.Tensor,
        *,
        trail: fl.Trail,
        improved: torch.Tensor,
        back: torch.Tensor,
        step_size: float | torch.Tensor,
        alpha: float | torch.Tensor,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the step of the definition, in one pass over memory unless it is `exact`."""
        if self.exact:
            return super().momentum_step(
                points,
                grad,
                center,
                trail=trail,
                improved=improved,
                back=back,
                step_size=step_size,
                alpha=alpha,
                out=out,
            )
        return fl.ops.l2_momentum_step(
            points,
            grad,
            center,
            previous=trail.previous,
            best=trail.best,
            best_grad=trail.best_grad,
            improved=improved,
            back=back,
            eps=self.eps,
            step_size=step_size,
            alpha=alpha,
            low=self.low,
            high=self.high,
            out=out,
        )


def normalized(grad: torch.Tensor) -> torch.Tensor:
    """Return each example's gradient at Euclidean length one; a gradient of 0, or not finite anywhere, gives 0."""
    if grad.numel() == 0:
        return grad
    rows = grad.flatten(1).double()
    largest = rows.abs().amax(dim=1, keepdim=True)
    usable = (largest > 0) & largest.isfinite()
    # First to a common scale: the squares of 1e-200 would vanish.
    rows = torch.where(usable, rows / torch.where(usable, largest, 1.0), 0.0)
    length = rows.norm(dim=1, keepdim=True)
    return (rows / torch.where(usable, length, 1.0)).reshape(grad.shape).to(grad.dtype)
