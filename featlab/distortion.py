"""How far each image must be changed: the least eps at which attacks have it, and so the whole curve in one pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from featlab.attacks import Attack, Model
from featlab.data import Data, Part, as_data
from featlab.engine import Engine
from featlab.evaluation import Accuracy, Trial, attacks_of, correct, described, device_of, terms
from featlab.runs import Ledger
from featlab.threat_models import ThreatModel
from featlab.types import Images, Labels, Progress, Rows, Scores, silent


@dataclass(frozen=True, eq=False)
class Distortions:
    """For each example, the nearest image found that the model gets wrong.

    `found` is that image's own distance from the original, in the norm of the threat model and in float64: 0 where the
    original is already wrong, inf where nothing was found up to `largest`. It bounds the least distortion from above.
    `failed` is the largest eps below `found` at which the attacks found nothing; that is no bound of anything, as
    another attack may succeed there. Both end within `tolerance` of each other where something was found.
    """

    found: Scores
    failed: Scores
    largest: float
    tolerance: float
    threat_model: str
    seed: int

    def accuracy(self, eps: float) -> Accuracy:
        """Return the share of examples with no image found within `eps`.

        Robust accuracy at `eps` is at most this, for every eps in [0, largest]; it falls with eps by construction.
        """
        if not 0 <= eps <= self.largest:
            raise ValueError(f"eps must lie in [0, {self.largest:g}], up to where was looked; got {eps}")
        return Accuracy.of(self.found > eps)

    def curve(self, points: int = 17) -> list[tuple[float, Accuracy]]:
        """Return the accuracy at so many evenly spaced eps from 0 to `largest`."""
        if points < 2:
            raise ValueError(f"a curve has 2 points or more, got {points}")
        return [(eps, self.accuracy(eps)) for eps in (self.largest * n / (points - 1) for n in range(points))]

    def median(self) -> float | None:
        """Return the eps at which half of the examples are lost (0 for those wrong from the start); None beyond."""
        middle = float(self.found.sort().values[(len(self.found) - 1) // 2])
        return middle if math.isfinite(middle) else None

    def record(self) -> dict[str, object]:
        """Return the curve and its conditions as plain values."""
        return {
            "threat_model": self.threat_model,
            "largest": self.largest,
            "tolerance": self.tolerance,
            "median": self.median(),
            "points": [{"eps": eps, **left.record()} for eps, left in self.curve()],
            "seed": self.seed,
        }


def minimal_distortion(
    model: Model,
    data: Data | tuple[Images, Labels],
    *,
    within: ThreatModel,
    suite: str | Sequence[Attack] = "quick",
    tolerance: float | None = None,
    engine: str | Engine = "auto",
    batch_size: int = 512,
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> Distortions:
    """Return the least eps at which the attacks of a suite have each example, by bisection from 0 to `within.radius`.

    All examples of a batch are attacked together, each within its own eps, and leave when what is known of them is
    within `tolerance` (largest eps / 128 by default). An image that is found ends the search above its own distance,
    which is often far below the eps it was searched in. Whether attacks succeed need not be monotone in eps: if they
    fail at some eps and would succeed below, a smaller eps is missed, and what is returned is still an upper bound.
    `checkpoint` is as for `evaluate`.
    Source: bisection for fixed-eps attacks, Rony et al. 2019 (DDN), section 3; Carlini and Wagner 2017, section V.
    """
    largest = within.radius
    if not (isinstance(largest, float | int) and 0 < largest < math.inf):
        raise ValueError(f"the largest eps to search up to must be one positive, finite number; got {largest}")
    within.resized(largest)  # Refuses, with a reason, what has no size.
    largest = float(largest)
    step = largest / 128 if tolerance is None else tolerance
    if not step > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance}")
    data, attacks = as_data(data), attacks_of(suite)
    arguments: dict[str, object] = {"distortion": repr(within), "attacks": [described(each) for each in attacks]}
    arguments |= {"engine": repr(engine), "batch_size": batch_size, "seed": seed, "tolerance": step}
    ledger = Ledger.open(checkpoint, terms(model, data, arguments) if checkpoint else {})
    found = ledger.column("found", len(data), unknown=math.nan, dtype=torch.float64)
    failed = ledger.column("failed", len(data), unknown=math.nan, dtype=torch.float64)
    search = _Search(
        Trial.of(model, data, engine=engine, batch_size=batch_size, seed=seed), within, attacks, largest, step
    )
    progress("eps", 0, len(data))
    for index in torch.arange(len(data)).split(batch_size):
        if bool(found[index].isnan().any()):
            found[index], failed[index] = search.batch(index)
            ledger.save()
        progress("eps", int(index[-1]) + 1, len(data))
    ledger.save(now=True)
    return Distortions(found, failed, largest, step, repr(within), seed)


@dataclass(frozen=True, eq=False)
class _Search:
    """Bisection for the eps of each example."""

    trial: Trial
    within: ThreatModel
    attacks: Sequence[Attack]
    largest: float
    tolerance: float

    def batch(self, index: Rows) -> tuple[Scores, Scores]:
        """Return the distance found, and the largest eps below it at which nothing was, for a batch of examples."""
        right = correct(self.trial.model, Part(self.trial.data, index), batch_size=len(index))
        found = torch.where(right, math.inf, 0.0).double()
        failed = torch.zeros_like(found)
        eps, searching = torch.full_like(found, self.largest), right.nonzero()[:, 0]
        # Each round halves what is unknown of an example, at least.
        for _ in range(1 + max(0, math.ceil(math.log2(self.largest / self.tolerance)))):
            if len(searching) == 0:
                break
            nearest = self._nearest(index[searching], eps[searching])
            failed[searching] = torch.where(nearest.isinf(), eps[searching], failed[searching])
            found[searching] = torch.minimum(nearest, found[searching])
            searching = (found.isfinite() & (found - failed > self.tolerance)).nonzero()[:, 0]
            eps = (found + failed) / 2
        return found, failed

    def _nearest(self, index: Rows, eps: Scores) -> Scores:
        """Return how far the image is that some attack found for each example within its eps; inf where none did."""
        device = device_of(self.trial.model)
        nearest, centers = torch.full_like(eps, math.inf), self.trial.data.images(index).to(device)
        for attack in self.attacks:
            left = nearest.isinf().nonzero()[:, 0]
            if len(left) == 0:
                break
            within = self.within.resized(eps[left].to(device))
            held, images = self.trial.withstood(attack, within, index[left])
            distance = within.distance(images, centers[left.to(device)]).cpu()
            nearest[left] = torch.where(held, math.inf, distance)
        return nearest
