"""The application: routes behind the guard."""

from __future__ import annotations

from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from featlab.painting import FormatError
from featlab.studio.api import Api, refusal
from featlab.studio.jobs import TooManyError
from featlab.studio.security import Guard


def application(api: Api, *, port: int, token: str) -> Guard:
    """Return the studio as an ASGI application, for a server at 127.0.0.1:port and whoever knows the token."""
    static = StaticFiles(directory=str(files("featlab.studio").joinpath("static")))
    routes = [
        Route("/", api.page),
        Mount("/static", static),
        Route("/api/state", api.state),
        Route("/api/jobs", api.running),
        Route("/api/samples", api.samples),
        Route("/api/sample.png", api.sample),
        Route("/api/units", api.layer),
        Route("/api/unit.png", api.unit),
        Route("/api/uploads", api.upload, methods=["POST"]),
        Route("/api/paintings/png", api.painted, methods=["POST"]),
        WebSocketRoute("/ws", api.socket),
    ]
    statuses = {HTTPException: 400, FormatError: 415, TooManyError: 429, ValueError: 422}
    handlers = {kind: refusal(status) for kind, status in statuses.items()}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), port, token)
