"""Where a stroke is: drawn by hand as points, and as a mask on the pixels. This is the one definition of a mask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import torch

from featlab.painting.reading import Json
from featlab.painting.sources import Picture, read_source
from featlab.types import Mask

Tool = Literal["brush", "rectangle", "eraser", "mask", "all"]
TOOLS: Final[dict[str, Tool]] = {tool: tool for tool in get_args(Tool)}
MOST_POINTS: Final = 4000
FARTHEST: Final = 1e5
"""Points may lie outside the image, but not farther than so many pixels."""

SEGMENTS: Final = 64
"""So many pieces of a line are measured at once, which bounds the memory that they take."""


@dataclass(frozen=True)
class Area:
    """The points of a tool, in pixels: (0, 0) is the image's upper left corner, and a pixel's middle is at halves.

    A brush or eraser of radius r covers a pixel at distance d from its line by min(1, (r - d) / (softness r)), nothing
    where d > r. A rectangle, whose first and last point are opposite corners, covers a pixel that lies d inside by
    min(1, d / (softness s)), s half its shorter side. With softness 0 a pixel is covered or not. `mask` is a picture
    of its own, white where it covers, and `all` is everything.
    """

    tool: Tool
    points: tuple[tuple[float, float], ...] = ()
    radius: float = 3.0
    softness: float = 0.0
    picture: Picture | None = None

    @classmethod
    def read(cls, record: dict[str, Json]) -> Area:
        """Read the members tool, points, radius and softness of a stroke."""
        tool = record["tool"].choice(TOOLS)
        least = {"brush": 1, "eraser": 1, "rectangle": 2, "mask": 0, "all": 0}[tool]
        points = record.get("points", Json("points", []))
        found = [
            tuple(Json(f"a coordinate of {points.what}", each).number(-FARTHEST, FARTHEST) for each in pair)
            for pair in (
                Json(f"a point of {points.what}", point).items(least=2, most=2)
                for point in points.items(least=least, most=MOST_POINTS)
            )
        ]
        radius, softness = record.get("radius"), record.get("softness")
        return cls(
            tool,
            tuple((x, y) for x, y in found),
            3.0 if radius is None else radius.number(0.5, 10_000),
            0.0 if softness is None else softness.number(0, 1),
            _picture(record) if tool == "mask" else None,
        )

    def json(self) -> dict[str, Any]:
        """Return the members of a stroke that say where it is."""
        points = [list(point) for point in self.points]
        shown = {} if self.picture is None else {"mask": self.picture.json()}
        return {"tool": self.tool, "points": points, "radius": self.radius, "softness": self.softness, **shown}

    def mask(self, height: int, width: int) -> Mask:
        """Return the mask (1, 1, height, width) in [0, 1]; ValueError where it covers no pixel at all."""
        if self.tool == "all":
            return torch.ones(1, 1, height, width)
        covered = self._covered(height, width)
        if not bool((covered > 0).any()):
            raise ValueError(f"the stroke of the {self.tool} covers no pixel of the {width} x {height} image")
        return covered.float()

    def _covered(self, height: int, width: int) -> torch.Tensor:
        if self.picture is not None:
            return self.picture.image((1, height, width))
        y, x = torch.meshgrid(_middles(height), _middles(width), indexing="ij")
        if self.tool == "rectangle":
            inside, edge = self._in_rectangle(x, y)
        else:
            inside, edge = self.radius - self._from_line(x, y), self.softness * self.radius
        covered = (inside / edge).clamp(0, 1) if edge > 0 else (inside >= 0).double()
        return covered[None, None]

    def _in_rectangle(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Return how far inside the rectangle each pixel lies, and how wide its soft edge is."""
        (x0, y0), (x1, y1) = self.points[0], self.points[-1]
        left, right, top, bottom = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        inside = torch.stack([x - left, right - x, y - top, bottom - y]).amin(dim=0)
        return inside, self.softness * min(right - left, bottom - top) / 2

    def _from_line(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the distance of each pixel from the line through the points."""
        points = torch.tensor(self.points, dtype=torch.float64)
        ends = torch.cat([points[1:], points[-1:]])  # The last piece is the last point alone.
        nearest = torch.full_like(x, math.inf)
        for first in range(0, len(points), SEGMENTS):
            start, way = points[first : first + SEGMENTS], (ends - points)[first : first + SEGMENTS]
            px, py = (each[..., None] - start[:, axis] for axis, each in enumerate((x, y)))
            length = way.square().sum(dim=1)
            along = ((px * way[:, 0] + py * way[:, 1]) / torch.where(length > 0, length, 1.0)).clamp(0, 1)
            distance = torch.hypot(px - along * way[:, 0], py - along * way[:, 1])
            nearest = torch.minimum(nearest, distance.amin(dim=-1))
        return nearest


def _picture(record: dict[str, Json]) -> Picture:
    if "mask" not in record:
        raise ValueError(f"a stroke of the mask needs its picture as {record['tool'].what.replace('tool', 'mask')}")
    source = read_source(record["mask"])
    if not isinstance(source, Picture):
        raise ValueError(f"{record['mask'].what} must be a picture of kind 'png'")
    return source


def _middles(count: int) -> torch.Tensor:
    return torch.arange(count, dtype=torch.float64) + 0.5
