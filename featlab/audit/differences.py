"""Two audits beside each other: what differs, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from featlab.audit.findings import Audit
from featlab.evaluation import Accuracy
from featlab.intervals import Estimate, Mean


@dataclass(frozen=True)
class Difference:
    """A quantity of two models, and the second's less the first's; `apart` where its interval leaves out 0."""

    name: str
    first: Estimate
    second: Estimate
    difference: Estimate

    @property
    def apart(self) -> bool:
        """Whether 0 lies outside the interval of the difference."""
        return self.difference.low > 0 or self.difference.high < 0


def differences(first: Audit, second: Audit) -> tuple[Difference, ...]:
    """Return what two audits measured alike, and the differences.

    The interval of a difference is built from those of its two parts, as if they were independent: too wide rather than
    too narrow, as both models saw the same images. Source: Newcombe 1998 (method 10 for shares).
    """
    made = []
    for name, of in QUANTITIES.items():
        one, other = of(first), of(second)
        if one is not None and other is not None:
            made.append(Difference(name, one, other, less(other, one)))
    return tuple(made)


def less(one: Estimate, other: Estimate) -> Estimate:
    """Return the difference of two independent estimates."""
    value = one.value - other.value
    down = math.hypot(one.value - one.low, other.high - other.value)
    up = math.hypot(one.high - one.value, other.value - other.low)
    return Estimate(value, value - down, value + up)


def estimate(found: Accuracy | Mean | Estimate) -> Estimate:
    """Return a number with its interval, whatever it was measured as."""
    value = found.accuracy if isinstance(found, Accuracy) else found.value
    return Estimate(value, found.low, found.high)


def _layer(name: str) -> Callable[[Audit], Estimate | None]:
    return lambda found: next((row.moved for row in found.layers.rows if row.name == name), None)


def _nearness(name: str) -> Callable[[Audit], Estimate | None]:
    return lambda found: next((each.found for each in found.inverted.measures if each.name == name), None)


def _flips(found: Audit) -> Estimate | None:
    return next((each.share for each in found.flipped.groups if each.name == "robust"), None)


def _quality(method: str, name: str) -> Callable[[Audit], Estimate | None]:
    def of(found: Audit) -> Estimate | None:
        known = found.saliency.table.get(method, {}).get(name)
        return None if known is None or math.isnan(known.value) else estimate(known)

    return of


QUANTITIES: Mapping[str, Callable[[Audit], Estimate | None]] = {
    "accuracy": lambda found: estimate(found.strength.clean),
    "accuracy under attack": lambda found: estimate(found.strength.robust),
    "accuracy under noise as long as the attack's changes": lambda found: estimate(found.attacked.noise),
    "mean usefulness rho": lambda found: found.features.rho,
    "mean robust usefulness gamma": lambda found: found.features.gamma,
    "how near inversions come (HaarPSI)": _nearness("haarpsi"),
    "how near inversions come (SSIM)": _nearness("ssim"),
    "how near inversions come (PSNR, dB)": _nearness("psnr"),
    "what inversions leave of the distance in representation": _nearness("representation"),
    "how far the penultimate layer is moved": _layer("penultimate"),
    "how far the logits are moved": _layer("logits"),
    "share of flips carried by robust features": _flips,
    "mean frequency of the changes (cycles per pixel)": lambda found: (
        estimate(found.spectrum.pitch) if found.spectrum.pitch.n else None
    ),
    "alignment of the gradient with the image": _quality("gradient", "alignment"),
    "alignment of the gradient with the class's mean": _quality("gradient", "class alignment"),
    "confidence of wrong answers": lambda found: estimate(found.mistakes.sure) if found.mistakes.wrong > 1 else None,
}
"""What is compared, and where it stands in an audit; None where it was not measured."""
