"""The server: a socket of this machine alone, and uvicorn on it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn

from featlab.painting import repeatable
from featlab.studio.api import Api
from featlab.studio.app import application
from featlab.studio.catalog import Catalog
from featlab.studio.security import new_token


def listening(port: int) -> socket.socket:
    """Return a socket that listens at 127.0.0.1:port, any free one for 0; OSError of one sentence where it is taken."""
    # The protocol is named, or asyncio would not switch off Nagle's delay of 40 ms between a header and its picture.
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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


SWITCH: Final = 0.0005
"""Seconds after which a thread that runs a net lets the one that sends frames have its turn; Python's own are 0.005."""


class Server(uvicorn.Server):
    """A server that ends long work when it is interrupted, instead of waiting for it."""

    def __init__(self, config: uvicorn.Config, api: Api) -> None:
        super().__init__(config)
        self._api = api

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        self._api.closing.set()
        super().handle_exit(sig, frame)


def serve(catalog: Catalog, at: socket.socket, *, ready: Callable[[str], None]) -> None:
    """Serve the studio until it is interrupted; `ready` is told the address once it can be opened."""
    port, token, api = at.getsockname()[1], new_token(), Api.of(catalog)
    config = uvicorn.Config(
        application(api, port=port, token=token),
        log_level="warning",
        access_log=False,  # Addresses hold the token.
        server_header=False,
        lifespan="off",
        ws_per_message_deflate=False,  # Frames are compressed already.
        ws_max_size=catalog.limits.message_bytes,
        timeout_graceful_shutdown=1,
    )
    sys.setswitchinterval(SWITCH)
    with repeatable(*(hosted.model for hosted in catalog.hosted.values())):
        ready(address(port, token))
        Server(config, api).run(sockets=[at])
