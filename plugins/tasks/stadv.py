"""Spatially transformed adversarial examples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

import featlab as fl

from ..threat_models.flow import flow_loss


@dataclass(frozen=True)
class Smoothly(fl.Adam):
    """Adam along the gradient of score - weight * flow_loss, for points that are flow fields.

    Source: Xiao et al. 2018, section 3.2, equation 2; there with L-BFGS.
    """

    weight: float = 0.005

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
        """Return Adam's step along the gradient less that of the penalty."""
        with torch.enable_grad():
            flow = points.detach().requires_grad_()
            (rough,) = torch.autograd.grad(flow_loss(flow).sum(), flow)
        less = grad.to(rough.dtype) - self.weight * rough
        return super().update(points, less, scores, center, within=within, step_size=step_size, state=state, out=out)


def stadv(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float = 4.0,
    weight: float = 0.005,
    targeted: bool = False,
    steps: int = 200,
    step_size: float = 0.02,
    seed: int = 0,
    examples: torch.Tensor | None = None,
) -> fl.Problem:
    """Let the pixels of `images` flow, neighbours together, until the model does not answer `labels` any more.

    argmax_f margin(f) - weight * flow_loss(f), the flow f one displacement of at most `eps` pixels for each pixel;
    Adam takes the place of the paper's L-BFGS, and each image ends where the model first errs. With `targeted` it ends
    where the model first answers `labels`. Images are (batch, channels, height, width), `step_size` is in pixels. The
    `weight` is in logits: a larger one gives smoother flows, and fools fewer of the images.
    Source: Xiao et al. 2018, "Spatially transformed adversarial examples", section 3.2 (there the weight is 0.05).
    """
    return fl.pgd(
        model,
        images,
        labels,
        within=fl.threat_model("flow", eps=eps, spacing=1),
        steps=steps,
        step_size=step_size,
        loss="margin",
        targeted=targeted,
        stop=True,
        rule=Smoothly(weight=weight),
        seed=seed,
        examples=examples,
    )
