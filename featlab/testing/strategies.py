"""Hypothesis strategies: images, layouts in memory, keys, and options read off a signature."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import torch
from hypothesis import strategies as st
from torch import Tensor

from featlab.specs import hints_of, options_of
from featlab.threat_models import Key
from featlab.types import Images

BATCH: Final = 5
"""So many examples a batch has; per-example options are for as many."""

DTYPES: Final = (torch.float32, torch.float64)
KINDS: Final = ("noise", "smooth", "corners", "grey")
"""Values drawn one by one; waves; only 0 and 1; the same grey everywhere."""

Layout = Callable[[Tensor], Tensor]


def picture(kind: str, shape: Sequence[int], *, seed: int, batch: int = BATCH) -> Images:
    """Return a batch of float64 images of one of `KINDS`, a function of the arguments alone.

    Noise holds values of exactly 0 and 1, corners nothing else; waves stay within [0.25, 0.75].
    """
    generator = torch.Generator().manual_seed(seed)
    if kind == "smooth":
        return 0.5 + 0.25 * waves((batch, *shape), generator)
    noise = torch.rand(batch, *shape, generator=generator, dtype=torch.float64)
    if kind == "noise":
        noise.view(-1)[:2] = torch.tensor([0.0, 1.0])[: noise.numel()]
        return noise
    return noise.round() if kind == "corners" else torch.full_like(noise, 0.5)


def waves(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Return values in [-1, 1] that change slowly along all dimensions but the first: one wave per example."""
    batch, *rest = shape
    angle = 2 * math.pi * torch.rand(batch, *[1] * len(rest), generator=generator, dtype=torch.float64)
    for dim, size in enumerate(rest, start=1):
        places = torch.arange(size, dtype=torch.float64) / max(size, 8)
        slope = 1 + 2 * torch.rand(batch, *[1] * len(rest), generator=generator, dtype=torch.float64)
        angle = angle + slope * places.reshape(-1, *[1] * (len(rest) - dim))
    return angle.cos()


def images(
    shape: Sequence[int], *, batch: int = BATCH, dtypes: Sequence[torch.dtype] = DTYPES, kinds: Sequence[str] = KINDS
) -> st.SearchStrategy[Images]:
    """Return batches of images in [0, 1] of one shape: noise, waves, corners of the box, plain grey."""
    return st.builds(
        lambda kind, seed, dtype: picture(kind, shape, seed=seed, batch=batch).to(dtype),
        st.sampled_from(list(kinds)),
        st.integers(0, 2**31 - 1),
        st.sampled_from(list(dtypes)),
    )


def keys(batch: int = BATCH) -> st.SearchStrategy[Key]:
    """Return keys of random numbers: any seed, any examples, the first few restarts."""
    return st.builds(
        lambda seed, first, restart: Key(seed=seed, examples=torch.arange(first, first + batch), restart=restart),
        st.integers(0, 2**31 - 1),
        st.integers(0, 2**20),
        st.integers(0, 3),
    )


def layouts(dimensions: int) -> st.SearchStrategy[Layout]:
    """Return ways to lay a tensor of so many dimensions out in memory, none of which changes its values."""
    return st.sampled_from([layout for _, layout in arrangements(dimensions)])


def arrangements(dimensions: int) -> list[tuple[str, Layout]]:
    """Return the layouts of tensors of so many dimensions, by name."""
    known: list[tuple[str, Layout]] = [("strided", _strided)]
    if dimensions > 2:
        known.append(("transposed", _transposed))
    if dimensions == 4:
        known.append(("channels_last", lambda value: value.clone(memory_format=torch.channels_last)))
    return known


def _strided(value: Tensor) -> Tensor:
    """Return a view of every second value of a larger tensor."""
    return torch.stack([value, torch.full_like(value, 0.5)], dim=-1)[..., 0]


def _transposed(value: Tensor) -> Tensor:
    """Return a dense tensor whose last two dimensions lie the other way round."""
    return value.transpose(-1, -2).contiguous().transpose(-1, -2)


def options(make: Callable[..., Any], /, *, after: int = 0, given: Mapping[str, Any] | None = None) -> Any:
    """Return the options of what makes an entry, as dictionaries: those `given`, and what its signature leaves open.

    Truth values and choices are drawn from all that there are, options without a default from small numbers of their
    type; the others keep their default. The first `after` parameters are none of them. Raises ValueError for an option
    without a default and without an annotation that says what to draw.
    """
    fixed, hints = dict(given or {}), hints_of(make)
    drawn = {}
    for name, option in options_of(make, after=after).items():
        strategy = None if name in fixed else _values(hints.get(name))
        needed = option.default is option.empty
        if needed and name not in fixed and strategy is None:
            raise ValueError(f"option {name!r} has no default, and its annotation does not say what to draw; give it")
        if strategy is not None and (needed or _is_choice(hints.get(name))):
            drawn[name] = strategy
    return st.fixed_dictionaries({**{name: st.just(value) for name, value in fixed.items()}, **drawn})


def _is_choice(hint: object) -> bool:
    return hint is bool or typing.get_origin(hint) is Literal


def _values(hint: object) -> st.SearchStrategy[Any] | None:
    """Return what an option of this annotation may be, None where it cannot be guessed."""
    if typing.get_origin(hint) is Literal:
        return st.sampled_from(list(typing.get_args(hint)))
    for kind in (hint, *typing.get_args(hint)):
        if kind in _KNOWN:
            return _KNOWN[kind]
    return None


_KNOWN: Final[Mapping[Any, st.SearchStrategy[Any]]] = {
    bool: st.booleans(),
    int: st.integers(1, 4),
    float: st.sampled_from([1 / 255, 8 / 255, 0.1, 0.5]),
}
