"""Curves in a plane: quantities that are no shares, over an axis that may be logarithmic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from markupsafe import Markup

from featlab.report import svg
from featlab.report.charts import legend, legend_places
from featlab.report.scatter import marks

Place = Callable[[float], float]


@dataclass(frozen=True)
class Curve:
    """A line through (x, y) in the order given; `band` holds (low, high) for each point, `colour` counts in `svg`.

    Curves of one label have one entry in the legend. `dots` are the points that were measured, each with a mark.
    """

    label: str
    points: tuple[tuple[float, float], ...]
    colour: int
    band: tuple[tuple[float, float], ...] = ()
    dashed: bool = False
    faint: bool = False
    dots: tuple[tuple[float, float, str], ...] = ()


@dataclass(frozen=True)
class Curves:
    """Curves with axes that reach over all of them and 0 (a logarithmic x: from power of ten to power of ten).

    `even` gives x and y one scale, as shapes need; `verticals` are (x, label) of upright lines.
    """

    name: str
    title: str
    description: str
    series: tuple[Curve, ...]
    x_title: str
    y_title: str
    x_log: bool = False
    even: bool = False
    verticals: tuple[tuple[float, str], ...] = ()
    reach: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if not self.series or not all(each.points for each in self.series):
            raise ValueError(f"chart {self.name!r} has a line without points; give each curve at least one point")
        places = [*self.reach, *(point for each in self.series for point in each.points)]
        if not all(math.isfinite(x) and math.isfinite(y) and (x > 0 or not self.x_log) for x, y in places):
            raise ValueError(f"chart {self.name!r} needs finite points, with x > 0 on a logarithmic axis")

    def svg(self, width: int) -> Markup:
        """Return the chart, `width` units wide."""
        labels = {each.label: each for each in self.series if each.label}
        places = legend_places(list(labels), width - 56)
        top = 40 + 22 * (1 + max((row for _, row in places), default=-1)) + (12 if self.verticals else 0)
        height = top + (330 if width > 500 else 250) + 48
        root = svg.drawing(width, height, name=f"{self.name}-{width}", title=self.title, description=self.description)
        shapes = _shapes(labels.values())
        entries = [(name, each.colour, "5 4" if each.dashed else None) for name, each in labels.items()]
        legend(root, entries, places, [shapes[name] for name in labels])
        x, y = self._axes(root, 56, width - 18, top, height - 48)
        for each in self.series:
            _draw(root, each, x, y, shapes[each.label] if each.label else "circle")
        return svg.written(root)

    def _axes(self, root: Element, left: float, right: float, top: float, bottom: float) -> tuple[Place, Place]:
        """Draw the axes, and return where values stand."""
        across, upwards = self._ticks((right - left) / (bottom - top))
        x = _place(across, left, right, log=self.x_log)
        y = _place(upwards, bottom, top)
        # The ends of axes of one scale are where they must be, and need not be round numbers.
        shown = [each[1:-1] if self.even else each for each in (across, upwards)]
        for value in shown[1]:
            svg.line(root, [(left, y(value)), (right, y(value))], stroke=svg.MUTED if value == 0 else svg.LINE)
            svg.text(root, left - 8, y(value) + 4.5, f"{value:g}", anchor="end", fill=svg.MUTED)
        for at, label in svg.thinned([(x(value), f"{value:g}") for value in shown[0]], room=8):
            svg.line(root, [(at, bottom), (at, bottom + 4)], stroke=svg.MUTED)
            svg.text(root, at, bottom + 19, label, anchor="middle", fill=svg.MUTED)
        for value, label in self.verticals:
            svg.line(root, [(x(value), top - 6), (x(value), bottom)], stroke=svg.MUTED, dash="3 4")
            anchor = "middle" if svg.text_width(label) / 2 < right - x(value) else "end"
            svg.text(root, x(value), top - 10, label, anchor=anchor, fill=svg.MUTED)
        svg.text(root, (left + right) / 2, bottom + 40, self.x_title, anchor="middle", fill=svg.MUTED)
        svg.text(root, left - 48, top - (26 if self.verticals else 14), self.y_title, fill=svg.MUTED)
        return x, y

    def _ticks(self, shape: float) -> tuple[list[float], list[float]]:
        """Return the numbers at both axes; `shape` is the width of the frame over its height."""
        ends = [end for each in self.series for pair in each.band for end in pair]
        places = [*self.reach, *(point for each in self.series for point in each.points)]
        xs, ys = [x for x, _ in places], [*(y for _, y in places), *ends]
        if self.x_log:
            return _powers(xs), marks(ys)
        across, upwards = marks(xs), marks(ys)
        if not self.even:
            return across, upwards
        half = max(upwards[-1] - upwards[0], (across[-1] - across[0]) / shape) / 2
        middles = [(each[0] + each[-1]) / 2 for each in (across, upwards)]
        return tuple(  # type: ignore[return-value]
            _around(middle, size) for middle, size in zip(middles, (half * shape, half), strict=True)
        )


def _around(middle: float, half: float) -> list[float]:
    """Return numbers from middle - half to middle + half, whose ends need not be round."""
    step = svg.ticks(2 * half, at_most=6)[1]
    inner = [step * each for each in range(math.ceil((middle - half) / step), math.floor((middle + half) / step) + 1)]
    return [middle - half, *(round(each, 12) for each in inner), middle + half]


def _powers(values: Sequence[float]) -> list[float]:
    """Return 1, 2 and 5 times powers of ten that reach over all values."""
    low, high = min(values), max(values)
    found = [
        each * 10.0**power
        for power in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
        for each in (1, 2, 5)
    ]
    first = max((each for each in found if each <= low * (1 + 1e-9)), default=found[0])
    last = min((each for each in found if each >= high * (1 - 1e-9) and each > first), default=found[-1])
    return [each for each in found if first <= each <= last]


def _place(ticks: Sequence[float], start: float, end: float, *, log: bool = False) -> Place:
    """Return the function that says where on an axis a value stands."""
    first, last = (math.log(each) if log else each for each in (ticks[0], ticks[-1]))
    return lambda value: start + (end - start) * ((math.log(value) if log else value) - first) / (last - first)


def _shapes(series: Iterable[Curve]) -> dict[str, str]:
    return {each.label: svg.SHAPES[number % len(svg.SHAPES)] for number, each in enumerate(series)}


def _draw(root: Element, curve: Curve, x: Place, y: Place, shape: str) -> None:
    stroke = svg.colour(curve.colour)
    if curve.band:
        edges = [(x(at), low, high) for (at, _), (low, high) in zip(curve.points, curve.band, strict=True)]
        low, high = [(at, y(end)) for at, end, _ in edges], [(at, y(end)) for at, _, end in edges]
        svg.area(root, low + high[::-1], fill=stroke)
    points = [(x(at), y(value)) for at, value in curve.points]
    svg.line(root, points, stroke=stroke, width=1.2 if curve.faint else 2.2, dash="5 4" if curve.dashed else "")
    for at, value, tip in curve.dots:
        svg.mark(root, x(at), y(value), shape=shape, stroke=stroke, tip=tip, size=3 if curve.faint else 4.5)
