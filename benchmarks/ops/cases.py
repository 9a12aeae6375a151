"""What an operator is measured on; a family of operators is a module that registers its cases here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

import torch

Shape = tuple[int, ...]
Formula = Callable[[SimpleNamespace], object]
"""An implementation that reads the operator's arguments by name; it returns the result, or all results, that one first.

What it does not return, torch.compile would leave out.
"""


@dataclass(frozen=True)
class Sizes:
    """What arguments are drawn for."""

    shape: Shape
    device: torch.device
    generator: torch.Generator

    def uniform(self, low: float = 0.0, high: float = 1.0, *, shape: Shape | None = None) -> torch.Tensor:
        """Return uniform float32 numbers of the case's shape."""
        drawn = torch.rand(shape or self.shape, generator=self.generator, device=self.device)
        return drawn.mul_(high - low).add_(low)

    def normal(self, *, shape: Shape | None = None) -> torch.Tensor:
        """Return normal float32 numbers of the case's shape."""
        return torch.randn(shape or self.shape, generator=self.generator, device=self.device)

    def each(self, value: float) -> torch.Tensor:
        """Return one float32 number for all examples, as the public functions pass it."""
        return torch.full((1,), value, device=self.device)

    def identities(self) -> torch.Tensor:
        """Return the identities of the examples."""
        return torch.arange(self.shape[0], device=self.device)


CIFAR: Shape = (256, 3, 32, 32)
IMAGENET: Shape = (16, 3, 224, 224)
PICTURES: Mapping[str, Shape] = {"cifar": CIFAR, "imagenet": IMAGENET}
QUICK = "cifar"


@dataclass(frozen=True, kw_only=True)
class Case:
    """The arguments of one operator, by the names in its schema, and who else does the same.

    `eager` is the usual formula in PyTorch; it runs as it is and under torch.compile. A peer's entry is a function that
    imports it and returns its formula. `bytes` overrides what must move: every tensor that the schema reads once, and
    every one that it writes once. `same` says that `eager` gives the operator's numbers in `result`, as a test asks;
    random starts and hashes are others. `shapes` has a shape by the name of each size; --quick measures `quick` alone.
    """

    op: str
    arguments: Callable[[Sizes], dict[str, object]]
    eager: Formula | None = None
    peers: Mapping[str, Callable[[], Formula]] = field(default_factory=dict)
    bytes: Callable[[SimpleNamespace], int] | None = None
    same: bool = True
    result: str = "out"
    shapes: Mapping[str, Shape] = field(default_factory=lambda: PICTURES)
    quick: str = QUICK


CASES: dict[str, Case] = {}
"""The case of each operator; a test says that none is missing."""


def register(case: Case) -> None:
    """Add the case of one operator."""
    if case.op in CASES:
        raise ValueError(f"there is already a case of {case.op}")
    CASES[case.op] = case
