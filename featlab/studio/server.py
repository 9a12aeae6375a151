"""The server: a socket of this machine alone, and uvicorn on it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import uvicorn

from featlab.painting import few_threads
from featlab.studio.app import application
from featlab.studio.catalog import Catalog
from featlab.studio.security import new_token


def listening(port: int) -> socket.socket:
    """Return a socket that listens at 127.0.0.1:port, any free one for 0; OSError of one sentence where it is taken."""
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind(("127.0.0.1", port))
        taken.listen(64)
    except OSError as error:
        taken.close()
        raise OSError(
            f"port {port} of this machine cannot be used ({error.strerror}); choose another with --port"
        ) from error
    return taken


def address(port: int, token: str) -> str:
    """Return the address of the page."""
    return f"http://127.0.0.1:{port}/?token={token}"


def serve(catalog: Catalog, at: socket.socket, *, ready: Callable[[str], None]) -> None:
    """Serve the studio until it is interrupted; `ready` is told the address once it can be opened."""
    port, token = at.getsockname()[1], new_token()
    config = uvicorn.Config(
        application(catalog, port=port, token=token),
        log_level="warning",
        access_log=False,  # Addresses hold the token.
        server_header=False,
        lifespan="off",
        ws_per_message_deflate=False,  # Frames are compressed already.
        ws_max_size=catalog.limits.message_bytes,
        timeout_graceful_shutdown=1,
    )
    with few_threads(*(hosted.model for hosted in catalog.hosted.values())), contextlib.closing(at):
        ready(address(port, token))
        uvicorn.Server(config).run(sockets=[at])
