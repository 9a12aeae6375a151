"""What has been made is remembered, up to so much: what was not asked for longest is forgotten first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Memory(Generic[Value]):
    """Values by key, whose sizes sum up to at most `most`; may be used by several threads."""

    def __init__(self, most: int, size: Callable[[Value], int] = lambda _: 1) -> None:
        self._most, self._size = most, size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()
        self.held = 0

    def get(self, key: Hashable) -> Value | None:
        """Return a value that is still remembered."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def keep(self, key: Hashable, value: Value) -> None:
        """Remember a value, and forget older ones where there is no room."""
        with self._lock:
            if key in self._values:
                self.held -= self._size(self._values.pop(key))
            self._values[key] = value
            self.held += self._size(value)
            while self.held > self._most:
                self.held -= self._size(self._values.popitem(last=False)[1])
