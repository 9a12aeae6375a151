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

    Steps have the size `relative_step` * within.radius / `steps`. Published at 224 pixels:
    l2:eps=40 with steps of 1.5 (steps=40, relative_step=1.5), linf:eps=0.25 with steps of 0.003 (steps=120,
    relative_step=1.44). Source: Tsipras et al. 2019, section 3.3.
    """
    size = relative_step * within.radius / max(steps, 1)
    return fl.pgd(model, images, labels, within=within, steps=steps, step_size=size, targeted=True)
