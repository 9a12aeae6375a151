"""Rows of Auto-PGD's bookkeeping, as the operator takes them."""

import inspect

import torch
from torch import Tensor

NAMES = ("number", "score", "best_score", "checked_score", "rises", "factor", "halved")
WINDOWS = 5


def rows_of(drawn: list[dict[str, object]]) -> dict[str, object]:
    """Return the operator's arguments in its order, a row for each record; what a record lacks is 0."""

    def column(name: str, dtype: torch.dtype) -> Tensor:
        return torch.tensor([row.get(name, 0) for row in drawn], dtype=dtype)

    windows = torch.tensor([row.get("windows", [0.0] * WINDOWS) for row in drawn], dtype=torch.float64)
    double = {name: column(name, torch.float64) for name in NAMES[1:-1]}
    count = len(drawn)
    return {
        "scores": column("scores", torch.float32),
        "windows": windows.reshape(count, WINDOWS),
        "rho": 0.75,
        "alpha": 0.75,
        "number": column("number", torch.int64),
        **double,
        "halved": column("halved", torch.bool),
        "improved": torch.zeros(count, dtype=torch.bool),
        "back": torch.zeros(count, dtype=torch.bool),
        "share": torch.zeros(count, dtype=torch.float64),
    }


def call(function: object, given: dict[str, object]) -> tuple[Tensor, ...]:
    """Call the public function with those of the arguments that it takes."""
    names = inspect.signature(function).parameters
    return function(**{name: value for name, value in given.items() if name in names})


def drawn(count: int, *, seed: int = 0) -> dict[str, object]:
    """Return random rows, of which some begin, and some are at a checkpoint."""
    generator = torch.Generator().manual_seed(seed)
    given = rows_of([{}] * count)
    given["scores"] = torch.randn(count, generator=generator)
    given["windows"] = torch.randint(0, 4, (count, WINDOWS), generator=generator).double()
    given["number"] = torch.randint(0, WINDOWS + 2, (count,), generator=generator)
    for name in ("score", "best_score", "checked_score"):
        given[name] = torch.randn(count, generator=generator).double()
    given["rises"] = torch.randint(0, 4, (count,), generator=generator).double()
    given["factor"] = torch.full((count,), 0.5, dtype=torch.float64)
    given["halved"] = torch.rand(count, generator=generator) < 0.5
    return given
