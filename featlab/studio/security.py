"""Who is answered: only this machine's own pages, and only those that know the token."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER: Final = "x-featlab-token"  # noqa: S105  # The name of a header, no secret.
POLICY_VIOLATION: Final = 1008
"""The code with which a socket is refused; before it is accepted it becomes status 403."""


def new_token() -> str:
    """Return a random token of 256 bits."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Guard:
    """Stand before an application: check host, origin and token of every request, and add the headers of safety.

    A page of another site can make a browser send requests here. It cannot read the token; a name of its own that
    resolves to this machine stands in Host; and its own address stands in Origin.
    """

    app: ASGIApp
    port: int
    token: str

    @property
    def hosts(self) -> tuple[str, ...]:
        """What this server is called."""
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse with status 403."""
        if scope["type"] not in ("http", "websocket"):
            return
        reason = self.refusal(scope)
        if reason is None:
            await self.app(scope, receive, self._safely(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": reason})
        else:
            await JSONResponse({"error": reason}, status_code=403)(scope, receive, self._safely(send))

    def refusal(self, scope: Scope) -> str | None:
        """Return why a request is refused, or None."""
        headers = Headers(scope=scope)
        if headers.getlist("host") not in [[host] for host in self.hosts]:
            return f"the studio is at {' or '.join(self.hosts)} only"
        origins = headers.getlist("origin")
        if origins and origins not in [[f"http://{host}"] for host in self.hosts]:
            return "another site's pages may not use the studio"
        if scope["path"].startswith("/static/"):
            return None
        return (
            None
            if self._knows(scope, headers)
            else "the token is missing or wrong; open the address that featlab studio printed"
        )

    def _knows(self, scope: Scope, headers: Mapping[str, str]) -> bool:
        """Say whether a request carries the token, in a time that does not depend on how much of it is right."""
        given = headers.get(TOKEN_HEADER) or parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return secrets.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    def _safely(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers().items():
                    headers[name] = value
            await send(message)

        return sending

    def headers(self) -> dict[str, str]:
        """Return what a browser is told with every answer: nothing from outside, nothing to the outside, no frames."""
        sockets = " ".join(f"ws://{host}" for host in self.hosts)  # 'self' does not cover them in every browser.
        policy = {
            "default-src": "'self'",
            "img-src": "'self' blob: data:",
            "connect-src": f"'self' {sockets}",
            "object-src": "'none'",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        return {
            "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",  # The address of the page holds the token.
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
            "Cache-Control": "no-store",
        }
