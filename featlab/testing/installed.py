"""The kit on installed plugins: which entries a name stands for, what to fill in, and what became of the laws."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

import torch

from featlab.models import Classifier, build
from featlab.names import lookup
from featlab.plugins import NOUNS, Offer, inner_makers, plain, registry, threat_model
from featlab.specs import options_of, parse, read_options
from featlab.testing.data import judge_dataset
from featlab.testing.extractors import judge_extractor
from featlab.testing.laws import Verdict
from featlab.testing.situations import Claims
from featlab.testing.strategies import BATCH, options, picture
from featlab.testing.tasks import judge_task
from featlab.testing.threat_models import judge_threat_model
from featlab.threat_models import ThreatModel

SHAPE: Final = (3, 8, 8)
FEW: Final = 5
"""So many steps a task takes here, unless told."""


@dataclass(frozen=True)
class Trying:
    """How entries are tried: options as text, shapes of images, the set for tasks that ask for one, exempt laws.

    `images` is the shape of a task's images where it is not that of the model's, as in super-resolution.
    """

    options: Mapping[str, str]
    shapes: Sequence[tuple[int, ...]] = (SHAPE,)
    within: str = "box"
    images: tuple[int, ...] | None = None
    exempt: Collection[str] = ()
    tolerance: float = 1e-6
    examples: int = 25
    device: str = "cpu"


@dataclass(frozen=True)
class Judged:
    """What became of one entry: what it was asked about, and its verdicts."""

    offer: Offer
    about: str
    verdicts: Sequence[Verdict]

    @property
    def passed(self) -> bool:
        """Whether no law is broken."""
        return all(verdict.outcome != "fail" for verdict in self.verdicts)


def offers_of(name: str) -> list[Offer]:
    """Return the entries of a name: of an entry itself, of an entry point, or of a distribution."""
    found = registry()
    entries = [found.find(kind, name) for kind in NOUNS if name in found.names(kind)]
    ways: dict[str, list[Offer]] = {}
    for offer in found.offers:
        for known in {plain(offer.provider.name), plain(offer.provider.distribution)}:
            ways.setdefault(known, []).append(offer)
    others = [offer for offer in ways.get(plain(name), []) if offer not in entries]
    if not (entries or others):
        names = {offer.entry.name: offer for offer in found.offers}
        lookup("a plugin (an entry, an entry point or a distribution)", name, {**names, **ways})
    return [*entries, *others]


def judge_installed(spec: str, trying: Trying) -> Iterator[Judged]:
    """Yield what became of each entry that a name or a spec such as linf:eps=8/255 stands for, shape by shape.

    Everything is made once before the first law is asked: unknown, missing and unreadable options are a ValueError.
    """
    name, text = parse(spec)
    given = {**trying.options, **text}
    offers = offers_of(name)
    makers = {offer: registry().imported(offer) for offer in offers}
    known = {option for offer, maker in makers.items() for option in options_of(maker, after=_filled(offer))}
    for option in given:
        lookup(f"an option of {name!r}", option, dict.fromkeys(known))
    runs = [run for offer in offers for run in _JUDGES[offer.kind](offer, makers[offer], given, trying)]
    for run in runs:
        yield run()


def _filled(offer: Offer) -> int:
    """Return how many first parameters are not options."""
    return 1 if offer.kind == "extractors" else 0


Run = Callable[[], Judged]


def _threat_model(offer: Offer, maker: Callable[..., Any], text: Mapping[str, str], trying: Trying) -> Iterator[Run]:
    """Yield the runs of a threat model: its truth values and choices are drawn, unless they are given."""
    chosen = _chosen(offer, maker, text)
    maker(**chosen)
    drawn = options(maker, given=chosen)
    for shape in trying.shapes:
        judge = partial(
            judge_threat_model,
            maker,
            shape=shape,
            claims=Claims(tolerance=trying.tolerance),
            options=drawn,
            exempt=trying.exempt,
            examples=trying.examples,
            device=trying.device,
        )
        yield partial(_judged, offer, _about(shape, chosen), judge)


def _extractor(offer: Offer, maker: Callable[..., Any], text: Mapping[str, str], trying: Trying) -> Iterator[Run]:
    chosen = _chosen(offer, maker, text, after=1)
    for shape in trying.shapes:
        model, images = small_net(shape), picture("noise", shape, seed=0).float()
        maker(model, **chosen)
        make = partial(maker, model, **chosen)
        judge = partial(judge_extractor, make, images=images, model=model, exempt=trying.exempt)
        yield partial(_judged, offer, _about(shape, chosen), judge)


def _task(offer: Offer, maker: Callable[..., Any], text: Mapping[str, str], trying: Trying) -> Iterator[Run]:
    known = options_of(maker)
    for shape in trying.shapes:
        words = _vocabulary(shape, trying.images or shape, trying.within)
        asked = {key: words[key] for key, option in known.items() if option.default is option.empty and key in words}
        chosen = _chosen(offer, maker, text, filled=asked)
        few = {"steps": FEW} if "steps" in known and "steps" not in chosen else {}
        make = partial(maker, **{**asked, **few, **chosen})
        make()
        model = small_net(shape) if "model" in asked else None
        judge = partial(judge_task, make, model=model, exempt=trying.exempt)
        yield partial(_judged, offer, _about(shape, {**few, **chosen}), judge)


def _dataset(offer: Offer, maker: Callable[..., Any], text: Mapping[str, str], trying: Trying) -> Iterator[Run]:
    chosen = _chosen(offer, maker, text, filled={"train": True, "root": None})
    for part, train in {"training part": True, "test part": False}.items():
        make = partial(maker, **{"train": train, "root": None, **chosen})
        yield partial(_judged, offer, part, partial(judge_dataset, make, exempt=trying.exempt))


_JUDGES: Final = {"threat_models": _threat_model, "extractors": _extractor, "tasks": _task, "datasets": _dataset}


def _judged(offer: Offer, about: str, judge: Callable[[], Sequence[Verdict]]) -> Judged:
    return Judged(offer, about, judge())


def _chosen(
    offer: Offer,
    maker: Callable[..., Any],
    text: Mapping[str, str],
    *,
    after: int = 0,
    filled: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """Return the given options that an entry has, read by its annotations; a missing one is a ValueError."""
    name = offer.entry.name
    what, known = f"{NOUNS[offer.kind]} {name!r}", options_of(maker, after=after)
    needed = [key for key, option in known.items() if option.default is option.empty]
    missing = [key for key in needed if key not in text and key not in (filled or {})]
    if missing:
        raise ValueError(f"{what} needs {', '.join(missing)}; write for example --option {missing[0]}=...")
    mine = {key: value for key, value in text.items() if key in known}
    return read_options(maker, mine, what=what, makers=inner_makers())


def _vocabulary(shape: tuple[int, ...], images: tuple[int, ...], within: str) -> dict[str, object]:
    """Return what a task may ask for by name."""
    mask = torch.ones(shape)
    mask[..., : shape[-1] // 2] = 0
    made: ThreatModel = threat_model(within)
    return {
        "model": small_net(shape),
        "images": picture("noise", images, seed=1).float(),
        "labels": torch.arange(BATCH) % len(small_net(shape).classes),
        "mask": mask,
        "reference": picture("smooth", shape, seed=2).float(),
        "unit": "logits:1",
        "within": made,
    }


@cache
def small_net(shape: tuple[int, ...]) -> Classifier:
    """Return a small convolutional classifier with random weights, the same each time, for images of one shape."""
    if len(shape) != 3:
        raise ValueError(f"extractors and tasks are tried on images, --shape CHANNELS,HEIGHT,WIDTH; got {shape}")
    arguments = {"channels": [4, 6], "strides": [1, 2]}
    return build("small_cnn", mean=0.5, std=0.25, classes="abcd", shape=shape, arguments=arguments, seed=0)


def _about(shape: Sequence[int], chosen: Mapping[str, object]) -> str:
    said = [f"images of {'x'.join(map(str, shape))}", *(f"{key}={value}" for key, value in chosen.items())]
    return ", ".join(said)
