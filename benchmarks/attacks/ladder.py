"""The ablation ladder: featlab's own PGD with one lever of the loop at a time the other way."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

import featlab as fl
from benchmarks.attacks.providers import featlab_pgd, featlab_pgd_all, prepared
from benchmarks.attacks.setting import Attack, Setting
from featlab.engine import ENGINES, Engine


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
        detect_cycles=True,
    )
    return fl.maximize(problem)


def without_freezing(setting: Setting) -> Tensor:
    """Let autograd see parameters that want gradients; a bound method hides the module from `frozen`."""
    return featlab_pgd(replace(setting, model=setting.model.__call__))


def without_active_set(setting: Setting) -> Tensor:
    """Let images that are misclassified go on."""
    return featlab_pgd(setting, stop=False)


def without_cycles(setting: Setting) -> Tensor:
    """Let images go round in circles."""
    return featlab_pgd(setting, cycles=False)


def following(engine: Engine, *, stop: bool = True, cycles: bool = True) -> Attack:
    """Return the attack that follows a copy of the model; here the copy is fooled, and the model judges."""

    def attack(setting: Setting) -> Tensor:
        follow, recorder = prepared(engine, setting.model)
        return featlab_pgd(replace(setting, model=follow), stop=stop, cycles=cycles, recorder=recorder)

    return attack


LEVERS: dict[str, Attack] = {
    "default": featlab_pgd,
    "without active set": without_active_set,
    "without cycle detection": without_cycles,
    "without both": featlab_pgd_all,
    "without frozen parameters": without_freezing,
    "without kernels": without_kernels,
    "folded": following(Engine(fold=True)),
    "channels last": following(Engine(channels_last=True)),
    "bfloat16": following(Engine(precision="bfloat16")),
    "fast engine": following(ENGINES["fast"]),
    "compiled": following(Engine(compile=True)),
    "captured": following(Engine(capture=True)),
    "fast engine, not captured": following(replace(ENGINES["fast"], capture=False)),
    "fast engine without both": following(ENGINES["fast"], stop=False, cycles=False),
}
"""Each lever by what is done to the default; one more is one more line."""

QUICK = tuple(name for name in LEVERS if name != "compiled")
"""What --quick has the time for."""
