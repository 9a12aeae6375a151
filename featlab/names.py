"""Look things up by name, with an error that helps."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")


def lookup(what: str, name: str, known: Mapping[str, Value]) -> Value:
    """Return `known[name]`; an unknown name is refused with the names that there are, and the nearest one."""
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{what} must be one of {', '.join(sorted(known))}; got {name!r}{hint}")
