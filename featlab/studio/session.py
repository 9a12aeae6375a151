"""A page's socket: orders come up, frames go down, and when it closes its job ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from featlab.studio.canvases import Canvases
from featlab.studio.catalog import Catalog
from featlab.studio.frames import Sent
from featlab.studio.jobs import Job, Jobs
from featlab.studio.mailbox import Mailbox
from featlab.studio.messages import Ack, Message, Order, Stop

PATIENCE: Final = 10.0
"""So many seconds a new run waits for the step that the one before it is making."""


class Session:
    """One connection: at most one job, and what is sent of it."""

    def __init__(self, socket: WebSocket, catalog: Catalog, canvases: Canvases, jobs: Jobs) -> None:
        self._socket, self._catalog, self._canvases, self._jobs = socket, catalog, canvases, jobs
        self._job: Job | None = None
        self._sending: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Answer until the page is gone."""
        await self._socket.accept()
        try:
            while True:
                await self._receive()
        except WebSocketDisconnect:
            return
        finally:
            if self._job is not None:
                self._job.drop()
            if self._sending is not None:
                self._sending.cancel()

    async def _receive(self) -> None:
        """Wait for a message and do what it says; what cannot be done is answered with one sentence."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        read: Message | None = None
        try:
            read = Message.parse(self._text(message))
            await self._obey(read.read(self._catalog))
        except ValueError as error:
            job = read.job if read is not None and read.orders else None
            await self._say({"type": "error", "job": job, "model": None, "message": " ".join(str(error).split())})

    def _text(self, message: MutableMapping[str, Any]) -> str:
        """Return the text of a message; whatever server carries it, none is longer than may be."""
        text, most = message.get("text"), self._catalog.limits.message_bytes
        if not isinstance(text, str):
            raise ValueError("a message must be JSON text; got bytes")
        if len(text) > most:
            raise ValueError(f"a message must have at most {most / 1e6:g} MB; got {len(text) / 1e6:.1f} MB")
        return text

    async def _obey(self, said: Order | Stop | Ack) -> None:
        if isinstance(said, Order):
            await self._begin(said)
        elif self._job is None or self._job.order.job != said.job:
            return  # A word on a job that is over, which was on its way when it ended.
        elif isinstance(said, Stop):
            self._job.stop()
        else:
            self._job.mailbox.acknowledged(said.model, said.number)

    async def _begin(self, order: Order) -> None:
        """Start a job in the place of the one before, which sends nothing any more."""
        if self._job is not None:
            self._job.drop()
            await asyncio.to_thread(self._job.join, PATIENCE)
            self._job = None
        if self._sending is not None:
            await self._sending
            self._sending = None
        mailbox = Mailbox((hosted.name for hosted in order.models), asyncio.get_running_loop())
        job = Job(order, mailbox, self._canvases, self._jobs, self._catalog.limits)
        job.start()
        self._job = job
        self._sending = asyncio.create_task(self._send(mailbox))

    async def _send(self, mailbox: Mailbox) -> None:
        """Send what a mailbox holds until it is closed: a header and its picture belong together."""
        try:
            while (found := await mailbox.next()) is not None:
                if isinstance(found, Sent):
                    await self._say(found.header)
                    await self._socket.send_bytes(found.picture)
                else:
                    await self._say(found)
        except (WebSocketDisconnect, RuntimeError, OSError):
            mailbox.close()  # The page is gone; whoever receives from it finds out and ends the job.

    async def _say(self, word: object) -> None:
        await self._socket.send_text(json.dumps(word, allow_nan=False))
