"""Findings as files: dataclasses become JSON values and named tensors, and come back as what they were."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from featlab.files import read_tensors, write_tensors

Finding = TypeVar("Finding")


def save(path: Path, finding: object, *, terms: str, seconds: float) -> None:
    """Write a finding whole or not at all, with what it is a function of and how long it took."""
    tensors: dict[str, Tensor] = {}
    values = packed(finding, tensors)
    write_tensors(path, tensors, {"values": json.dumps(values, allow_nan=False), "terms": terms, "s": repr(seconds)})


def load(path: Path, kind: type[Finding], *, terms: str) -> tuple[Finding, float] | None:
    """Return the finding in a file and the seconds it took; None where there is none made under the same terms."""
    if not path.exists():
        return None
    tensors, facts = read_tensors(path)
    if facts.get("terms") != terms:
        return None
    found: Finding = unpacked(kind, json.loads(facts["values"]), tensors)
    return found, float(facts["s"])


def record(finding: object) -> Any:
    """Return a finding as plain JSON values, without its images; what is no number is None."""
    return packed(finding, None)


def packed(value: Any, tensors: dict[str, Tensor] | None, path: str = "x") -> Any:
    """Return a value as JSON, its tensors put into `tensors` by name, or left out where that is None."""
    if isinstance(value, Tensor):
        if tensors is not None:
            tensors[path] = value
        return path
    if is_dataclass(value) and not isinstance(value, type):
        named = {each.name: getattr(value, each.name) for each in fields(value)}
        return packed(named, tensors, path)
    if isinstance(value, Mapping):
        kept = {key: each for key, each in value.items() if tensors is not None or not isinstance(each, Tensor)}
        return {str(key): packed(each, tensors, f"{path}.{key}") for key, each in kept.items()}
    if isinstance(value, tuple | list):
        return [packed(each, tensors, f"{path}.{number}") for number, each in enumerate(value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def unpacked(kind: Any, value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the value of a declared type that JSON and tensors stand for."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Tensor:
        return tensors[value]
    if origin in (Union, types.UnionType):
        inner = next(each for each in arguments if each is not type(None))
        return None if value is None else unpacked(inner, value, tensors)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: unpacked(hints[name], each, tensors) for name, each in value.items()})  # type: ignore[operator]
    if origin is tuple:
        inner = arguments if arguments[-1] is not Ellipsis else arguments[:1] * len(value)
        return tuple(unpacked(each, item, tensors) for each, item in zip(inner, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: unpacked(arguments[1], each, tensors) for key, each in value.items()}
    return math.nan if kind is float and value is None else value
