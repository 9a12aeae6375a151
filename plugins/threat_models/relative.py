"""Threat models side by side: steps in units of each one's radius, points of different shapes in one tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch

import featlab as fl


@dataclass(frozen=True, eq=False)
class Relative(fl.ThreatModel):
    """Another threat model whose step sizes are multiples of its radius, and whose own radius is therefore 1.

    A direction of length one is as long as the radius: r * steepest(grad).
    """

    inside: fl.ThreatModel

    def rows(self, index: torch.Tensor) -> Relative:
        """Return the threat model of some of the examples."""
        return replace(self, inside=self.inside.rows(index))

    def drawn(self, key: fl.Key) -> Relative:
        """Return the threat model with what is random about it drawn."""
        return replace(self, inside=self.inside.drawn(key))

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return the start of the other threat model."""
        return self.inside.start(center)

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the images of the other threat model."""
        return self.inside.decode(points, center)

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the projection of the other threat model."""
        return self.inside.project(points, center)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return a sample of the other threat model."""
        return self.inside.sample(center, key=key)

    def admissible(self, grad: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Return what the other threat model admits."""
        return self.inside.admissible(grad, points)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return the steepest direction of the other threat model, as long as its radius."""
        return spread(self.inside.radius, grad) * self.inside.steepest(grad)

    def step(
        self,
        points: torch.Tensor,
        grad: torch.Tensor,
        center: torch.Tensor,
        *,
        step_size: float | torch.Tensor,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the step of the other threat model."""
        return self.inside.step(points, grad, center, step_size=step_size * self.inside.radius, out=out)

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
        """Return the step with momentum of the other threat model."""
        return self.inside.momentum_step(
            points,
            grad,
            center,
            trail=trail,
            improved=improved,
            back=back,
            step_size=step_size * self.inside.radius,
            alpha=alpha,
            out=out,
        )


def spread(value: float | torch.Tensor, like: torch.Tensor) -> float | torch.Tensor:
    """Return one value, or one each, so that it broadcasts over each example of `like`."""
    return value.to(like).reshape(-1, *[1] * (like.dim() - 1)) if isinstance(value, torch.Tensor) else value


def members(of: Sequence[fl.ThreatModel], *, what: str) -> tuple[fl.ThreatModel, ...]:
    """Return threat models after seeing that they are some, each with a finite radius."""
    for each in of:
        if not isinstance(each, fl.ThreatModel):
            raise ValueError(f"{what} is made of threat models, such as fl.threat_model('l2', eps=0.5); got {each!r}")
        if not bool(torch.as_tensor(each.radius).isfinite().all()):
            raise ValueError(f"{what} steps by parts of each radius, so it must be finite; got {each!r}")
    if not of:
        raise ValueError(f"{what} is made of one threat model or more; got none")
    return tuple(of)


def moves_images(model: fl.ThreatModel) -> bool:
    """Say whether the points of a threat model are images."""
    inner = getattr(model, "inside", None)
    if isinstance(inner, fl.ThreatModel):
        return moves_images(inner)
    parts = getattr(model, "of", None)
    if type(model).decode is not fl.ThreatModel.decode:
        return False
    return all(moves_images(each) for each in parts) if isinstance(parts, tuple) else True


class Shapes:
    """The shapes of several threat models' points for images of one shape; learnt once, and found again by their size.

    A steepest direction is asked for by a gradient alone, which lies flat where the points of several threat models do.
    """

    def __init__(self) -> None:
        self._of_image: dict[torch.Size, tuple[torch.Size, ...]] = {}

    def learn(self, of: Sequence[fl.ThreatModel], center: torch.Tensor) -> tuple[torch.Size, ...]:
        """Return the shape of one example's points of each threat model."""
        image = center.shape[1:]
        if image not in self._of_image:
            one = torch.full((1, *image), 0.5, dtype=center.dtype, device=center.device)
            self._of_image[image] = tuple(each.start(one).shape[1:] for each in of)
        return self._of_image[image]

    def recall(self, size: int, *, whole: Callable[[Iterable[int]], int] = sum) -> tuple[torch.Size, ...]:
        """Return the shapes whose points have so many numbers in all (with `whole=max`, the largest of them)."""
        found = {shapes for shapes in self._of_image.values() if whole(shape.numel() for shape in shapes) == size}
        if len(found) == 1:
            return found.pop()
        raise ValueError(
            f"a gradient of {size} numbers must be that of points from start(center) or sample(center), for images of "
            f"one shape; there are {len(found)} ways to read it"
        )
