"""Forms: what a task, or anything else that is made from options, asks for; flags and pages are built from it."""

from __future__ import annotations

import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from featlab.plugins import inner_makers
from featlab.specs import READERS, hints_of, options_of, read_options
from featlab.threat_models import ThreatModel

Kind = Literal["number", "integer", "flag", "text", "choice", "threat_model", "pair"]

WORDS: Final = ("model", "images", "labels", "mask", "reference", "unit")
"""What a task asks for by the name of a parameter, and what whoever runs it fills in; the rest are options."""

COMMON: Final = {
    "within": "The set in which the images may move.",
    "steps": "So many steps.",
    "step_size": "How far a step goes, in the units of the set.",
    "seed": "Seed of the random numbers.",
    "layer": "The layer whose features count.",
    "loss": "The loss: cross_entropy, margin, dlr or log_ratio.",
}
"""What options mean that most tasks have; said where a docstring does not speak of them."""

PLAIN: Final[Mapping[Any, Kind]] = {bool: "flag", int: "integer", float: "number"}


@dataclass(frozen=True)
class Field:
    """One option: its name, what kind of value it takes, its default as a JSON value, and a line about it.

    A `pair` is several numbers, as a list in JSON and as text with colons between them; a `threat_model` is its text,
    such as l2:eps=1/2. `optional` says that it may be left empty (None), `required` that it has no default.
    """

    name: str
    kind: Kind
    default: object
    help: str
    choices: tuple[str, ...] = ()
    optional: bool = False
    required: bool = False

    def record(self) -> dict[str, Any]:
        """Return the field as JSON values."""
        return {**asdict(self), "choices": list(self.choices)}


def words_of(maker: Callable[..., Any]) -> dict[str, bool]:
    """Return the words of the tasks' vocabulary that a signature asks for: True where there is no doing without."""
    known = options_of(maker)
    return {word: known[word].default is inspect.Parameter.empty for word in WORDS if word in known}


def fields_of(maker: Callable[..., Any]) -> list[Field]:
    """Return the options of a task, or of any maker, that can be given as text, in the order of its signature.

    The names and defaults are those of the signature, the kinds those of its annotations, the help what the
    docstring says of the option (`help_of`). Words of the vocabulary are no options (`words_of`), and what can be
    given in Python only and has a default, such as a tensor, is left out.
    Raises ValueError, naming it, for an option without a default that cannot be given as text.
    """
    try:
        hints = hints_of(maker)
    except NameError as error:
        raise ValueError(f"the options of {_name(maker)} cannot be read: an annotation is missing, {error}") from error
    said, found = inspect.getdoc(maker) or "", []
    for name, option in options_of(maker).items():
        if name in WORDS:
            continue
        field = _field(name, option, hints.get(name, _of_default(option)), said)
        if field is not None:
            found.append(field)
        elif option.default is option.empty:
            raise ValueError(f"{name} of {_name(maker)} can be given in Python only; call it there")
    return found


def values_of(maker: Callable[..., Any], given: Mapping[str, object], *, what: str) -> dict[str, Any]:
    """Return options that a form or a command gives, as JSON values or text, as values of their annotations.

    Raises ValueError, with the name of the option, for what cannot be read as its annotation.
    """
    return read_options(maker, {name: _text(value) for name, value in given.items()}, what=what, makers=inner_makers())


def help_of(name: str, docstring: str) -> str:
    """Return what a docstring says of an option: its own line, `name: text`, else the shortest sentence with `name`.

    A formula is the last choice. Where it says nothing, options that most tasks have mean what they mean everywhere.
    """
    own = re.search(rf"^\s*(?::param )?`?{name}`?(?: \([^)]*\))?: (\S.*)$", docstring, re.MULTILINE)
    if own:
        return own[1]
    parts = re.split(r"\n\s*\n|(?<=[.:;])\s+(?=[A-Z`])", docstring)
    flat = [" ".join(part.split()).rstrip(":;") for part in parts]
    spoken = [each for each in flat if f"`{name}`" in each]
    return min(spoken, key=lambda each: (each.startswith(("argm", "(argm")), len(each)), default=COMMON.get(name, ""))


def _field(name: str, option: inspect.Parameter, hint: Any, said: str) -> Field | None:
    """Return the field of an option; None for one that cannot be given as text."""
    kept, optional = _without_none(hint)
    kind = _kind(kept)
    if kind is None:
        return None
    choices = tuple(map(str, typing.get_args(kept))) if kind == "choice" else ()
    required = option.default is option.empty
    default = None if required else _plain(option.default)
    return Field(name, kind, default, help_of(name, said), choices, optional, required)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Return the first readable member of a union with None, and whether None is one; other hints as they are."""
    if typing.get_origin(hint) not in {typing.Union, types.UnionType}:
        return hint, False
    members = [each for each in typing.get_args(hint) if each is not type(None)]
    return next((each for each in members if _kind(each)), members[0]), len(members) < len(typing.get_args(hint))


def _kind(hint: Any) -> Kind | None:
    """Return the kind of a value of an annotation; None where no text stands for one."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        return "choice"
    if origin is tuple:
        return "pair"
    if isinstance(hint, type) and issubclass(hint, ThreatModel):
        return "threat_model"
    return PLAIN.get(hint, "text") if hint in READERS else None


def _of_default(option: inspect.Parameter) -> Any:
    """Return the type of the default where there is no annotation; text is what can always be given."""
    return str if option.default in {option.empty, None} else type(option.default)


def _plain(default: object) -> object:
    """Return a default as a JSON value; infinities as text, which JSON has no numbers for."""
    if isinstance(default, float) and not math.isfinite(default):
        return str(default)
    if isinstance(default, tuple | list):
        return [_plain(each) for each in default]
    return default if default is None or isinstance(default, bool | int | float | str) else str(default)


def _text(value: object) -> str:
    """Return a JSON value as the text that stands for it."""
    return ":".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def _name(maker: Callable[..., Any]) -> str:
    return getattr(maker, "__name__", type(maker).__name__)
