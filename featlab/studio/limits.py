"""What the studio takes at most; everything that comes from outside is bounded by one of these."""

from __future__ import annotations

from dataclasses import dataclass

from featlab.painting import MOST_BYTES, MOST_PIXELS, MOST_STROKES


@dataclass(frozen=True)
class Limits:
    """Bounds in number, time and memory."""

    connections: int = 8
    jobs: int = 4
    """So many jobs run at once, over all connections."""
    steps: int = 2000
    """So many steps has a run at most."""
    seconds: float = 300.0
    """After so long a run is stopped, as if the user had."""
    images: int = 64
    """So many images has a task at most."""
    whole: int = 10_000
    """No whole number that a task is given is larger, apart from seeds."""
    page: int = 200
    """So many samples or units are listed at a time."""
    upload_bytes: int = MOST_BYTES
    upload_pixels: int = MOST_PIXELS
    message_bytes: int = 4_000_000
    strokes: int = MOST_STROKES
    remembered_bytes: int = 64_000_000
    """Images of paintings that are kept, so that undoing a stroke runs none again."""
    pictures: int = 4096
    """Pictures of units that are kept."""

    def record(self) -> dict[str, float]:
        """Return what the page says of them."""
        names = ("upload_bytes", "upload_pixels", "steps", "seconds", "strokes", "jobs")
        return {name: getattr(self, name) for name in names}
