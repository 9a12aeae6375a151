"""Run the comparisons and the ladder on each net."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks import nets
from benchmarks.attacks.ladder import LEVERS, QUICK
from benchmarks.attacks.providers import PROVIDERS
from benchmarks.attacks.setting import Attack, Setting, as_found, excess, fooled
from benchmarks.attacks.suites import STANDARD
from benchmarks.options import Options, compared
from benchmarks.rows import Row
from benchmarks.timing import Budget
from benchmarks.whole import measured


@dataclass(frozen=True)
class Target:
    """A net, the attacks that it is given (name, norm, eps), and how many images and rounds."""

    attacks: tuple[tuple[str, str, float], ...]
    batch: int
    budget: Budget
    quick_batch: int = 0

    def has(self, attack: str, norm: str, *, ladder: bool, quick: bool) -> bool:
        """Return whether an attack runs; --quick and ladders of large nets have the first of each kind alone."""
        first = next(other for other in self.attacks if other[0] == attack)[:2] == (attack, norm)
        if quick:
            return self.quick_batch > 0 and first and not (ladder and self.budget is LARGE)
        return first or not (ladder and self.budget is LARGE)


GPU_BATCH = 128
SMALL = Budget(10.0, 3, 15)
LARGE = Budget(0.0, 2)
WHOLE = Budget(0.0, 1)
IMAGES = 500
"""How many images a whole suite is given, once: it takes minutes."""
OFFERED = {**PROVIDERS, "standard": STANDARD}
TARGETS = {
    "small_cnn standard": Target(
        (
            ("pgd", "linf", 0.1),
            ("pgd", "l2", 1.5),
            ("apgd", "linf", 0.1),
            ("apgd", "l2", 1.5),
            ("apgd", "l1", 12.0),
            ("standard", "linf", 0.1),
            ("standard", "l2", 1.5),
            ("standard", "l1", 12.0),
        ),
        128,
        SMALL,
        quick_batch=32,
    ),
    "small_cnn robust linf": Target(
        (("pgd", "linf", 0.1), ("apgd", "linf", 0.1), ("standard", "linf", 0.1)), 128, SMALL
    ),
    "small_cnn robust l2": Target(
        (
            ("pgd", "l2", 1.5),
            ("apgd", "l2", 1.5),
            ("apgd", "l1", 12.0),
            ("standard", "l2", 1.5),
            ("standard", "l1", 12.0),
        ),
        128,
        SMALL,
    ),
    "resnet18 standard": Target(
        (
            ("pgd", "linf", 8 / 255),
            ("pgd", "l2", 0.5),
            ("apgd", "linf", 8 / 255),
            ("apgd", "l2", 0.5),
            ("apgd", "l1", 12.0),
        ),
        4,
        LARGE,
        quick_batch=2,
    ),
}


def run(options: Options) -> Iterator[list[Row]]:
    """Yield the rows of every comparison that is wanted, and of the ladder, a list for each measurement."""
    for net, target in TARGETS.items():
        for attack, norm, eps in target.attacks:
            whole = attack == "standard"
            steps = 4 if options.quick else 100 if whole else 50
            name = f"{attack}-{norm}-{steps} {net}"
            levers = {lever: LEVERS[lever] for lever in (QUICK if options.quick else LEVERS)}
            sides = {"": OFFERED[attack]} | ({"ladder ": levers} if attack == "pgd" else {})
            for prefix, attacks in sides.items():
                wanted = target.has(attack, norm, ladder=bool(prefix), quick=options.quick)
                if wanted and options.wants(prefix + name):
                    sized = replace(target, batch=IMAGES, budget=WHOLE) if whole else target
                    setting, recipe = setting_of(net, sized, options, norm, eps, steps)
                    rows = measure(prefix + name, setting, attacks, budget_of(sized, options), str(recipe))
                    yield rows if prefix else compared(rows)


def budget_of(target: Target, options: Options) -> Budget:
    """Return how often each attack runs; no net is large for a GPU."""
    if options.quick:
        return Budget(0.0, 1)
    return target.budget if options.device.type == "cpu" else SMALL


def setting_of(
    net: str, target: Target, options: Options, norm: str, eps: float, steps: int
) -> tuple[Setting, nets.Recipe]:
    """Return what all attacks of a comparison are given: images that the net classifies correctly."""
    recipe = nets.RECIPES[net].quick() if options.quick else nets.RECIPES[net]
    model = nets.net(recipe, options.device)
    least = 1 if options.device.type == "cpu" else GPU_BATCH
    batch = target.quick_batch if options.quick else max(target.batch, least)
    images, labels = (tensor.to(options.device) for tensor in nets.images_of(recipe, train=False, count=4 * batch))
    with torch.no_grad():
        right = (model(images).argmax(dim=1) == labels).nonzero()[:batch, 0]
    return Setting(model, images[right], labels[right], norm, eps, steps), recipe


def measure(name: str, setting: Setting, attacks: Mapping[str, Attack], budget: Budget, what: str) -> list[Row]:
    """Return a row for each attack, with what it fooled and how exactly it stayed inside."""
    shape = "x".join(map(str, setting.images.shape))
    row = Row(bench="attacks", name=name, provider="", shape=shape, dtype="float32")
    short = replace(setting, images=setting.images[:2], labels=setting.labels[:2], steps=4)

    def careful(attack: Attack) -> Attack:
        def run_and_restore(given: Setting) -> Tensor:
            with as_found(given.model):
                return attack(given)

        return run_and_restore

    def tell(found: Tensor, _: float) -> dict[str, object]:
        note = f"beyond the ball by {excess(setting, found):.1e} eps; {what}"
        return {"fooled": round(fooled(setting, found), 4), "note": note}

    ways = {provider: careful(attack) for provider, attack in attacks.items()}
    device = setting.images.device
    # On a GPU the first run in full makes the recordings, as the first batch of an evaluation does.
    warm = short if device.type == "cpu" else setting
    rows = measured(row, ways, setting, tell=tell, budget=budget, device=device, warm=warm)
    return [with_default(row, rows) for row in rows]


def with_default(row: Row, rows: list[Row]) -> Row:
    """Return a lever's row with its ratio to the default."""
    return row.with_ratios([other for other in rows if other.provider == "default"])
