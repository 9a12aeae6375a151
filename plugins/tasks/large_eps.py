"""Large-eps adversarial examples."""

from __future__ import annotations

import torch
from torch import nn

import featlab as fl


def large_eps(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    within: fl.ThreatModel,
    steps: int = 40,
    relative_step: float = 2.5,
) -> fl.Problem:
    """Move `images` towards the classes `labels` inside a set so large that people see the change.

    Steps have the size `relative_step` * within.radius / `steps`. Source: Tsipras et al. 2019, section 3.3.
    """
    size = relative_step * within.radius / max(steps, 1)
    return fl.pgd(model, images, labels, within=within, steps=steps, step_size=size, targeted=True)
