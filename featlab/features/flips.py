"""Which features carried a change of the answer: the logits' change, split over the features that the head reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from featlab.freezing import frozen
from featlab.models import Layer
from featlab.models.layers import head_of
from featlab.types import Images, Labels


@dataclass(frozen=True, eq=False)
class Flips:
    """What each feature added to the lead of the new answer over the old one, (batch, features), in logits.

    `before` and `after` are the answers to the images and to the changed ones; the contributions of an example sum up
    to the change of z_after - z_before. Where the answer stayed, the rival is the class that came nearest.
    """

    contributions: Tensor
    before: Labels
    after: Labels

    def flipped(self) -> Tensor:
        """Return which answers changed, (batch,)."""
        return self.before != self.after

    def by_group(self, groups: Sequence[str]) -> Mapping[str, float]:
        """Return the share of the flips' total change that each group of features carried; the shares sum to 1.

        `groups` names a group for each feature, for instance the verdicts of `usefulness`. The mean is over the
        examples whose answer changed; NaN where there are none.
        """
        if len(groups) != self.contributions.shape[1]:
            raise ValueError(
                f"groups must name one group for each of {self.contributions.shape[1]} features, got {len(groups)}"
            )
        total = self.contributions[self.flipped()].double().sum(dim=0)
        whole = float(total.sum()) if bool(self.flipped().any()) else float("nan")
        names = list(dict.fromkeys(groups))
        return {name: float(total[[group == name for group in groups]].sum()) / whole for name in names}

    def strongest(self, example: int, count: int = 5) -> list[tuple[int, float]]:
        """Return the features that did most for the new answer of one example, with what each added."""
        order = self.contributions[example].argsort(descending=True, stable=True)[:count]
        return [(unit, float(self.contributions[example, unit])) for unit in order.tolist()]


def flips(model: nn.Module, images: Images, changed: Images) -> Flips:
    """Return which penultimate features carried the change of the answers from `images` to `changed`.

    For the linear head z = W r + b feature k contributes (W_after,k - W_before,k) (r_k(x') - r_k(x)), exactly.
    """
    if images.shape != changed.shape:
        raise ValueError(
            f"images and their changed versions must have one shape, got {tuple(images.shape)} and "
            f"{tuple(changed.shape)}"
        )
    head, features = head_of(model), Layer(model, "penultimate")
    with frozen(model), torch.no_grad():
        first, second = features(images), features(changed)
        before, logits = model(images).argmax(dim=1), model(changed)
    # The most likely class other than the old answer: the new answer, where the answer changed.
    rival = logits.scatter(1, before[:, None], -torch.inf).argmax(dim=1)
    weight = head.weight.detach().to(first)
    return Flips((weight[rival] - weight[before]) * (second - first), before, logits.argmax(dim=1))
