"""What several tasks share: the class that is meant, the picture that was measured, smoothness, and step rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

import featlab as fl

Rule = Literal["adam", "steepest"]


def rule_of(name: str) -> fl.StepRule:
    """Return Adam, which lets small gradients come to rest, or the steepest step of the papers."""
    if name not in {"adam", "steepest"}:
        raise ValueError(f"rule must be adam or steepest; got {name!r}")
    return fl.Adam() if name == "adam" else fl.Steepest()


def smoothed(score: fl.Objective, images: torch.Tensor, variation: float) -> fl.Objective:
    """Return score - variation * TV(x') / size: the total variation per value of an image has a say."""
    return score - variation / images[0].numel() * fl.total_variation() if variation else score


def answers(model: nn.Module, images: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
    """Return the labels, or where there are none what the model answers to the images, (batch,)."""
    return fl.predict(model, images) if labels is None else labels


@dataclass(frozen=True, eq=False)
class Explains(fl.Objective):
    """-mean((A(x) - y)^2): how well images x explain what was measured of them, y, by a known A."""

    measure: Callable[[torch.Tensor], torch.Tensor]
    measured: torch.Tensor

    def __call__(self, images: torch.Tensor, /) -> torch.Tensor:
        """Return the negative mean squared difference of each."""
        return -(self.measure(images) - self.measured).square().flatten(1).mean(dim=1)

    def rows(self, index: torch.Tensor) -> Explains:
        """Return the objective of some of the examples."""
        return replace(self, measured=self.measured[index])
