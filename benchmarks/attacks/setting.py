"""What every attack of a comparison is given, and how its result is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import featlab as fl


@dataclass(frozen=True, eq=False)
class Setting:
    """One net, one batch, one ball, one budget; the step size is 2.5 eps / steps."""

    model: nn.Module
    images: Tensor
    labels: Tensor
    norm: str
    eps: float
    steps: int

    @property
    def step_size(self) -> float:
        """The step of PGD."""
        return 2.5 * self.eps / self.steps

    @property
    def within(self) -> fl.ThreatModel:
        """The ball as a threat model of featlab."""
        return fl.threat_model(self.norm, eps=self.eps)


Attack = Callable[[Setting], Tensor]
"""From a setting to adversarial images."""


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Undo what peers leave behind: gradients in the parameters, and other modes of the modules."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for parameter in model.parameters():
            parameter.grad = None
            parameter.requires_grad_(True)


def fooled(setting: Setting, found: Tensor) -> float:
    """Return the part of the images that the original float32 model gets wrong."""
    with torch.no_grad():
        answers = setting.model(found.detach().to(setting.images)).argmax(dim=1)
    return float((answers != setting.labels).float().mean())


def excess(setting: Setting, found: Tensor) -> float:
    """Return by how much the farthest image is outside the ball or the box, in float64 and relative to eps."""
    offset = (found.detach().double().to(setting.images.device) - setting.images.double()).flatten(1)
    order = {"linf": torch.inf, "l2": 2, "l1": 1}[setting.norm]
    beyond = torch.linalg.vector_norm(offset, ord=order, dim=1).max() / setting.eps - 1
    box = torch.maximum(-found.detach().min(), found.detach().max() - 1)
    return max(0.0, float(beyond), float(box))
