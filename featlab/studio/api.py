"""The endpoints: what there is, samples and pictures, uploads, and paintings painted again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import anyio.to_thread
import torch
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from featlab.painting import Painting, picture_of
from featlab.report.pictures import to_png
from featlab.studio.bodies import body_of
from featlab.studio.canvases import Canvases, Stopped
from featlab.studio.catalog import Catalog, Hosted, sample_rows, unit_rows
from featlab.studio.jobs import Jobs
from featlab.studio.session import Session
from featlab.studio.units import UnitPictures


@dataclass(eq=False)
class Api:
    """Everything that the page asks of the server."""

    catalog: Catalog
    jobs: Jobs
    canvases: Canvases
    units: UnitPictures
    closing: threading.Event
    connections: int = 0
    _uploading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    @classmethod
    def of(cls, catalog: Catalog) -> Api:
        """Return the endpoints of a catalog."""
        limits, jobs, closing = catalog.limits, Jobs(catalog.limits), threading.Event()
        units = UnitPictures(limits.pictures, jobs=jobs, closing=closing)
        return cls(catalog, jobs, Canvases(limits), units, closing)

    def page(self, request: Request) -> Response:
        """Return the page."""
        del request
        text = files("featlab.studio").joinpath("static", "index.html").read_text(encoding="utf-8")
        return Response(text, media_type="text/html")

    def state(self, request: Request) -> Response:
        """Return what there is: models, threat models, tasks with their forms, limits."""
        del request
        return JSONResponse(self.catalog.record)

    def running(self, request: Request) -> Response:
        """Return how many jobs run."""
        del request
        return JSONResponse({"running": self.jobs.running})

    def samples(self, request: Request) -> Response:
        """Return some of a model's samples."""
        return JSONResponse(sample_rows(self._hosted(request), **self._window(request)))

    def sample(self, request: Request) -> Response:
        """Return the picture of a sample."""
        hosted = self._hosted(request)
        data, index = hosted.samples, whole(request, "index", 0, 2**31)
        if data is None or index >= len(data):
            raise HTTPException(404, f"{hosted.name} has {0 if data is None else len(data)} samples; got index {index}")
        return png(to_png(data.images(torch.tensor([index]))))

    def layer(self, request: Request) -> Response:
        """Return some of a layer's units."""
        return JSONResponse(unit_rows(self._hosted(request), asked(request, "layer"), **self._window(request)))

    def unit(self, request: Request) -> Response:
        """Return the picture of a unit."""
        return png(self.units.png(self._hosted(request), asked(request, "unit")))

    async def upload(self, request: Request) -> Response:
        """Return an uploaded picture at the shape of a model, as a painting's image."""
        hosted = self._hosted(request)
        body = await body_of(request, most=self.catalog.limits.upload_bytes)
        async with self._uploading:  # One at a time: a picture of many pixels takes much memory.
            picture = await anyio.to_thread.run_sync(picture_of, body, hosted.model.shape)
        return JSONResponse({"image": picture.json()}, status_code=201)

    async def painted(self, request: Request) -> Response:
        """Return a painting, painted again, as a PNG."""
        scale = whole(request, "scale", 1, 32, default=1)
        body = await body_of(request, most=self.catalog.limits.message_bytes)
        return png(await anyio.to_thread.run_sync(self._paint, body, scale))

    def _paint(self, body: bytes, scale: int) -> bytes:
        painting = Painting.parse(body)
        self.catalog.admit(painting)
        hosted, until = self.catalog.find(painting.model), time.monotonic() + self.catalog.limits.seconds

        def over() -> bool:
            return self.closing.is_set() or time.monotonic() > until

        with self.jobs.place():
            try:
                image = self.canvases.image(painting, hosted, stopped=over)
            except Stopped:
                raise ValueError(f"painting it again takes longer than {self.catalog.limits.seconds:g} s") from None
        return to_png(image, zoom=scale)

    async def socket(self, socket: WebSocket) -> None:
        """Serve a page's socket until it closes."""
        if self.connections >= self.catalog.limits.connections:
            await socket.close(1013, f"at most {self.catalog.limits.connections} pages may be open at once")
            return
        self.connections += 1
        try:
            await Session(socket, self.catalog, self.canvases, self.jobs).run()
        finally:
            self.connections -= 1

    def _hosted(self, request: Request) -> Hosted:
        return self.catalog.find(asked(request, "model"))

    def _window(self, request: Request) -> dict[str, int]:
        most = self.catalog.limits.page
        return {
            "offset": whole(request, "offset", 0, 2**31, default=0),
            "count": whole(request, "count", 1, most, default=min(60, most)),
        }


def asked(request: Request, name: str) -> str:
    """Return a parameter of the address; status 400 where it is missing."""
    value = request.query_params.get(name)
    if value is None:
        raise HTTPException(400, f"{request.url.path} needs ?{name}=")
    return value


def whole(request: Request, name: str, low: int, high: int, *, default: int | None = None) -> int:
    """Return a parameter of the address that is a whole number in [low, high]; status 400 for anything else."""
    text = asked(request, name) if default is None else request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and low <= int(text) <= high):
        raise HTTPException(400, f"{name} must be a whole number from {low} to {high}; got {text[:40]!r}")
    return int(text)


def png(file: bytes) -> Response:
    """Return a PNG file as an answer."""
    return Response(file, media_type="image/png")


Refusal = Callable[[Request, Exception], Response]


def refusal(status: int) -> Refusal:
    """Return what answers an exception with its sentence."""

    def answer(request: Request, error: Exception) -> Response:
        del request
        detail: Any = error.detail if isinstance(error, HTTPException) else str(error)
        code = error.status_code if isinstance(error, HTTPException) else status
        return JSONResponse({"error": " ".join(str(detail).split())}, status_code=code)

    return answer
