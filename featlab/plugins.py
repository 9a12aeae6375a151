"""Plugins: hooks that yield records, found through the entry-point group `featlab` and imported when they are used."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
import os
import types
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import pluggy

from featlab.names import lookup

if TYPE_CHECKING:
    from featlab.threat_models import ThreatModel
    from featlab.types import FeatureExtractor

GROUP: Final = "featlab"
KINDS: Final = ("threat_models", "extractors", "tasks", "datasets")
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
        """Yield threat models; `make(**options)` returns a featlab.ThreatModel."""
        raise NotImplementedError

    @hookspec
    def featlab_extractors(self) -> Iterable[Entry]:
        """Yield extractors; `make(model, **options)` returns a callable from images to (batch, features)."""
        raise NotImplementedError

    @hookspec
    def featlab_tasks(self) -> Iterable[Entry]:
        """Yield tasks; `make` is the task itself, a function that returns a featlab.Problem."""
        raise NotImplementedError

    @hookspec
    def featlab_datasets(self) -> Iterable[Entry]:
        """Yield data sets; `make(train=..., root=...)` returns a featlab.Dataset."""
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
    """Everything that the installed plugins provide."""

    providers: tuple[Provider, ...]
    offers: tuple[Offer, ...]

    def names(self, kind: str) -> list[str]:
        """Return the names of one kind."""
        return sorted({offer.entry.name for offer in self.offers if offer.kind == kind})

    def find(self, kind: str, name: str) -> Offer:
        """Return the one entry of this name; none or several are an error that says what to do."""
        found = [offer for offer in self.offers if offer.kind == kind and offer.entry.name == name]
        if len(found) > 1:
            first, second, *_ = (str(offer.provider) for offer in found)
            raise ValueError(
                f"{_noun(kind)} {name!r} is provided by both {first} and {second}; block one, for example with "
                f"FEATLAB_BLOCK={found[1].provider.name}"
            )
        return found[0] if found else lookup(_noun(kind), name, dict.fromkeys(self.names(kind), _never()))

    def resolve(self, kind: str, name: str) -> Callable[..., Any]:
        """Return what makes the entry of this name; a failing import names the plugin."""
        offer = self.find(kind, name)
        try:
            return offer.entry.resolve()
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"{_noun(kind)} {name!r} of plugin {offer.provider} cannot be imported from "
                f"{offer.entry.make!r}: {error}"
            ) from error


def _never() -> Offer:
    """A value for `lookup`, which is asked only for names that are not there."""
    return Offer("", Entry("", "", ""), Provider("", "", "", "failed"))


def _noun(kind: str) -> str:
    return {"threat_models": "threat model", "datasets": "data set"}.get(kind, kind.removesuffix("s"))


@functools.cache
def registry() -> Registry:
    """Return what the installed plugins provide. Reads FEATLAB_BLOCK: names of providers, distributions or entries."""
    blocked = {name.strip() for name in os.environ.get("FEATLAB_BLOCK", "").split(",") if name.strip()}
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    points = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    providers = [_load(manager, point, blocked) for point in points]
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        known = ", ".join(f"featlab_{kind}" for kind in KINDS)
        raise ValueError(f"a plugin implements a hook that there is not; the hooks are {known}: {error}") from error
    offers = tuple(_offers(manager, providers, blocked))
    return Registry(tuple(providers), offers)


def _load(manager: pluggy.PluginManager, point: importlib.metadata.EntryPoint, blocked: set[str]) -> Provider:
    """Import one entry point and register it; whatever it raises is its row's reason, not everybody's end."""
    distribution = point.dist.name if point.dist else "?"
    about = (point.name, distribution, point.dist.version if point.dist else "?")
    if blocked & {point.name, distribution}:
        return Provider(*about, "blocked", "named in FEATLAB_BLOCK")
    try:
        manager.register(point.load(), name=f"{distribution}:{point.name}")
    except Exception as error:  # A plugin may raise anything while it is imported.
        provider = Provider(*about, "failed", f"{type(error).__name__}: {error}")
        warnings.warn(f"plugin {provider} could not be loaded and is left out: {provider.reason}", stacklevel=4)
        return provider
    return Provider(*about, "loaded")


def _offers(manager: pluggy.PluginManager, providers: Iterable[Provider], blocked: set[str]) -> Iterator[Offer]:
    """Yield every entry that is not blocked, with its provider."""
    for provider in providers:
        plugin = manager.get_plugin(f"{provider.distribution}:{provider.name}")
        if plugin is None or provider.state != "loaded":
            continue
        for kind in KINDS:
            hook = getattr(plugin, f"featlab_{kind}", None)
            for entry in hook() if hook is not None else ():
                if not isinstance(entry, Entry):
                    raise ValueError(f"featlab_{kind} of plugin {provider} must yield featlab.Entry; got {entry!r}")
                if entry.name not in blocked:
                    yield Offer(kind, entry, provider)


@dataclass(frozen=True)
class ThreatModels:
    """Make threat models by name; see `__call__`."""

    def __call__(self, spec: str, /, **options: object) -> ThreatModel:
        """Return a threat model: `threat_model("l2", eps=0.5)`, or as text, `threat_model("l2:eps=1/2")`.

        Options are those of the plugin's class; text is read by their annotations, fractions such as 8/255 as numbers.
        """
        name, text = parse(spec)
        make = registry().resolve("threat_models", name)
        made: ThreatModel = call(
            make, {**read_options(make, text, what=spec), **options}, what=f"threat model {name!r}"
        )
        return made


threat_model: Final = ThreatModels()


def extractor(model: Callable[..., Any], spec: str = "penultimate") -> FeatureExtractor:
    """Return an extractor by name, or, where no plugin has the name, the layer or unit that it addresses.

    `extractor(model, "penultimate")`, `extractor(model, "layer4.1:768")`.
    """
    if spec in registry().names("extractors"):
        made: FeatureExtractor = registry().resolve("extractors", spec)(model)
        return made
    layer: FeatureExtractor = registry().resolve("extractors", "layer")(model, spec)
    return layer


def task(name: str) -> Callable[..., Any]:
    """Return a task by name: a function with its own signature, which returns a Problem."""
    return registry().resolve("tasks", name)


def parse(spec: str) -> tuple[str, dict[str, str]]:
    """Split "l2:eps=1/2,low=0" into the name and its options as text."""
    name, _, rest = spec.partition(":")
    options = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"options are written name=value, separated by commas; got {part!r} in {spec!r}")
        options[key.strip()] = value.strip()
    return name.strip(), options


def options_of(make: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the options of a plugin's entry: the parameters of its signature."""
    return inspect.signature(make).parameters


def read_options(make: Callable[..., Any], text: Mapping[str, str], *, what: str) -> dict[str, Any]:
    """Return options given as text as values of their annotations."""
    known = options_of(make)
    hints = typing.get_type_hints(cast(Any, make).__init__ if isinstance(make, type) else make)
    for key in text:
        lookup(f"an option of {what}", key, known)
    return {key: read_value(value, hints.get(key, str), what=f"{what}: {key}") for key, value in text.items()}


def call(make: Callable[..., Any], options: Mapping[str, Any], *, what: str) -> Any:
    """Call a plugin's `make`; unknown and missing options are one sentence."""
    known = options_of(make)
    for key in options:
        lookup(f"an option of {what}", key, known)
    needed = [key for key, option in known.items() if option.default is option.empty and key not in options]
    if needed:
        raise ValueError(
            f"{what} needs {', '.join(needed)}; write for example {what.rsplit(maxsplit=1)[-1][1:-1]}:{needed[0]}=..."
        )
    return make(**options)


def read_value(text: str, hint: Any, *, what: str) -> Any:
    """Return text as a value of an annotation; for a union, of the first member that can read it."""
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        members = typing.get_args(hint)
        if type(None) in members and text.lower() == "none":
            return None
        readable = [member for member in members if member in READERS or typing.get_origin(member) is Literal]
        return read_value(text, readable[0] if readable else members[0], what=what)
    if typing.get_origin(hint) is Literal:
        return lookup(what, text, {str(value): value for value in typing.get_args(hint)})
    if hint not in READERS:
        raise ValueError(f"{what} cannot be given as text; make it in Python")
    try:
        return READERS[hint](text)
    except (ValueError, KeyError, ZeroDivisionError) as error:
        raise ValueError(f"{what} must be a {hint.__name__}; got {text!r}") from error


def _number(text: str) -> float:
    numerator, slash, denominator = text.partition("/")
    return float(numerator) / float(denominator) if slash else float(text)


def _truth(text: str) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]


READERS: Final[Mapping[Any, Callable[[str], Any]]] = {
    float: _number,
    int: int,
    bool: _truth,
    str: str,
    Path: Path,
}
"""How an annotation reads text."""
