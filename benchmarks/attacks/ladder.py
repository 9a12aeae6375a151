"""The ablation ladder: featlab's own PGD with one lever of the loop at a time the other way."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

import featlab as fl
from benchmarks.attacks.providers import featlab_pgd, featlab_pgd_all
from benchmarks.attacks.setting import Attack, Setting


@dataclass(frozen=True)
class Plain(fl.ThreatModel):
    """A ball whose step is the field's usual line of PyTorch."""

    norm: str
    eps: float

    def steepest(self, grad: Tensor) -> Tensor:
        """Return the direction of length one."""
        if self.norm == "linf":
            return grad.sign()
        return grad / (grad.flatten(1).norm(dim=1) + 1e-10).reshape(-1, *[1] * (grad.dim() - 1))

    def project(self, points: Tensor, center: Tensor) -> Tensor:
        """Return the points in ball and box, up to rounding."""
        offset = points - center
        if self.norm == "linf":
            return (center + offset.clamp(-self.eps, self.eps)).clamp(0, 1)
        factor = (self.eps / offset.flatten(1).norm(dim=1).clamp_min(1e-12)).clamp_max(1)
        return (center + offset * factor.reshape(-1, *[1] * (offset.dim() - 1))).clamp(0, 1)

    def sample(self, center: Tensor, *, key: fl.Key) -> Tensor:
        """Return the centre: no attack here starts at random."""
        del key
        return center.clone()


def without_kernels(setting: Setting) -> Tensor:
    """Step in plain PyTorch instead of the fused kernels."""
    problem = fl.pgd(
        setting.model,
        setting.images,
        setting.labels,
        within=Plain(setting.norm, setting.eps),
        steps=setting.steps,
        step_size=setting.step_size,
        stop=True,
    )
    return fl.maximize(problem)


def without_freezing(setting: Setting) -> Tensor:
    """Let autograd see parameters that want gradients; a bound method hides the module from `frozen`."""
    return featlab_pgd(replace(setting, model=setting.model.__call__))


def channels_last(setting: Setting) -> Tensor:
    """Images and weights channels last in memory."""
    setting.model.to(memory_format=torch.channels_last)
    try:
        images = setting.images.contiguous(memory_format=torch.channels_last)
        return featlab_pgd(replace(setting, images=images)).contiguous()
    finally:
        setting.model.to(memory_format=torch.contiguous_format)


LEVERS: dict[str, Attack] = {
    "default": featlab_pgd,
    "without the active set": featlab_pgd_all,
    "without frozen parameters": without_freezing,
    "without kernels": without_kernels,
    "with channels last": channels_last,
}
"""Each lever by what is done to the default; one more is one more line."""
