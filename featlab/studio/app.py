"""The application: routes behind the guard."""

from __future__ import annotations

from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from featlab.painting import FormatError
from featlab.studio.api import Api, refusal
from featlab.studio.catalog import Catalog
from featlab.studio.jobs import TooManyError
from featlab.studio.security import Guard


def application(catalog: Catalog, *, port: int, token: str) -> Guard:
    """Return the studio as an ASGI application, for a server at 127.0.0.1:port and whoever knows the token."""
    api = Api.of(catalog)
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
    handlers = {
        HTTPException: refusal(400),
        TooManyError: refusal(429),
        FormatError: refusal(415),
        ValueError: refusal(422),
    }
    return Guard(Starlette(routes=routes, exception_handlers=handlers), port, token)
