"""Whether made images lie among the real ones, and whether the real ones lie among the made."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from featlab.evaluation import Accuracy
from featlab.synthesis.distances import compared
from featlab.types import Features, Verdicts

CHUNK = 1024
"""So many rows of distances are held at a time."""


@dataclass(frozen=True)
class Coverage:
    """The share of made images among the real ones, and of real images among the made ones.

    Each interval is over the draw of the images that are counted, for the other set as it is.
    """

    precision: Accuracy
    recall: Accuracy


def precision_recall(made: Features, real: Features, *, neighbours: int = 3) -> Coverage:
    """Return precision and recall of a set of made images against real ones.

    An example lies among a set if it is no farther from some member than that member's k-th nearest other member, in
    Euclidean distance of features; k is `neighbours`. Both numbers grow when the set that surrounds grows, so compare
    at one size, and beside a second set of real images.
    Source: Kynkäänniemi et al. 2019, section 2 (k = 3).
    """
    made, real = compared(made, real)
    if not 1 <= neighbours < min(len(made), len(real)):
        raise ValueError(
            f"neighbours must be 1 or more, and less than the examples of each set; got {neighbours} for sets of "
            f"{len(made)} and {len(real)}"
        )
    return Coverage(
        Accuracy.of(among(made, real, neighbours=neighbours)), Accuracy.of(among(real, made, neighbours=neighbours))
    )


def among(features: Tensor, members: Tensor, *, neighbours: int) -> Verdicts:
    """Return which rows of `features` lie within a member's distance to its k-th nearest other member."""
    # The nearest is the member itself, at distance 0.
    own = [_apart(rows, members).kthvalue(neighbours + 1, dim=1).values for rows in members.split(CHUNK)]
    reach = torch.cat(own)
    return torch.cat([(_apart(rows, members) <= reach).any(dim=1) for rows in features.split(CHUNK)])


def _apart(rows: Tensor, members: Tensor) -> Tensor:
    # By differences: through the inner product, a member's distance to itself would not be 0.
    return torch.cdist(rows, members, compute_mode="donot_use_mm_for_euclid_dist")
