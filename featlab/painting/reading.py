"""JSON from outside, read at the door: every value knows where it stands, so that a refusal is one sentence."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from featlab.names import lookup

Value = TypeVar("Value")


@dataclass(frozen=True)
class Json:
    """A piece of JSON, and what it is: `stroke 3: radius`."""

    what: str
    value: object

    @classmethod
    def parse(cls, what: str, text: str | bytes) -> Json:
        """Read text as JSON; NaN and infinities, which JSON has not, are refused too."""
        try:
            return cls(what, json.loads(text, parse_constant=_no_constant))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{what} must be JSON; {error}") from error

    def record(self, needed: Collection[str] = (), optional: Collection[str] = ()) -> dict[str, Json]:
        """Return the members of an object, which has all that are needed and no others than are known."""
        if not isinstance(self.value, Mapping):
            raise self._refusal(f"an object with {', '.join(needed)}" if needed else "an object")
        for name in self.value:
            lookup(f"a member of {self.what}", name, dict.fromkeys((*needed, *optional)))
        for name in needed:
            if name not in self.value:
                raise self._refusal(f"an object with {', '.join(needed)}", f"none with {name!r}")
        return {name: Json(f"{name} of {self.what}", value) for name, value in self.value.items()}

    def items(self, *, most: int, least: int = 0) -> list[object]:
        """Return the values of a list."""
        if not isinstance(self.value, list | tuple):
            raise self._refusal("a list")
        if not least <= len(self.value) <= most:
            raise self._refusal(f"a list of {least} to {most} values", f"{len(self.value)} values")
        return list(self.value)

    def number(self, low: float, high: float) -> float:
        """Return a finite number in [low, high]."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self._refusal(f"a number from {low:g} to {high:g}")
        return float(value)

    def whole(self, low: int, high: int) -> int:
        """Return a whole number in [low, high]."""
        value = self.value
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            value = int(value)  # 12.0 and 12 are one number in JSON.
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._refusal(f"a whole number from {low} to {high}")
        return value

    def text(self, *, most: int = 500) -> str:
        """Return a text of at most so many characters."""
        if not isinstance(self.value, str) or len(self.value) > most:
            raise self._refusal(f"a text of at most {most} characters")
        return self.value

    def choice(self, known: Mapping[str, Value]) -> Value:
        """Return what the text names."""
        return lookup(self.what, self.text(), known)

    def values(self, *, most: int) -> dict[str, object]:
        """Return an object whose members are texts, numbers, truth values, null, or short lists of them."""
        members = self.record(optional=tuple(self.value) if isinstance(self.value, Mapping) else ())
        if len(members) > most:
            raise self._refusal(f"an object of at most {most} members", f"{len(members)} members")
        return {name: member._plain() for name, member in members.items()}

    def _plain(self) -> object:
        """Return a value without members of its own."""
        if isinstance(self.value, str):
            return self.text()
        if isinstance(self.value, list):
            return [Json(f"a value of {self.what}", each)._plain() for each in self.items(most=50)]
        if self.value is not None and not isinstance(self.value, bool | int | float):
            raise self._refusal("a text, a number, true, false, null or a list of them")
        return self.value

    def _refusal(self, wanted: str, got: str | None = None) -> ValueError:
        said = json.dumps(self.value, default=str) if got is None else got
        return ValueError(f"{self.what} must be {wanted}; got {said if len(said) <= 60 else said[:60] + '...'}")


def _no_constant(name: str) -> float:
    raise ValueError(f"it has no {name}")
