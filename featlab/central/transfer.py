"""Does an architecture that learns much from a net's perturbations also fall for its adversarial examples?"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from itertools import permutations

import torch
from torch import Tensor

from featlab.central.perturbations import Bench, Row, share_of, timed
from featlab.data import Data
from featlab.datasets.dataset import Dataset
from featlab.intervals import Estimate, ends, shares
from featlab.types import Labels

LEAST = 0.05
"""The probability by chance below which an order of architectures counts as more than that."""


@dataclass(frozen=True, eq=False)
class Architectures:
    """The experiment of figure 3: architectures trained on the source's D_det, and fooled by its adversarial examples.

    If non-robust features explain transfer, those that learn them better are those to which attacks transfer better.
    Source: Ilyas et al. 2019, section 3.3 and figure 3.
    """

    bench: Bench

    def run(self) -> Row:
        """Return both numbers of every architecture, their rank correlation, and what it says."""
        begun, bench = time.monotonic(), self.bench
        source, train, test = bench.source(), bench.train_data, bench.test_data
        built = bench.perturbed("d_det", source, train, bench.next(train))
        moved = bench.perturbed("d_det_test", source, test, bench.next(test))
        noise = bench.noised("d_det_test_noise", moved, test)
        made = [self._contender(number, built, moved, noise) for number in range(len(bench.recipe.contenders))]
        rows = [row for row, _, _ in made]
        # (students, images, architectures) and (images, architectures)
        learned, fooled = (torch.stack(each, dim=-1) for each in list(zip(*made, strict=True))[1:])
        rho, chance = correlation(learned.mean(dim=0), fooled, seed=bench.shop.seed)
        alone = [float(rank_correlation(each.mean(dim=0)[None], fooled.mean(dim=0)[None])) for each in learned]
        return {
            "source_accuracy": share_of(bench.right(source)).record(),
            "reached": share_of(bench.answers(source, moved) == moved.labels).record(),
            "architectures": rows,
            "spearman": {**asdict(rho), "chance": chance, "each": alone},
            "verdict": verdict(rho, chance),
            "seconds": timed(begun),
        }

    def _contender(self, number: int, built: Dataset, moved: Dataset, noise: Data) -> tuple[Row, Tensor, Tensor]:
        """Return one architecture's row, and verdicts on test images: right (students, images), and at the target."""
        bench, contender = self.bench, self.bench.recipe.contenders[number]
        labels, wanted = bench.test_data.labels, moved.labels
        own = bench.net(f"{contender.name}", bench.train_data, seed=100 + number, net=contender.net)
        students = [self._answered(number, again, built) for again in range(bench.recipe.students)]
        right = [answers == labels for answers in students]
        reached = bench.answers(own, moved) == wanted
        row: Row = {
            "name": contender.name,
            "net": asdict(contender.net),
            "clean": share_of(bench.right(own)).record(),
            "learned": share_of(right).record(),
            "learned_each": [share_of(each).record() for each in right],
            "shifted": share_of([answers == bench.next(bench.test_data) for answers in students]).record(),
            "transfer": share_of(reached).record(),
            "transfer_noise": share_of(bench.answers(own, noise) == wanted).record(),
            "fooled": share_of(bench.answers(own, moved) != labels).record(),
        }
        return row, torch.stack(right).double(), reached.double()

    def _answered(self, number: int, again: int, built: Dataset) -> Labels:
        """Return the answers to the test images of one net that was trained on D_det."""
        contender = self.bench.recipe.contenders[number]
        name, seed = f"{contender.name}_on_d_det_{again}", 200 + 10 * number + again
        return self.bench.answers(self.bench.student(name, built, seed=seed, net=contender.net), self.bench.test_data)


def correlation(learned: Tensor, fooled: Tensor, *, seed: int, resamples: int = 2000) -> tuple[Estimate, float]:
    """Return Spearman's rho of the columns' means with its interval over the images, and its probability by chance.

    `learned` and `fooled` are (images, architectures). The chance is that of so high a rho among all orders of the
    architectures: what it would be if the two had nothing to do with each other. Source: Spearman 1904; Efron 1979.
    """
    draws = shares(len(learned), resamples, seed=seed)
    cloud = rank_correlation(draws @ learned, draws @ fooled)
    one, other = learned.mean(dim=0)[None], fooled.mean(dim=0)[None]
    value = float(rank_correlation(one, other))
    low, high = ends(cloud)
    orders = _orders(one.shape[1], seed=seed)
    among = rank_correlation(one.expand(len(orders), -1), other[0][orders])
    return Estimate(value, float(low), float(high)), float((among >= value - 1e-12).double().mean())


def _orders(count: int, *, seed: int) -> Tensor:
    """Return all orders of few things, and 10 000 random ones of more than seven."""
    if count <= 7:
        return torch.tensor(list(permutations(range(count))))
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(count, generator=generator) for _ in range(10_000)])


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return Spearman's rho of each pair of rows, (rows,); ties share their mean rank, and constants give 0."""
    one, other = _ranks(first), _ranks(second)
    size = one.norm(dim=1) * other.norm(dim=1)
    rho: Tensor = torch.where(size > 1e-9, (one * other).sum(dim=1) / size.clamp_min(1e-9), 0.0)
    return rho


def _ranks(values: Tensor) -> Tensor:
    """Return the ranks within each row, less their mean."""
    above = (values[:, :, None] > values[:, None]).double().sum(dim=2)
    ranks = above + 0.5 * (values[:, :, None] == values[:, None]).double().sum(dim=2)
    return ranks - ranks.mean(dim=1, keepdim=True)


def verdict(rho: Estimate, chance: float) -> str:
    """Return whether the relation of the paper is seen: "holds", "undecided" or "does not hold"."""
    if rho.value <= 0:
        return "does not hold"
    return "holds" if rho.low > 0 and chance <= LEAST else "undecided"
