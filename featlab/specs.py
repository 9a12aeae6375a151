"""Specs: things and their options as text, such as "l2:eps=1/2", read by the signature of what makes them.

Nothing is evaluated: each annotation has its own way to read text.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, cast

from featlab.names import lookup

Makers = Mapping[type, Callable[[str], Any]]
"""What makes values whose text is a spec itself, by their class."""


def parse(spec: str) -> tuple[str, dict[str, str]]:
    """Split "l2:eps=1/2,low=0" into the name and its options as text; what stands in [brackets] is one piece."""
    name, _, rest = spec.partition(":")
    options: dict[str, str] = {}
    for part in filter(None, pieces(rest, r",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (equals and key):
            raise ValueError(f"options are written name=value, separated by commas; got {part!r} in {spec!r}")
        if key in options:
            raise ValueError(f"option {key!r} is given twice in {spec!r}")
        options[key] = value
    return name.strip(), options


def pieces(text: str, separator: str) -> list[str]:
    """Split text wherever the pattern `separator` matches outside of [brackets], which must close."""
    found, depth, begin = [], 0, 0
    for match in re.finditer(rf"[\[\]]|{separator}", text):
        depth += {"[": 1, "]": -1}.get(match[0], 0)
        if depth < 0:
            break
        if depth == 0 and match[0] not in "[]":
            found.append(text[begin : match.start()])
            begin = match.end()
    if depth:
        raise ValueError(f"every [ must have its ] and every ] its [; got {text!r}")
    return [*found, text[begin:]]


def options_of(maker: Callable[..., Any], *, after: int = 0) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a signature that can be given by name, without the first few, which are given."""
    named = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    parameters = list(inspect.signature(maker).parameters.items())[after:]
    return {key: each for key, each in parameters if each.kind in named}


def hints_of(maker: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a signature; NameError where one names what is not there.

    Those of a dataclass's fields are read where each field stands, which may be another module than the class's.
    """
    if not isinstance(maker, type):
        return typing.get_type_hints(maker)
    fields = typing.get_type_hints(maker) if dataclasses.is_dataclass(maker) else {}
    return fields if options_of(maker).keys() <= fields.keys() else typing.get_type_hints(cast(Any, maker).__init__)


def read_options(
    maker: Callable[..., Any], text: Mapping[str, str], *, what: str, makers: Makers = MappingProxyType({})
) -> dict[str, Any]:
    """Return options given as text as values of their annotations; `makers` read what is itself made by a spec."""
    if not text:
        return {}
    try:
        hints = hints_of(maker)
    except NameError as error:
        raise ValueError(
            f"the options of {what} cannot be given as text, as an annotation is missing: {error}"
        ) from error
    return {
        key: read_value(value, hints.get(key, str), what=f"{key} of {what}", makers=makers)
        for key, value in text.items()
    }


def read_value(text: str, hint: Any, *, what: str, makers: Makers = MappingProxyType({})) -> Any:
    """Return text as a value of an annotation; for a union, of the first member that can read it."""
    origin, members = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        if type(None) in members and text.lower() == "none":
            return None
        known = {*READERS, *makers}
        readable = [each for each in members if each in known or typing.get_origin(each) in {Literal, tuple}]
        return read_value(text, readable[0] if readable else members[0], what=what, makers=makers)
    if makers.keys() & {hint, *members}:
        return _read_made(text, hint, makers=makers)
    if origin is Literal:
        return lookup(what, text, {str(value): value for value in members})
    if origin is tuple:
        return _read_tuple(text, members, what=what)
    return _read_one(text, hint, what=what)


def _read_one(text: str, hint: Any, *, what: str) -> Any:
    """Read a value that has no parts."""
    if hint not in READERS:
        raise ValueError(f"{what} cannot be given as text; make it in Python")
    reader, noun = READERS[hint]
    try:
        return reader(text)
    except (ValueError, KeyError, ZeroDivisionError) as error:
        raise ValueError(f"{what} must be {noun}; got {text!r}") from error


def _read_made(text: str, hint: Any, *, makers: Makers) -> Any:
    """Read a spec, which may stand in brackets; for a sequence, specs with '+' between them."""
    members = typing.get_args(hint)
    if members:
        return tuple(_read_made(each, members[0], makers=makers) for each in pieces(text, r"\+(?=[A-Za-z\[])"))
    return makers[hint](text[1:-1] if text.startswith("[") and text.endswith("]") else text)


def _read_tuple(text: str, members: tuple[Any, ...], *, what: str) -> tuple[Any, ...]:
    """Read values with colons between them: -30:30 for (-30.0, 30.0)."""
    parts = text.split(":")
    hints = members[:1] * len(parts) if members[1:] == (Ellipsis,) else members
    if len(parts) != len(hints):
        raise ValueError(f"{what} must be {len(hints)} values with ':' between them; got {text!r}")
    return tuple(read_value(part, hint, what=what) for part, hint in zip(parts, hints, strict=True))


def _number(text: str) -> float:
    numerator, slash, denominator = text.partition("/")
    return float(numerator) / float(denominator) if slash else float(text)


def _truth(text: str) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]


READERS: Final[Mapping[Any, tuple[Callable[[str], Any], str]]] = {
    float: (_number, "a number such as 0.5 or 8/255"),
    int: (int, "a whole number"),
    bool: (_truth, "true or false"),
    str: (str, "text"),
    Path: (Path, "a path"),
}
"""How an annotation reads text, and what it asks for."""
