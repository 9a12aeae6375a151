"""What threat models share whose points are not images but numbers about zero, where zero stands for the image."""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

import featlab as fl


@dataclass(frozen=True, eq=False)
class Offsets(fl.ThreatModel):
    """Points in a cube about zero, which `decode` makes images of; steps follow the sign of the gradient.

    Each number lies in [-eps, eps], or in [0, eps] where the points are `one_sided`. `eps`, one number or one for each
    example, is at most `most`, beyond which there are no other images.
    """

    one_sided: ClassVar[bool] = False
    most: ClassVar[float] = 1.0
    eps: float | torch.Tensor

    def __post_init__(self) -> None:
        check_size(self.eps, most=self.most)

    @abstractmethod
    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return zeros, as many as `decode` takes; images that it cannot change are a ValueError."""

    @property
    def radius(self) -> float | torch.Tensor:
        """The size eps."""
        return self.eps

    @property
    def order(self) -> float:
        """A cube is the ball of the max norm."""
        return math.inf

    def resized(self, radius: float | torch.Tensor) -> Offsets:
        """Return the set with another eps, which becomes `most` where it is more."""
        return replace(self, eps=at_most(radius, self.most))

    def rows(self, index: torch.Tensor) -> Offsets:
        """Return the threat model of some of the examples."""
        return replace(self, eps=self.eps.to(index.device)[index]) if isinstance(self.eps, torch.Tensor) else self

    def distance(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the least eps of a set that the points are in."""
        del center
        return points.flatten(1).abs().amax(dim=1).double()

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the nearest points of the cube."""
        del center
        low = 0.0 if self.one_sided else -math.inf
        return fl.ops.linf_project(points, torch.zeros_like(points), eps=self.eps, low=low, high=math.inf)

    def admissible(self, grad: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Return the gradient with 0 where it points below the 0 of points that are one-sided."""
        return torch.where((points <= 0) & (grad < 0), 0.0, grad) if self.one_sided else grad

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return sign(grad), and 0 where the gradient is NaN."""
        return grad.sign().nan_to_num(0.0)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return points uniform in the cube."""
        drawn = fl.ops.linf_sample(
            self.start(center),
            eps=1.0,
            seed=key.seed,
            examples=key.examples,
            restart=key.restart,
            low=-math.inf,
            high=math.inf,
        )
        return each(self.eps, drawn) * (drawn * 0.5 + 0.5 if self.one_sided else drawn)


def at_most(value: float | torch.Tensor, most: float) -> float | torch.Tensor:
    """Return the smaller of a per-example value and a number."""
    return value.clamp(max=most) if isinstance(value, torch.Tensor) else min(value, most)


def check_size(eps: float | torch.Tensor, *, most: float = math.inf, unit: str = "") -> None:
    """Refuse an `eps` that is no finite number in [0, most], or is not one number or one for each example."""
    if isinstance(eps, torch.Tensor) and eps.dim() != 1:
        raise ValueError(f"eps must be one number, or one for each example, got shape {tuple(eps.shape)}")
    size = torch.as_tensor(eps)
    if not bool(((size >= 0) & (size <= most) & (size < math.inf)).all()):  # NaN is not >= 0 either.
        bounds = ">= 0" if most == math.inf else f"from 0 to {most:g}"
        raise ValueError(f"eps must be a finite number {bounds}{unit}, got {eps}")


def check_pictures(name: str, center: torch.Tensor, *, channels: tuple[int, ...] = ()) -> None:
    """Refuse images that are not (batch, channels, height, width), or have a number of channels that is not listed."""
    shape = tuple(center.shape)
    if center.dim() != 4:
        raise ValueError(
            f"{name} needs images of shape (batch, channels, height, width), got {shape}; reshape them, "
            "or take a threat model for any shape, such as linf or l2"
        )
    if channels and shape[1] not in channels:
        counts = " or ".join(str(count) for count in channels)
        raise ValueError(f"{name} needs images of {counts} channels, got shape {shape}; convert them to grey or RGB")


def each(value: float | torch.Tensor, like: torch.Tensor) -> float | torch.Tensor:
    """Return a per-example value shaped so that it broadcasts over each example of `like`."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.to(like).reshape(-1, *[1] * (like.dim() - 1))


def settled(soft: torch.Tensor, hard: torch.Tensor) -> torch.Tensor:
    """Return the values `hard`, to the bit, with the gradient of `soft`, which equals them up to rounding."""
    return hard.detach() + (soft - soft.detach())


def constant(build: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Let a function of numbers be computed once per type and device, those of the tensor that it is given first."""

    @functools.lru_cache(maxsize=64)
    def kept(dtype: torch.dtype, device: torch.device, *numbers: float) -> torch.Tensor:
        with torch.inference_mode(False), torch.no_grad():  # What is kept must serve those who differentiate, too.
            built = build(*numbers)
            return built.to(device, dtype if built.is_floating_point() else built.dtype)

    @functools.wraps(build)
    def constant_like(like: torch.Tensor, *numbers: float) -> torch.Tensor:
        return kept(like.dtype, like.device, *numbers)

    return constant_like
