"""Usefulness and robust usefulness of features: which tell the classes apart, and which still do under attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from featlab.data import Data, as_data
from featlab.features.extremes import Extremes, extremes, read
from featlab.features.resampling import Interval, resample
from featlab.threat_models import ThreatModel
from featlab.types import FeatureExtractor, Images, Labels, Progress, silent

Verdict = Literal["robust", "non-robust", "useless", "unclear"]


@dataclass(frozen=True, eq=False)
class Usefulness:
    """How useful each feature is for each class: (classes, features) each, in float64.

    `rho` is E[y f(x)] and `gamma` E[inf over x' in S(x) of y f(x')], with y = +1 for the class and -1 for the rest, and
    f standardised to mean 0 and variance 1 over the data, turned by `sign` so that rho >= 0. The intervals hold with
    probability 95 % over the draw of the examples. `gamma` is an estimate from above, as far as the attack finds the
    infimum; it is None where no threat model was given. `units` are the features' columns in the extractor's output. A
    feature that is constant over the data is 0 everywhere.
    """

    rho: Interval
    gamma: Interval | None
    sign: Tensor
    units: Tensor
    mean: Tensor
    std: Tensor
    n: int
    threat_model: str | None
    seed: int

    def verdicts(self, *, least: float = 0.1) -> list[Verdict]:
        """Return for each feature whether it is robust, useful but not robust, or useless.

        A feature is useful for a class if its rho is at least `least`, by the lower end of the interval; useless if it
        is useful for no class. It is robust if for a class that it is useful for gamma > 0, non-robust if gamma <= 0
        for all of them, both by the whole interval, and unclear in between.
        Source: Ilyas et al. 2019, section 2; for several classes Goh 2019 (Distill, robust feature leakage).
        """
        if self.gamma is None:
            raise ValueError("a verdict needs robust usefulness; call usefulness(..., within=a threat model)")
        useful = self.rho.low >= least
        robust = (useful & (self.gamma.low > 0)).any(dim=0)
        fragile = useful.any(dim=0) & (~useful | (self.gamma.high <= 0)).all(dim=0)
        names = ("useless", "unclear", "non-robust", "robust")
        codes = torch.where(robust, 3, torch.where(fragile, 2, useful.any(dim=0).long()))
        return [names[code] for code in codes.tolist()]  # type: ignore[misc]

    def best_class(self) -> Labels:
        """Return for each feature the class that it is most useful for."""
        return self.rho.value.argmax(dim=0)

    def record(self, *, least: float = 0.1) -> dict[str, Any]:
        """Return for each feature its best class's numbers, as plain values."""
        best = self.best_class()
        rows = []
        verdicts = None if self.gamma is None else self.verdicts(least=least)
        for column, (unit, label) in enumerate(zip(self.units.tolist(), best.tolist(), strict=True)):
            row = {"unit": unit, "class": label, "sign": int(self.sign[label, column])}
            row["rho"] = self.rho.at(label, column)
            if self.gamma is not None and verdicts is not None:
                row |= {"gamma": self.gamma.at(label, column), "verdict": verdicts[column]}
            rows.append(row)
        return {"n": self.n, "threat_model": self.threat_model, "seed": self.seed, "least": least, "features": rows}


def usefulness(
    extract: FeatureExtractor,
    data: Data | tuple[Images, Labels],
    *,
    within: ThreatModel | None = None,
    units: Sequence[int] | None = None,
    steps: int = 10,
    relative_step: float = 0.25,
    resamples: int = 1000,
    batch_size: int = 512,
    seed: int = 0,
    progress: Progress = silent,
) -> Usefulness:
    """Return every feature's usefulness rho for every class and, within a threat model, its robust usefulness gamma.

    rho = E[y f(x)], gamma = E[inf over x' in S(x) of y f(x')]. The infimum is sought for each feature and example by
    itself, from the example, with `steps` steps of `relative_step * within.radius`: two ascents, one each way, serve
    all classes. `units` picks columns of the features (all by default), which is what the time grows with.
    Source: Ilyas et al. 2019, section 2.
    """
    data = as_data(data)
    labels = data.labels.cpu()
    refuse_one_class(labels)
    values, columns = read(extract, data, units=units, batch_size=batch_size, progress=progress)
    found = None
    if within is not None:
        found = extremes(
            extract,
            data,
            within=within,
            units=columns,
            steps=steps,
            relative_step=relative_step,
            batch_size=batch_size,
            seed=seed,
            progress=progress,
        )
    return summarise(values, labels, found, units=columns, within=within, resamples=resamples, seed=seed)


def refuse_one_class(labels: Labels) -> None:
    """Refuse labels of fewer than two classes."""
    if len(labels) < 2 or len(labels.unique()) < 2:
        raise ValueError(
            f"usefulness tells a class from the rest, so the data must hold two classes; got {len(labels.unique())} "
            f"in {len(labels)} examples"
        )


def summarise(
    values: Tensor,
    labels: Labels,
    found: Extremes | None,
    *,
    units: Tensor,
    within: ThreatModel | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Usefulness:
    """Return the measures of features that were read: `values` (examples, features), and their extremes in the set."""
    mean, std = values.mean(dim=0), values.std(dim=0, correction=0)
    alive = std > 1e-12 * values.abs().amax(dim=0).clamp_min(1e-300)
    scale = torch.where(alive, std, 1.0)
    members = torch.nn.functional.one_hot(labels, int(labels.max()) + 1).double()
    sign = torch.where((2 * members - 1).T @ torch.where(alive, values - mean, 0.0) < 0, -1.0, 1.0)
    rho, gamma = resample(
        torch.where(alive, (values - mean) / scale, 0.0),
        None if found is None else found.standardised(mean, scale, alive),
        members,
        sign,
        resamples=resamples,
        seed=seed,
    )
    return Usefulness(
        rho=rho,
        gamma=gamma,
        sign=sign,
        units=units,
        mean=mean,
        std=std,
        n=len(labels),
        threat_model=None if within is None else repr(within),
        seed=seed,
    )


def agreement(first: Usefulness, second: Usefulness, *, least: float = 0.1) -> dict[str, float]:
    """Return how far two threat models call the same features robust.

    `jaccard` is |A and B| / |A or B| of the features that each calls useful but non-robust (1 where neither does);
    `spearman` the rank correlation of gamma, at the class that each feature is most useful for.
    """
    if first.gamma is None or second.gamma is None or not torch.equal(first.units, second.units):
        raise ValueError("agreement is between two measurements of the same features, each within a threat model")
    one, other = (
        torch.tensor([verdict == "non-robust" for verdict in each.verdicts(least=least)]) for each in (first, second)
    )
    union = int((one | other).sum())
    best = first.best_class()[None]
    ranks = [each.gamma.value.gather(0, best)[0].argsort().argsort().double() for each in (first, second) if each.gamma]
    return {
        "jaccard": int((one & other).sum()) / union if union else 1.0,
        "spearman": float(torch.corrcoef(torch.stack(ranks))[0, 1]),
    }
