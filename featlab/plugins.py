"""Plugins: hooks that yield records, found through the entry-point group `featlab` and imported when they are used."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import pluggy

from featlab.names import lookup
from featlab.specs import options_of, parse, read_options

if TYPE_CHECKING:
    from featlab.threat_models import ThreatModel
    from featlab.types import FeatureExtractor

GROUP: Final = "featlab"
KINDS: Final = ("threat_models", "extractors", "tasks", "datasets")
HOOKS: Final = tuple(f"featlab_{kind}" for kind in KINDS)
NOUNS: Final = {"threat_models": "threat model", "extractors": "extractor", "tasks": "task", "datasets": "data set"}
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@dataclass(frozen=True)
class Entry:
    """What a plugin provides: a name, what makes it, and one line about it.

    `make` is a callable or a dotted path such as "package.module:Name", which is imported when the entry is used and
    not before. The options of the entry are the signature of `make`.
    """

    name: str
    make: Callable[..., Any] | str
    summary: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+", self.name):
            raise ValueError(f"the name of an entry is made of letters, digits, '-', '_' and '.'; got {self.name!r}")
        if isinstance(self.make, str) and not re.fullmatch(r"[\w.]+:[\w.]+", self.make):
            raise ValueError(
                f"make of entry {self.name!r} must be a callable or a path such as 'package.module:Name'; "
                f"got {self.make!r}"
            )

    def resolve(self) -> Callable[..., Any]:
        """Return what makes it, importing it if need be."""
        if not isinstance(self.make, str):
            return self.make
        module, _, name = self.make.partition(":")
        made: Any = importlib.import_module(module)
        for part in name.split("."):
            made = getattr(made, part)
        return cast(Callable[..., Any], made)


class Hooks:
    """The hooks that a plugin may implement, as functions of the module that its entry point names."""

    @hookspec
    def featlab_threat_models(self) -> Iterable[Entry]:
        """Yield threat models; `make(**options)` returns a featlab.ThreatModel.

        @featlab.hookimpl
        def featlab_threat_models():
            yield featlab.Entry("rigid", "featlab_spatial.models:Rigid", "rotation and translation")
        """
        raise NotImplementedError

    @hookspec
    def featlab_extractors(self) -> Iterable[Entry]:
        """Yield extractors; `make(model, **options)` returns a callable from images to (batch, features).

        @featlab.hookimpl
        def featlab_extractors():
            yield featlab.Entry("bands", "featlab_spectrum.bands:bands", "energy of each band of frequencies")
        """
        raise NotImplementedError

    @hookspec
    def featlab_tasks(self) -> Iterable[Entry]:
        """Yield tasks; `make` is the task itself, a function that returns a featlab.Problem.

        @featlab.hookimpl
        def featlab_tasks():
            yield featlab.Entry("sharpen", "featlab_restore.tasks:sharpen", "an image whose blur is the given one")
        """
        raise NotImplementedError

    @hookspec
    def featlab_datasets(self) -> Iterable[Entry]:
        """Yield data sets; `make(*, train, root)` returns a featlab.Dataset.

        @featlab.hookimpl
        def featlab_datasets():
            yield featlab.Entry("leaves", "featlab_botany.data:open_leaves", "4,000 photographs of leaves, 12 classes")
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Provider:
    """An entry point of an installed distribution, and what became of it."""

    name: str
    distribution: str
    version: str
    state: Literal["loaded", "blocked", "failed"]
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Offer:
    """An entry and who provides it."""

    kind: str
    entry: Entry
    provider: Provider


@dataclass(frozen=True)
class Registry:
    """Everything that the installed plugins provide, and what was left out."""

    providers: tuple[Provider, ...]
    offers: tuple[Offer, ...]
    blocked: tuple[Offer, ...] = ()

    def names(self, kind: str) -> list[str]:
        """Return the names of one kind."""
        return sorted({offer.entry.name for offer in self.offers if offer.kind == kind})

    def find(self, kind: str, name: str) -> Offer:
        """Return the one entry of this name; none or several are an error that says what to do."""
        known: dict[str, list[Offer]] = {}
        for offer in self.offers:
            if offer.kind == kind:
                known.setdefault(offer.entry.name, []).append(offer)
        if not known:
            raise ValueError(f"no plugin provides any {NOUNS[kind]}, so not {name!r} either{self._who(kind)}")
        try:
            found = lookup(NOUNS[kind], name, known)
        except ValueError as error:
            raise ValueError(f"{error}{self._who(kind)}") from None
        if len(found) > 1:
            raise ValueError(_doubled(kind, name, [offer.provider for offer in found]))
        return found[0]

    def resolve(self, kind: str, name: str) -> Callable[..., Any]:
        """Return what makes the entry of this name."""
        return self.imported(self.find(kind, name))

    def imported(self, offer: Offer) -> Callable[..., Any]:
        """Return what makes an entry; a failing import is an error that names the plugin."""
        try:
            return offer.entry.resolve()
        except Exception as error:  # The module of a plugin may raise anything while it is imported.
            raise ValueError(
                f"{NOUNS[offer.kind]} {offer.entry.name!r} of plugin {offer.provider} cannot be imported from "
                f"{offer.entry.make!r}: {type(error).__name__}: {error}"
            ) from error

    def _who(self, kind: str) -> str:
        """Say in brackets who provides what, and what was left out; nothing where one plugin provides it all."""
        by: dict[str, list[str]] = {}
        for offer in self.offers:
            if offer.kind == kind:
                by.setdefault(str(offer.provider), []).append(offer.entry.name)
        said = [f"{', '.join(names)}: {provider}" for provider, names in by.items()] if len(by) > 1 else []
        said += [f"blocked: {offer.entry.name}" for offer in self.blocked if offer.kind == kind]
        said += [f"{provider.state}: {provider}" for provider in self.providers if provider.state != "loaded"]
        return f" ({'; '.join(said)})" if said else ""


def _doubled(kind: str, name: str, providers: Sequence[Provider]) -> str:
    """Say who provides one name twice, and how to block either: by whatever tells them apart."""
    if len(set(providers)) == 1:
        return f"{NOUNS[kind]} {name!r} is yielded more than once by plugin {providers[0]}"
    points = [provider.name for provider in providers]
    ways = [p.name if points.count(p.name) == 1 else p.distribution for p in providers]
    return (
        f"{NOUNS[kind]} {name!r} is provided by {' and '.join(map(str, providers))}; block one of them with "
        f"{' or '.join(f'FEATLAB_BLOCK={way}' for way in ways)}"
    )


@functools.cache
def registry() -> Registry:
    """Return what the installed plugins provide. Reads FEATLAB_BLOCK: names of providers, distributions or entries."""
    blocked = {name.strip() for name in os.environ.get("FEATLAB_BLOCK", "").split(",") if name.strip()}
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    points = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    providers, offers = [], []
    for point in points:
        provider, offered = _load(manager, point, blocked)
        providers.append(provider)
        offers += offered
    _refuse_misspelt(manager, providers)
    known = {plain(name) for each in providers for name in (each.name, each.distribution)}
    for name in sorted(blocked):
        if plain(name) not in known | {plain(offer.entry.name) for offer in offers}:
            warnings.warn(f"FEATLAB_BLOCK names {name!r}, which no installed plugin is or provides", stacklevel=2)
    barred = {plain(name) for name in blocked}
    return Registry(
        tuple(providers),
        tuple(offer for offer in offers if plain(offer.entry.name) not in barred),
        tuple(offer for offer in offers if plain(offer.entry.name) in barred),
    )


def plain(name: str) -> str:
    """Return a name as package indexes compare names: case and the kind of dash do not matter."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _load(
    manager: pluggy.PluginManager, point: importlib.metadata.EntryPoint, blocked: Iterable[str]
) -> tuple[Provider, list[Offer]]:
    """Import one entry point and ask its hooks; whatever it raises is its row's reason, not everybody's end."""
    distribution = point.dist.name if point.dist else "?"
    provider = Provider(point.name, distribution, point.dist.version if point.dist else "?", "loaded")
    if {plain(name) for name in blocked} & {plain(point.name), plain(distribution)}:
        return replace(provider, state="blocked", reason="named in FEATLAB_BLOCK"), []
    try:
        plugin = point.load()
        manager.register(plugin, name=f"{distribution}:{point.name}")
        return provider, [offer for kind in KINDS for offer in _offers(manager, plugin, kind, provider)]
    except Exception as error:  # A plugin may raise anything while it is imported or asked.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        warnings.warn(f"plugin {provider} could not be loaded and is left out: {reason}", stacklevel=3)
        manager.unregister(name=f"{distribution}:{point.name}")
        return replace(provider, state="failed", reason=reason), []


def _offers(manager: pluggy.PluginManager, plugin: object, kind: str, provider: Provider) -> list[Offer]:
    """Return what one hook of a plugin yields."""
    hook = getattr(plugin, f"featlab_{kind}", None)
    if hook is None:
        return []
    if manager.parse_hookimpl_opts(plugin, f"featlab_{kind}") is None:
        raise ValueError(f"featlab_{kind} is not marked with @featlab.hookimpl")
    entries = list(hook())
    for entry in entries:
        if not isinstance(entry, Entry):
            raise ValueError(f"featlab_{kind} must yield featlab.Entry; got {entry!r}")
    return [Offer(kind, entry, provider) for entry in entries]


def _refuse_misspelt(manager: pluggy.PluginManager, providers: Iterable[Provider]) -> None:
    """Refuse a hook that there is not: it would be ignored in silence."""
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        key = manager.get_name(error.plugin)
        provider = next(each for each in providers if f"{each.distribution}:{each.name}" == key)
        marked = (name for name in dir(error.plugin) if manager.parse_hookimpl_opts(error.plugin, name) is not None)
        misspelt = next(name for name in marked if name not in HOOKS)
        way = f"; mend it, or leave the plugin out with FEATLAB_BLOCK={provider.name}"
        try:
            lookup(f"a hook of plugin {provider}", misspelt, dict.fromkeys(HOOKS))
        except ValueError as refusal:
            raise ValueError(f"{refusal}{way}") from error


@dataclass(frozen=True)
class ThreatModels:
    """Make threat models by name; see `__call__`."""

    def __call__(self, spec: str, /, **options: object) -> ThreatModel:
        """Return a threat model: `threat_model("l2", eps=0.5)`, or as text, `threat_model("l2:eps=1/2")`.

        Options are those of the plugin's class; text is read by their annotations, fractions such as 8/255 as numbers.
        """
        made: ThreatModel = make("threat_models", spec, options=options)
        return made


@dataclass(frozen=True)
class Extractors:
    """Make extractors by name or by the address of a layer; see `__call__`."""

    def __call__(self, model: Callable[..., Any], spec: str = "penultimate", /, **options: object) -> FeatureExtractor:
        """Return an extractor by name, or, where no plugin has the name, the layer or unit that it addresses.

        `extractor(model, "penultimate")`, `extractor(model, "layer4.1:768")`, and with the options of a plugin
        `extractor(model, "bands:low=3")` or `extractor(model, "bands", low=3)`.
        """
        name, _, rest = spec.partition(":")
        named = name in registry().names("extractors") and (not rest or "=" in rest)
        given, entry = ((model,), spec) if named else ((model, spec), "layer")
        made: FeatureExtractor = make("extractors", entry, given=given, options=options)
        return made


threat_model: Final = ThreatModels()
extractor: Final = Extractors()


def task(name: str) -> Callable[..., Any]:
    """Return a task by name: a function with its own signature, which returns a Problem."""
    return registry().resolve("tasks", name)


def inner_makers() -> dict[type, Callable[[str], Any]]:
    """Return what reads an option whose value has a spec of its own: a threat model inside another."""
    from featlab.threat_models import ThreatModel

    return {ThreatModel: threat_model}


def make(kind: str, spec: str, *, given: Sequence[object] = (), options: Mapping[str, object] | None = None) -> Any:
    """Return what the entry of a spec such as "l2:eps=1/2" makes of its first arguments and its options.

    Unknown, missing and unreadable options are a ValueError; `options` go before those of the text.
    """
    name, text = parse(spec)
    maker = registry().resolve(kind, name)
    what = f"{NOUNS[kind]} {name!r}"
    known = options_of(maker, after=len(given))
    for key in (*text, *(options or {})):
        if not known:
            raise ValueError(f"{what} takes no options; got {key!r}")
        lookup(f"an option of {what}", key, known)
    chosen = {**read_options(maker, text, what=what, makers=inner_makers() if text else {}), **(options or {})}
    needed = [key for key, option in known.items() if option.default is option.empty and key not in chosen]
    if needed:
        raise ValueError(f"{what} needs {', '.join(needed)}; write for example {name}:{needed[0]}=...")
    return maker(*given, **chosen)
