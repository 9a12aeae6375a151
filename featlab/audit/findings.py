"""What an audit finds: one dataclass for each section, of plain numbers with intervals, texts and images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from featlab.evaluation import Accuracy
from featlab.intervals import Estimate, Mean
from featlab.sanity import Symptom


@dataclass(frozen=True)
class Left:
    """The accuracy that is left in a set of size `eps`, or in a threat model that goes by its text."""

    eps: float | None
    spec: str
    left: Accuracy


@dataclass(frozen=True)
class Strength:
    """Accuracy, and accuracy under attack.

    `clean` is over all test images, `before` over those that were attacked; `curve` has the sizes from 0 on, and is
    empty for a set without a size. `median` is the least change that the quick attacks found for half of the images,
    None where it is more than `largest`.
    """

    clean: Accuracy
    before: Accuracy
    robust: Accuracy
    eps: float | None
    curve: tuple[Left, ...]
    others: tuple[Left, ...]
    median: float | None
    largest: float | None
    attacks: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Sanity:
    """The symptoms that make a robust accuracy unreliable, seen or not."""

    symptoms: tuple[Symptom, ...]


@dataclass(frozen=True)
class Feature:
    """One unit at the class that it is most useful for; `sign` is -1 where a low value speaks for the class."""

    unit: int
    label: int
    sign: int
    rho: Estimate
    gamma: Estimate
    verdict: str


@dataclass(frozen=True)
class Elsewhere:
    """The same features within another threat model, and how far it agrees with the main one."""

    spec: str
    counts: Mapping[str, int]
    gamma: Estimate
    jaccard: float
    spearman: float


@dataclass(frozen=True)
class Knot:
    """Robust usefulness at one size of the set."""

    eps: float
    gamma: Estimate


@dataclass(frozen=True)
class Radius:
    """The size at which a unit's gamma reaches 0, with its 95 % interval, and the curve that leads there.

    None stands for sizes beyond the largest that was tried.
    """

    unit: int
    value: float | None
    low: float | None
    high: float | None
    curve: tuple[Knot, ...]


@dataclass(frozen=True)
class Radii:
    """The radii of the units that were measured, on `n` of the images, up to the `largest` size."""

    n: int
    largest: float
    rows: tuple[Radius, ...]


@dataclass(frozen=True)
class Features:
    """Usefulness and robust usefulness of the units that are most useful on training images.

    `total` counts the layer's units and `idle` those that are constant over the training images; `rho` and `gamma` are
    the means over the units that were measured, each at its best class. `radii` is None for a set without a size.
    """

    layer: str
    total: int
    idle: int
    n: int
    least: float
    rows: tuple[Feature, ...]
    counts: Mapping[str, int]
    rho: Estimate
    gamma: Estimate
    others: tuple[Elsewhere, ...]
    radii: Radii | None = None


@dataclass(frozen=True, eq=False)
class Shown:
    """A unit in pictures: the test images that it responds to most and least, and images made to drive it up."""

    feature: Feature
    top: Tensor
    top_labels: tuple[int, ...]
    bottom: Tensor
    bottom_labels: tuple[int, ...]
    made: Tensor


@dataclass(frozen=True, eq=False)
class Seen:
    """The most useful robust units, and the most useful non-robust ones; `made` names the ways of making images.

    Where there are none of either kind, `others` are the most useful of those that are neither.
    """

    robust: tuple[Shown, ...]
    fragile: tuple[Shown, ...]
    others: tuple[Shown, ...]
    made: tuple[str, ...]


@dataclass(frozen=True)
class Nearness:
    """The mean of a measure between inversions and their sources, and between other images and the sources.

    `good` says which values are near, "high" or "low".
    """

    name: str
    good: str
    found: Estimate
    baseline: Estimate


@dataclass(frozen=True, eq=False)
class Inverted:
    """How near images that were made from representations come to their sources, and some of them.

    `source`, `start` and `found` are (images, channels, height, width); `n` images were inverted in all.
    """

    layer: str
    n: int
    steps: int
    measures: tuple[Nearness, ...]
    labels: tuple[int, ...]
    source: Tensor
    start: Tensor
    found: Tensor


@dataclass(frozen=True)
class LayerRow:
    """How far the set moves a layer, in units of the distance between two images; None with a reason where unknown."""

    name: str
    features: int
    moved: Estimate | None
    reason: str


@dataclass(frozen=True)
class Layers:
    """Layer robustness from the first layer to the last."""

    n: int
    rows: tuple[LayerRow, ...]


@dataclass(frozen=True, eq=False)
class Attacked:
    """The images as an attack left them, and noise of equal length beside them."""

    changed: Tensor
    before: Accuracy
    left: Accuracy
    noise: Accuracy
    length: Mean


@dataclass(frozen=True)
class Share:
    """What a group of features carried of the change, beside its share of the features."""

    name: str
    features: int
    share: Estimate


@dataclass(frozen=True)
class Carrier:
    """A feature that carried much of the change."""

    unit: int
    verdict: str
    share: float


@dataclass(frozen=True)
class Flipped:
    """Which features carried the change of the answers; `half` of them, at least, add up to half of it.

    Nothing but a reason where the answer is no sum over the features.
    """

    n: int
    flipped: int
    total: int
    groups: tuple[Share, ...]
    strongest: tuple[Carrier, ...]
    half: int
    reason: str


@dataclass(frozen=True, eq=False)
class Saliency:
    """Maps of some images by each method, (images, channels, height, width), and the quality of the methods."""

    images: Tensor
    labels: tuple[int, ...]
    maps: Mapping[str, Tensor]
    table: Mapping[str, Mapping[str, Mean]]
    n: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Spectrum:
    """Shares of energy in bands of frequency; `centers` in cycles per pixel, `flat` is that of white noise.

    `pitch` and `images_pitch` are the mean frequencies. `overlap` says how far the classes' directions interfere.
    """

    centers: tuple[float, ...]
    change: tuple[Mean, ...]
    images: tuple[Mean, ...]
    flat: tuple[float, ...]
    pitch: Mean
    images_pitch: Mean
    flat_pitch: float
    overlap: Mapping[str, float] | None


@dataclass(frozen=True)
class Reason:
    """A unit that spoke for the answer, and what it added to the answer's logit."""

    unit: int
    added: float
    verdict: str


@dataclass(frozen=True, eq=False)
class Mistake:
    """A wrong answer: how sure it was, why, the image rationalised, and the nearest training images."""

    index: int
    label: int
    answer: int
    sure: float
    truth: float
    reasons: tuple[Reason, ...]
    image: Tensor
    rationalized: Tensor | None
    nearest: Tensor
    nearest_labels: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Mistakes:
    """The most confident wrong answers; `sure` and `sure_right` are the mean confidence of wrong and right ones."""

    wrong: int
    total: int
    sure: Mean
    sure_right: Mean
    rows: tuple[Mistake, ...]


@dataclass(frozen=True, eq=False)
class Audit:
    """Everything that was found about one classifier, and the conditions under which."""

    label: str
    classes: tuple[str, ...]
    conditions: Mapping[str, Any]
    strength: Strength
    sanity: Sanity
    features: Features
    seen: Seen
    inverted: Inverted
    layers: Layers
    attacked: Attacked
    flipped: Flipped
    saliency: Saliency
    spectrum: Spectrum
    mistakes: Mistakes
    seconds: Mapping[str, float]
