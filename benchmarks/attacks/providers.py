"""The same attack by featlab and by each peer, as their users call them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

import featlab as fl
from benchmarks.attacks.setting import Attack, Setting
from benchmarks.peers import MissingPeer, load
from featlab.engine import Engine, engine
from featlab.recording import Recorder

ORDERS: Mapping[str, float] = {"linf": np.inf, "l2": 2, "l1": 1}
NAMES: Mapping[str, str] = {"linf": "Linf", "l2": "L2", "l1": "L1"}


def featlab_pgd(
    setting: Setting, *, stop: bool = True, cycles: bool = True, recorder: Recorder | None = None
) -> Tensor:
    """Return PGD as `evaluate` runs it: images leave when they are misclassified, or go round in circles."""
    return fl.maximize(
        fl.pgd(
            setting.model,
            setting.images,
            setting.labels,
            within=setting.within,
            steps=setting.steps,
            step_size=setting.step_size,
            stop=stop,
            detect_cycles=cycles,
        ),
        recorder=recorder,
    )


def featlab_pgd_all(setting: Setting) -> Tensor:
    """Return PGD in which every image takes all steps."""
    return featlab_pgd(setting, stop=False, cycles=False)


@functools.lru_cache(maxsize=8)
def prepared(how: Engine, model: nn.Module) -> tuple[Callable[[Tensor], Tensor], Recorder | None]:
    """Return the copy of a model that an attack follows and what records it, made once, as for a whole `evaluate`."""
    device = next(model.parameters()).device
    return how.prepare(model), how.recorder(device)


def featlab_pgd_fast(setting: Setting) -> Tensor:
    """Return PGD that follows a quicker copy of the model, and goes through the model where only the copy is fooled."""
    follow, recorder = prepared(engine("fast"), setting.model)
    found = featlab_pgd(replace(setting, model=follow), recorder=recorder)
    held = fl.predict(setting.model, found) == setting.labels
    again = held & (fl.predict(follow, found) != setting.labels)
    if again.any():
        rest = replace(setting, images=setting.images[again], labels=setting.labels[again])
        found[again] = featlab_pgd(rest, recorder=recorder)
    return found


def featlab_apgd(setting: Setting) -> Tensor:
    """Return APGD that lets images leave as soon as they are misclassified."""
    problem = fl.apgd(
        setting.model, setting.images, setting.labels, within=setting.within, steps=setting.steps, stop=True
    )
    return fl.maximize(problem)


def robustness_pgd(setting: Setting) -> Tensor:
    """Return a plain loop over the step classes of MadryLab robustness, in the way of its attacker."""
    steps = load("robustness.attack_steps")
    cls = {"linf": steps.LinfStep, "l2": steps.L2Step}.get(setting.norm)
    if cls is None:
        raise MissingPeer(f"robustness has no step in {setting.norm}")
    stepper = cls(orig_input=setting.images, eps=setting.eps, step_size=setting.step_size)
    x = setting.images
    for _ in range(setting.steps):
        x = x.clone().detach().requires_grad_(True)
        loss = nn.functional.cross_entropy(setting.model(x), setting.labels)
        (grad,) = torch.autograd.grad(loss, [x])
        with torch.no_grad():
            x = stepper.project(stepper.step(x, grad))
    return x


def foolbox_pgd(setting: Setting) -> Tensor:
    """Return foolbox's PGD."""
    foolbox = load("foolbox")
    attack = getattr(foolbox.attacks, f"{NAMES[setting.norm]}PGD")
    attack = attack(steps=setting.steps, abs_stepsize=setting.step_size, random_start=False)
    wrapped = foolbox.PyTorchModel(setting.model, bounds=(0, 1), device=setting.images.device)
    _, clipped, _ = attack(wrapped, setting.images, setting.labels, epsilons=setting.eps)
    return clipped


def torchattacks_pgd(setting: Setting) -> Tensor:
    """Return torchattacks' PGD."""
    attacks = load("torchattacks")
    name = {"linf": "PGD", "l2": "PGDL2"}.get(setting.norm)
    if name is None:
        raise MissingPeer(f"torchattacks has no PGD in {setting.norm}")
    attack = getattr(attacks, name)(
        setting.model, eps=setting.eps, alpha=setting.step_size, steps=setting.steps, random_start=False
    )
    return attack(setting.images, setting.labels)


def adv_lib_pgd(setting: Setting) -> Tensor:
    """Return adv-lib's PGD."""
    attacks = load("adv_lib.attacks")
    if setting.norm != "linf":
        raise MissingPeer("adv-lib has PGD in linf only")
    return attacks.pgd_linf(
        setting.model,
        setting.images,
        setting.labels,
        setting.eps,
        steps=setting.steps,
        random_init=False,
        absolute_step_size=setting.step_size,
    )


def art_classifier(setting: Setting) -> object:
    """Return the model as ART wants it."""
    return load("art.estimators.classification").PyTorchClassifier(
        setting.model,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(setting.images.shape[1:]),
        nb_classes=10,
        clip_values=(0.0, 1.0),
        device_type="cpu" if setting.images.device.type == "cpu" else "gpu",
    )


def art_pgd(setting: Setting) -> Tensor:
    """Return ART's PGD, from NumPy to NumPy as its users have it."""
    attack = load("art.attacks.evasion").ProjectedGradientDescentPyTorch(
        art_classifier(setting),
        norm=ORDERS[setting.norm],
        eps=setting.eps,
        eps_step=setting.step_size,
        max_iter=setting.steps,
        batch_size=len(setting.images),
        verbose=False,
    )
    return torch.from_numpy(attack.generate(setting.images.cpu().numpy(), setting.labels.cpu().numpy()))


def pyautoattack_apgd(setting: Setting) -> Tensor:
    """Return AutoAttack's APGD with cross-entropy, one restart."""
    attack = load("pyautoattack.autopgd_base").APGDAttack(
        setting.model,
        n_iter=setting.steps,
        norm=NAMES[setting.norm],
        eps=setting.eps,
        loss="ce",
        device=setting.images.device,
        use_largereps=False,
    )
    return attack.perturb(setting.images, setting.labels)


def torchattacks_apgd(setting: Setting) -> Tensor:
    """Return torchattacks' APGD with cross-entropy."""
    attacks = load("torchattacks")
    if setting.norm == "l1":
        raise MissingPeer("torchattacks has no APGD in l1")
    attack = attacks.APGD(setting.model, norm=NAMES[setting.norm], eps=setting.eps, steps=setting.steps, loss="ce")
    return attack(setting.images, setting.labels)


def adv_lib_apgd(setting: Setting) -> Tensor:
    """Return adv-lib's APGD with cross-entropy."""
    return load("adv_lib.attacks").apgd(
        setting.model,
        setting.images,
        setting.labels,
        eps=setting.eps,
        norm=ORDERS[setting.norm],
        n_iter=setting.steps,
        loss_function="ce",
    )


def art_apgd(setting: Setting) -> Tensor:
    """Return ART's APGD with cross-entropy, one start."""
    attack = load("art.attacks.evasion").AutoProjectedGradientDescent(
        art_classifier(setting),
        norm=ORDERS[setting.norm],
        eps=setting.eps,
        eps_step=2 * setting.eps,
        max_iter=setting.steps,
        nb_random_init=1,
        batch_size=len(setting.images),
        loss_type="cross_entropy",
        verbose=False,
    )
    return torch.from_numpy(attack.generate(setting.images.cpu().numpy(), setting.labels.cpu().numpy()))


PROVIDERS: dict[str, dict[str, Attack]] = {
    "pgd": {
        "featlab": featlab_pgd,
        "featlab fast": featlab_pgd_fast,
        "featlab, all steps": featlab_pgd_all,
        "robustness": robustness_pgd,
        "foolbox": foolbox_pgd,
        "torchattacks": torchattacks_pgd,
        "adv-lib": adv_lib_pgd,
        "adversarial-robustness-toolbox": art_pgd,
    },
    "apgd": {
        "featlab": featlab_apgd,
        "pyautoattack": pyautoattack_apgd,
        "torchattacks": torchattacks_apgd,
        "adv-lib": adv_lib_apgd,
        "adversarial-robustness-toolbox": art_apgd,
    },
}
"""Who offers an attack; one more is one more line."""
