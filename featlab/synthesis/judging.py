"""The judge: another net's opinion of the images that a net made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featlab.attacks import Model
from featlab.evaluation import Accuracy
from featlab.freezing import frozen
from featlab.intervals import Mean
from featlab.types import Images, Labels, Scores, Verdicts

KIN = 0.5
"""Two nets of one architecture with a cosine of their weights above this have a common origin: independent ones have
about 0."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """Per image: whether the judge sees the wanted class, and the probability p_y(x) that it gives to it."""

    correct: Verdicts
    probability: Scores

    @property
    def accuracy(self) -> Accuracy:
        """The share of images in which the judge sees the wanted class."""
        return Accuracy.of(self.correct)

    @property
    def confidence(self) -> Mean:
        """The judge's mean probability of the wanted class."""
        return Mean.of(self.probability)


def judged(
    judge: Model, images: Images, labels: Labels, *, made_by: Iterable[Model], batch_size: int = 512
) -> Judgement:
    """Return what an independent classifier says of images that shall show the classes `labels`.

    `made_by` names the nets that the images were made with, none for real images and for those of a method without a
    net. Raises ValueError where the judge is one of them, or has their weights: a net always sees in its images what it
    put there. Source: Ravuri and Vinyals 2019 (the classifier as a measure), here turned round: trained on real images.
    """
    for maker in made_by:
        refuse_kin(judge, maker)
    with frozen(judge), torch.no_grad():
        logits = torch.cat([judge(part).float() for part in images.split(batch_size)])
    chances = logits.softmax(dim=1).gather(1, labels.to(logits.device)[:, None])[:, 0]
    return Judgement(logits.argmax(dim=1) == labels.to(logits.device), chances)


def refuse_kin(judge: Model, maker: Model) -> None:
    """Raise ValueError where a judge is the net that it shall judge, or a copy of it, rounded or trained further."""
    if judge is maker or (
        isinstance(judge, nn.Module) and isinstance(maker, nn.Module) and kinship(judge, maker) > KIN
    ):
        raise ValueError(
            "a judge must be independent of the net that made the images, and this one has its weights; give another "
            "net, of another architecture or at least another seed"
        )


def kinship(first: nn.Module, second: nn.Module) -> float:
    """Return the cosine of the weights of two nets, matrices and kernels alone; 0 where their shapes differ."""
    weights = [[each.detach() for each in net.parameters() if each.dim() > 1] for net in (first, second)]
    shapes = [[each.shape for each in found] for found in weights]
    if shapes[0] != shapes[1] or not shapes[0]:
        return 0.0
    return float(F.cosine_similarity(_flat(weights[0]), _flat(weights[1]), dim=0))


def _flat(weights: list[Tensor]) -> Tensor:
    return torch.cat([each.flatten().double().cpu() for each in weights])
