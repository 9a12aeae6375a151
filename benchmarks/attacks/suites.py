"""The standard ensemble by featlab and by AutoAttack's package: the same four attacks with the same budgets."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

import featlab as fl
from benchmarks.attacks.providers import NAMES, prepared
from benchmarks.attacks.setting import Attack, Setting
from benchmarks.peers import load
from featlab.attacks import suite
from featlab.engine import engine

BATCH = 128
QUERIES = 50
"""Queries of the Square attack for each step of the others: 5000 for 100."""


def shortened(steps: int) -> list[fl.Attack]:
    """Return the standard suite with so many steps; 100 are the suite itself."""
    queries = {"square": QUERIES * steps}
    return [replace(attack, steps=queries.get(attack.name, steps)) for attack in suite("standard")]


def featlab_standard(setting: Setting, *, how: str = "auto") -> Tensor:
    """Return what `evaluate` finds with the standard suite, where each image leaves with the first attack that has it.

    Where the copy of the model that a quick engine follows is fooled and the model is not, the model is attacked too.
    """
    follow = prepared(engine(how), setting.model)
    found, held = setting.images.clone(), fl.predict(setting.model, setting.images) == setting.labels
    for attack in shortened(setting.steps):
        for index in held.nonzero()[:, 0].split(BATCH):
            images, labels, within = setting.images[index], setting.labels[index], setting.within
            tried = fl.maximize(attack.problem(follow, images, labels, within=within, examples=index))
            kept = fl.predict(setting.model, tried) == labels
            again = kept & (fl.predict(follow, tried) != labels)
            if again.any():
                rest = {"within": within, "examples": index[again]}
                tried[again] = fl.maximize(attack.problem(setting.model, images[again], labels[again], **rest))
                kept = fl.predict(setting.model, tried) == labels
            found[index], held[index] = tried, kept
    return found


def featlab_standard_fast(setting: Setting) -> Tensor:
    """Return the same by way of a quicker copy of the model, which the model confirms."""
    return featlab_standard(setting, how="fast")


def pyautoattack_standard(setting: Setting) -> Tensor:
    """Return what AutoAttack's standard version finds."""
    attack = load("pyautoattack").AutoAttack(
        setting.model,
        norm=NAMES[setting.norm],
        eps=setting.eps,
        version="standard",
        device=setting.images.device,
        seed=0,
    )
    for part in (attack.apgd, attack.apgd_targeted, attack.fab):
        part.n_iter = setting.steps
    attack.square.n_queries = QUERIES * setting.steps
    found = attack.run_standard_evaluation(setting.images, setting.labels, batch_size=BATCH)
    images: Tensor = found[0] if isinstance(found, tuple) else found
    return images


STANDARD: dict[str, Attack] = {
    "featlab": featlab_standard,
    "featlab fast": featlab_standard_fast,
    "pyautoattack": pyautoattack_standard,
}
"""Who offers the ensemble; one more is one more line."""
