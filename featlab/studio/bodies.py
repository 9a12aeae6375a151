"""What is sent up in one piece, read up to so much."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request


async def body_of(request: Request, *, most: int) -> bytes:
    """Return the body of a request; status 413 as soon as it is longer than may be, whatever it said of itself."""
    said = request.headers.get("content-length", "0")
    if said.isdecimal() and int(said) > most:
        raise too_large(most)
    parts, held = [], 0
    async for part in request.stream():
        held += len(part)
        if held > most:
            raise too_large(most)
        parts.append(part)
    return b"".join(parts)


def too_large(most: int) -> HTTPException:
    """Return the refusal of a body that is too long."""
    return HTTPException(413, f"at most {most / 1e6:g} MB may be sent at once")
