"""A scatter chart: two quantities of many things, in groups that differ in colour and shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from markupsafe import Markup

from featlab.report import svg
from featlab.report.charts import legend, legend_places


@dataclass(frozen=True)
class Spot:
    """One thing: where it is, and what it says when one points at it."""

    x: float
    y: float
    tip: str


@dataclass(frozen=True)
class Group:
    """Things of one kind; `colour` counts in `svg.COLOURS`."""

    label: str
    spots: tuple[Spot, ...]
    colour: int


@dataclass(frozen=True)
class Scatter:
    """Points in a plane whose axes cross at 0, with the line y = x where `diagonal` is set.

    The axes reach over the points (x, y) of `reach` too, so that charts beside each other have one scale. `size` is
    that of a mark; where groups are single things the legend does not count them (`counted`).
    """

    name: str
    title: str
    description: str
    groups: tuple[Group, ...]
    x_title: str
    y_title: str
    diagonal: bool = False
    reach: tuple[tuple[float, float], ...] = ()
    size: float = 3.5
    counted: bool = True

    def __post_init__(self) -> None:
        if not any(group.spots for group in self.groups):
            raise ValueError(f"chart {self.name!r} has no points; give a group at least one")
        spots = [spot for group in self.groups for spot in group.spots]
        if not all(math.isfinite(spot.x) and math.isfinite(spot.y) for spot in spots):
            raise ValueError(f"chart {self.name!r} needs finite points")

    def svg(self, width: int) -> Markup:
        """Return the chart, `width` units wide."""
        labels = [f"{group.label} ({len(group.spots)})" if self.counted else group.label for group in self.groups]
        places = legend_places(labels, width - 56)
        top = 40 + 22 * (1 + max(row for _, row in places))
        height = top + (360 if width > 500 else 270) + 48
        root = svg.drawing(width, height, name=f"{self.name}-{width}", title=self.title, description=self.description)
        shapes = [svg.SHAPES[number % len(svg.SHAPES)] for number in range(len(self.groups))]
        legend(root, [(label, group.colour, "") for label, group in zip(labels, self.groups)], places, shapes)
        x, y = self._axes(root, 56, width - 18, top, height - 48)
        for group, shape in zip(self.groups, shapes):
            for spot in group.spots:
                svg.mark(
                    root,
                    x(spot.x),
                    y(spot.y),
                    shape=shape,
                    stroke=svg.colour(group.colour),
                    tip=spot.tip,
                    size=self.size,
                )
        return svg.written(root)

    def _axes(
        self, root: Element, left: float, right: float, top: float, bottom: float
    ) -> tuple[Callable[[float], float], Callable[[float], float]]:
        """Draw the axes, and return where values stand."""
        places = [*self.reach, *((spot.x, spot.y) for group in self.groups for spot in group.spots)]
        across, upwards = (marks(list(values)) for values in zip(*places))

        def x(value: float) -> float:
            return left + (right - left) * (value - across[0]) / (across[-1] - across[0])

        def y(value: float) -> float:
            return bottom - (bottom - top) * (value - upwards[0]) / (upwards[-1] - upwards[0])

        for value in upwards:
            svg.line(root, [(left, y(value)), (right, y(value))], stroke=svg.MUTED if value == 0 else svg.LINE)
            svg.text(root, left - 8, y(value) + 4.5, f"{value:g}", anchor="end", fill=svg.MUTED)
        for value in across:
            svg.line(root, [(x(value), bottom), (x(value), bottom + 4)], stroke=svg.MUTED)
            svg.text(root, x(value), bottom + 19, f"{value:g}", anchor="middle", fill=svg.MUTED)
        if self.diagonal:
            low, high = max(across[0], upwards[0]), min(across[-1], upwards[-1])
            svg.line(root, [(x(low), y(low)), (x(high), y(high))], stroke=svg.MUTED, dash="3 4")
        svg.text(root, (left + right) / 2, bottom + 40, self.x_title, anchor="middle", fill=svg.MUTED)
        svg.text(root, left - 48, top - 14, self.y_title, fill=svg.MUTED)
        return x, y


def marks(values: list[float]) -> list[float]:
    """Return round numbers that reach over all values and 0."""
    low, high = min(0.0, *values), max(0.0, *values)
    step = svg.ticks(max(high - low, 1e-9), at_most=6)[1]
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]
