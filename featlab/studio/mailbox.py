"""Between the thread of a job and the socket: one place per model, where the newest frame is put over an older one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from featlab.studio.frames import Sent


class Mailbox:
    """Hand frames from a thread to the event loop, at most one unacknowledged frame per model.

    A word stands behind the last frame of its model; a failure goes before everything, and ends it.
    """

    def __init__(self, models: Iterable[str], loop: asyncio.AbstractEventLoop) -> None:
        self._frames: dict[str, Sent | None] = dict.fromkeys(models)
        self._words: dict[str, Mapping[str, Any] | None] = dict.fromkeys(self._frames)
        self._waiting: dict[str, int | None] = dict.fromkeys(self._frames)
        self._failure: Mapping[str, Any] | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._loop, self._news = loop, asyncio.Event()

    def wants(self, model: str) -> bool:
        """Say whether a frame put now would be sent at once; making others would be in vain."""
        return self._waiting[model] is None

    def put(self, model: str, frame: Sent) -> None:
        """Put a frame in its model's place, over one that was not sent yet."""
        with self._lock:
            self._frames[model] = frame
        self._tell()

    def finish(self, model: str, frame: Sent, word: Mapping[str, Any]) -> None:
        """Put the last frame of a model, and what is said after it."""
        with self._lock:
            self._frames[model], self._words[model] = frame, word
        self._tell()

    def fail(self, word: Mapping[str, Any]) -> None:
        """Say why there will be nothing more; frames that were not sent yet are left out."""
        with self._lock:
            self._frames, self._words = dict.fromkeys(self._frames), dict.fromkeys(self._words)
            self._failure = word
        self._tell()

    def acknowledged(self, model: str, number: int) -> None:
        """Note that a frame was drawn; an older number than the one that was sent says nothing."""
        with self._lock:
            waiting = self._waiting.get(model)
            if waiting is not None and number >= waiting:
                self._waiting[model] = None
        self._tell()

    def close(self) -> None:
        """Let nothing more through."""
        with self._lock:
            self._closed = True
        self._tell()

    async def next(self) -> Sent | Mapping[str, Any] | None:
        """Return what is to be sent next, a frame or a word; None once the mailbox is closed."""
        while True:
            self._news.clear()
            with self._lock:
                if self._closed:
                    return None
                found = self._ready()
            if found is not None:
                return found
            await self._news.wait()

    def _ready(self) -> Sent | Mapping[str, Any] | None:
        """Take what may be sent now."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            return failure
        for model, frame in self._frames.items():
            if frame is not None and self._waiting[model] is None:
                self._frames[model], self._waiting[model] = None, frame.header["number"]
                return frame
            if frame is None and self._words[model] is not None:
                word, self._words[model] = self._words[model], None
                return word
        return None

    def _tell(self) -> None:
        """Wake the event loop, if it still runs."""
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # The server was stopped before the thread of the job was.
            return
