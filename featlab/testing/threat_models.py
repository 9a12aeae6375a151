"""The laws of threat models, and the check that asks them all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from featlab.testing.laws import Law, Trial, Verdict, demand
from featlab.testing.matrix import ONCE
from featlab.testing.sets import EACH, answers, types
from featlab.testing.situations import NOTHING, Claims, Contains, Length, Situation
from featlab.testing.strategies import BATCH, DTYPES, KINDS, picture
from featlab.threat_models import Key, ThreatModel

THREAT_MODEL_LAWS: Final[tuple[Law, ...]] = (*EACH, *ONCE)
Make = Callable[..., ThreatModel]


def check_threat_model(
    make: Make,
    *,
    shape: Sequence[int],
    options: st.SearchStrategy[dict[str, Any]] | None = None,
    contains: Contains | None = None,
    length: Length | None = None,
    moves_images: bool | None = None,
    nearest: bool = False,
    tolerance: float = 1e-6,
    exempt: Collection[str] = (),
    examples: int = 25,
    device: str = "cpu",
) -> None:
    """Check the laws of threat models on random images of one shape; AssertionError names the first that is broken.

    `THREAT_MODEL_LAWS` are the laws; the guide, plugins/README.md, says what each asks. `make` is called once per case,
    with options drawn from `options` where given; per-example options are for a batch of 5. What the kit cannot know
    may be told. `contains(points, center)` says, for each example, whether the point is in the set: it is asked of
    every projection, sample and step. `length(directions)` is the norm in which the steepest direction has length one.
    `moves_images` says that points are images, which must stay in [0, 1]; unless told, they are where the set has no
    `decode` of its own. `nearest` says that the projection is the nearest point. `tolerance` is what two ways to the
    same point may differ by. `exempt` names laws that this set does not claim to hold.
    """
    claims = Claims(contains, length, moves_images, nearest, tolerance)
    told = {"claims": claims, "options": options, "exempt": exempt, "examples": examples, "device": device}
    demand(judge_threat_model(make, shape=shape, **told))  # type: ignore[arg-type]


def judge_threat_model(
    make: Make,
    *,
    shape: Sequence[int],
    claims: Claims = NOTHING,
    options: st.SearchStrategy[dict[str, Any]] | None = None,
    exempt: Collection[str] = (),
    examples: int = 25,
    device: str = "cpu",
) -> list[Verdict]:
    """Return what became of every law; the arguments are those of `check_threat_model`."""
    trial = Trial(THREAT_MODEL_LAWS, exempt)
    settle = _Settling(make, tuple(shape), claims, device)
    chosen = st.just({}) if options is None else options
    drawn = st.builds(_Draw, _SEEDS, st.sampled_from(list(_SIZES)), st.sampled_from(list(DTYPES)), _KIND, chosen)

    # A failing case is a seed, and one seed is as simple as another: nothing is gained by shrinking it.
    @settings(max_examples=examples, deadline=None, derandomize=True, database=None, phases=(Phase.generate,))
    @given(draw=drawn)
    def ask(draw: _Draw) -> None:
        settle(trial, draw, EACH)

    @settings(max_examples=2, deadline=None, derandomize=True, database=None, phases=(Phase.generate,))
    @given(options=chosen)
    def ask_once(options: dict[str, Any]) -> None:
        laws = (answers, types, *ONCE)
        turns = settle(trial, _Draw(0, 0.1, DTYPES[0], "smooth", options), laws)
        for seed in range(1, max(2, turns)):
            settle(trial, _Draw(seed, 0.1, DTYPES[seed % 2], "smooth", options), laws)

    ask()
    ask_once()
    return trial.verdicts


_SEEDS: Final = st.integers(0, 2**31 - 1)
_SIZES: Final = (1e-3, 0.1, 1.0, 30.0)
_KIND: Final = st.sampled_from(list(KINDS))


@dataclass(frozen=True)
class _Draw:
    """What is random about a situation."""

    seed: int
    size: float
    dtype: torch.dtype
    kind: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class _Settling:
    """Put a threat model into the situation that was drawn, and ask laws of it."""

    make: Make
    shape: tuple[int, ...]
    claims: Claims
    device: str

    def __call__(self, trial: Trial, draw: _Draw, laws: Sequence[Law]) -> int:
        """Ask, and return how many sets take turns, one of which was asked; 0 where nothing could be made."""
        center = picture(draw.kind, self.shape, seed=draw.seed).to(self.device, draw.dtype)
        key = Key(seed=draw.seed, examples=torch.arange(BATCH, device=center.device), restart=draw.seed)
        try:
            whole = self.make(**draw.options)
            within = whole.at(draw.seed).drawn(key)
            case = Situation.of(within, center, seed=draw.seed, size=draw.size, claims=self.claims)
            turns = whole.variants
        except Exception as error:  # A plugin may raise anything; then there is nothing to ask about.
            trial.fail(error)
            return 0
        trial.ask(case, laws)
        return turns
