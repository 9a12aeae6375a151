"""Recipes: named sets of arguments, as TOML files, checked against the signature of what they feed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from featlab.names import lookup

Record = TypeVar("Record")

FOLDER = Path(__file__).parent


def names(kind: str) -> list[str]:
    """Return the shipped recipes of one kind (a folder of TOML files)."""
    return sorted(path.stem for path in (FOLDER / kind).glob("*.toml"))


def read(kind: str, name: str, cls: type[Record]) -> Record:
    """Return a shipped recipe by name, or one of the user's by its path ending in .toml, as a record."""
    known = {each: FOLDER / kind / f"{each}.toml" for each in names(kind)}
    path = Path(name) if name.endswith(".toml") else lookup("recipe", name, known)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    return record(cls, table, where=path.name)


def record(cls: type[Record], table: Mapping[str, Any], *, where: str) -> Record:
    """Return a dataclass made from a table: every key must be a field, every value of the field's type."""
    assert is_dataclass(cls)
    hints = get_type_hints(cls)
    known = {field.name: field for field in fields(cls)}
    for key in table:
        lookup(f"a key of {where}", key, known)
    missing = [
        name
        for name, field in known.items()
        if name not in table and field.default is MISSING and field.default_factory is MISSING
    ]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}")
    values = {key: _value(value, hints[key], where=f"{where}: {key}") for key, value in table.items()}
    return cls(**values)


def _value(value: Any, hint: Any, *, where: str) -> Any:
    """Return a TOML value as what the annotation says; whole numbers serve as floats."""
    if isinstance(hint, type) and is_dataclass(hint):
        if not isinstance(value, dict):
            raise ValueError(f"{where} must be a table, got {value!r}")
        return record(hint, value, where=where)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where} must be a list, got {value!r}")
        return tuple(_value(each, get_args(hint)[0], where=where) for each in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and not (isinstance(value, hint) and not (hint is int and isinstance(value, bool))):
        raise ValueError(f"{where} must be of type {hint.__name__}, got {value!r}")
    return value
