"""Steps that take turns: threads that run one model do so one step at a time each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")


def locked(lock: threading.Lock, items: Iterator[Item]) -> Iterator[Item]:
    """Yield items, each made while the lock is held; the hooks of two passes through one model must not mix."""
    while True:
        with lock:
            try:
                item = next(items)
            except StopIteration:
                return
        yield item
