"""The arguments of the central experiment."""

from __future__ import annotations

from dataclasses import dataclass

from featlab.recipes.nets import Net
from featlab.training import Schedule


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """How far and how often to step, in the units of the threat model."""

    steps: int
    step_size: float

    def __post_init__(self) -> None:
        if self.steps < 0 or not self.step_size > 0:
            raise ValueError(f"steps must be >= 0 and step_size > 0, got {self.steps} and {self.step_size}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that the central experiment is a function of, besides the data and the seed.

    `train_count` and `test_count` take a balanced subset of the data; 0 takes all. `eps` is the size of the set in
    which the robust net is trained and D_rand and D_det are built; `curve` lists the sizes at which nets are attacked
    with `suite`, and must contain `eps` and half of it. `represent` moves images for D_R and D_NR in all of [0, 1].
    """

    net: Net
    threat_model: str
    eps: float
    curve: tuple[float, ...]
    standard: Schedule
    robust: Schedule
    inner: Ascent
    perturb: Ascent
    represent: Ascent
    d_rand: Schedule
    d_det: Schedule
    d_r: Schedule
    d_nr: Schedule
    suite: str = "pgd"
    train_count: int = 0
    test_count: int = 0
    batch_size: int = 500
    large_eps: float = 6.0

    def __post_init__(self) -> None:
        if not self.eps > 0:
            raise ValueError(f"eps must be > 0, got {self.eps}")
        if list(self.curve) != sorted(self.curve):
            raise ValueError(f"curve must grow, got {list(self.curve)}")
        for needed in (self.eps, self.eps / 2):
            if needed not in self.curve:
                raise ValueError(f"curve must contain eps and eps / 2, so {needed:g}; got {list(self.curve)}")
