"""Charts as SVG: accuracy over eps with bands, and accuracies beside their controls with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from markupsafe import Markup

from featlab.evaluation import Accuracy
from featlab.report import svg
from featlab.report.wording import measured, percent

WIDE, NARROW = 880, 360
"""Each chart is drawn twice, for a page and for a telephone, so that its text is never scaled out of reading."""


@dataclass(frozen=True)
class Series:
    """One line: (x, accuracy) in growing x. Its place in the chart is its mark; `colour` counts in `svg.COLOURS`."""

    label: str
    points: tuple[tuple[float, Accuracy], ...]
    colour: int
    faint: bool = False


@dataclass(frozen=True)
class Lines:
    """Accuracies in per cent over a quantity, with bands for their 95 % intervals.

    `verticals` are (x, label) of upright lines, such as the eps of training.
    """

    name: str
    title: str
    description: str
    series: tuple[Series, ...]
    x_title: str
    verticals: tuple[tuple[float, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.series or not all(each.points for each in self.series):
            raise ValueError(f"chart {self.name!r} has a line without points; give each series at least one point")
        if any(not (math.isfinite(x) and x >= 0) for each in self.series for x, _ in each.points):
            raise ValueError(f"chart {self.name!r} needs finite x >= 0")

    def svg(self, width: int) -> Markup:
        """Return the chart, `width` units wide."""
        places = legend_places([each.label for each in self.series], width - 56)
        top = 34 + 22 * (1 + max(row for _, row in places))
        height = top + (300 if width > 500 else 230) + 48
        name = f"{self.name}-{width}"
        root = svg.drawing(width, height, name=name, title=self.title, description=self.description)
        right = max(x for each in self.series for x, _ in each.points) or 1.0
        frame = Frame(48, width - 18, top, height - 48, right)
        shapes = [svg.SHAPES[number % len(svg.SHAPES)] for number in range(len(self.series))]
        legend(root, [(each.label, each.colour, "5 4" if each.faint else None) for each in self.series], places, shapes)
        self._axes(root, frame)
        for each, shape in zip(self.series, shapes):
            _draw_line(root, frame, each, x_title=self.x_title, shape=shape)
        return svg.written(root)

    def _axes(self, root: Element, frame: Frame) -> None:
        for share in (0, 0.2, 0.4, 0.6, 0.8, 1.0):
            y = frame.y(share)
            svg.line(root, [(frame.left, y), (frame.right, y)], stroke=svg.LINE)
            svg.text(root, frame.left - 8, y + 4.5, f"{share:.0%}", anchor="end", fill=svg.MUTED)
        for at, label in self.verticals:
            x = frame.x(at)
            svg.line(root, [(x, frame.top - 8), (x, frame.bottom)], stroke=svg.MUTED, dash="3 4")
            anchor = "middle" if svg.text_width(label) / 2 < frame.right - x else "end"
            svg.text(root, x, frame.top - 14, label, anchor=anchor, fill=svg.MUTED)
        shown = {x for each in self.series for x, _ in each.points}
        for x, label in svg.thinned([(frame.x(x), f"{x:g}") for x in shown], room=8):
            svg.line(root, [(x, frame.bottom), (x, frame.bottom + 4)], stroke=svg.MUTED)
            svg.text(root, x, frame.bottom + 19, label, anchor="middle", fill=svg.MUTED)
        middle = (frame.left + frame.right) / 2
        svg.text(root, middle, frame.bottom + 40, self.x_title, anchor="middle", fill=svg.MUTED)


@dataclass(frozen=True)
class Frame:
    """The part of a drawing in which the data is: x from 0 to `x_end`, accuracy from 0 to 1."""

    left: float
    right: float
    top: float
    bottom: float
    x_end: float

    def x(self, value: float) -> float:
        """Return where a value stands."""
        return self.left + (self.right - self.left) * value / self.x_end

    def y(self, share: float) -> float:
        """Return where an accuracy stands."""
        return self.bottom - (self.bottom - self.top) * share


def _draw_line(root: Element, frame: Frame, series: Series, *, x_title: str, shape: str) -> None:
    stroke, places = svg.colour(series.colour), series.points
    if not series.faint:
        low = [(frame.x(x), frame.y(found.low)) for x, found in places]
        high = [(frame.x(x), frame.y(found.high)) for x, found in places]
        svg.area(root, low + high[::-1], fill=stroke)
    points = [(frame.x(x), frame.y(found.accuracy)) for x, found in places]
    svg.line(root, points, stroke=stroke, width=1.5 if series.faint else 2.5, dash="5 4" if series.faint else "")
    for (x, y), (value, found) in zip(points, places, strict=True):
        tip = f"{series.label}, {x_title} {value:g}: {measured(found)}, n = {found.n}"
        svg.mark(root, x, y, shape=shape, stroke=stroke, tip=tip, size=3.5 if series.faint else 4.5)


def legend_places(labels: Sequence[str], room: float) -> list[tuple[float, int]]:
    """Return where each entry begins and in which row, the next row where one is full."""
    places, x, row = [], 0.0, 0
    for label in labels:
        width = 46 + svg.text_width(label)
        if x and x + width > room:
            x, row = 0.0, row + 1
        places.append((x, row))
        x += width
    return places


def legend(
    root: Element,
    entries: Sequence[tuple[str, int, str | None]],
    places: Sequence[tuple[float, int]],
    shapes: Sequence[str],
) -> None:
    """Draw each entry (label, colour, dashes of its line; None for a whole line, "" for a mark without a line)."""
    for (label, colour, dash), (x, row), shape in zip(entries, places, shapes, strict=True):
        left, y, stroke = 48 + x, 12.0 + 22 * row, svg.colour(colour)
        if dash != "":
            svg.line(root, [(left, y), (left + 22, y)], stroke=stroke, width=2, dash=dash or "")
        svg.mark(root, left + 11, y, shape=shape, stroke=stroke)
        svg.text(root, left + 28, y + 4.5, label)


@dataclass(frozen=True)
class Dot:
    """One accuracy with its interval; hollow for a control."""

    label: str
    found: Accuracy
    colour: int
    hollow: bool = False


@dataclass(frozen=True)
class Dots:
    """Accuracies with their 95 % intervals, in named groups, with a line at chance where it is known."""

    name: str
    title: str
    description: str
    groups: tuple[tuple[str, tuple[Dot, ...]], ...]
    x_title: str
    chance: float | None = None

    def __post_init__(self) -> None:
        if not self.groups or not all(dots for _, dots in self.groups):
            raise ValueError(f"chart {self.name!r} has a group without values; give each group at least one")

    def svg(self, width: int) -> Markup:
        """Return the chart, `width` units wide; where it is narrow, labels stand above their values."""
        narrow = width <= 500
        step, left, right = (42, 10, width - 22) if narrow else (27, 240, width - 190)
        rows = sum(len(dots) for _, dots in self.groups)
        top = 26 if self.chance is not None else 6
        bottom = top + step * rows + 34 * len(self.groups)
        root = svg.drawing(
            width, bottom + 48, name=f"{self.name}-{width}", title=self.title, description=self.description
        )
        place = self._axis(root, left, right, top, bottom)
        y = float(top)
        for label, dots in self.groups:
            y += 34
            svg.text(root, 10, y - 11, label, bold=True)
            for dot in dots:
                _draw_dot(root, dot, place, y + (step - 13 if narrow else step / 2), labels=None if narrow else left)
                y += step
        return svg.written(root)

    def _axis(self, root: Element, left: float, right: float, top: float, bottom: float) -> Callable[[float], float]:
        """Draw the axis and chance, and return where a share of 1 stands."""
        highest = max(dot.found.high for _, dots in self.groups for dot in dots)
        marks = svg.ticks(100 * max(highest, 1.2 * (self.chance or 0)), at_most=6)

        def place(share: float) -> float:
            return left + (right - left) * 100 * share / marks[-1]

        for tick in marks:
            x = place(tick / 100)
            svg.line(root, [(x, top), (x, bottom)], stroke=svg.LINE)
            svg.text(root, x, bottom + 18, f"{tick:g}%", anchor="middle", fill=svg.MUTED)
        if self.chance is not None:
            x = place(self.chance)
            svg.line(root, [(x, top - 6), (x, bottom)], stroke=svg.MUTED, dash="3 4", width=1.5)
            label = f"chance {percent(self.chance)}"
            svg.text(root, max(x, svg.text_width(label) / 2 + 4), top - 11, label, anchor="middle", fill=svg.MUTED)
        svg.text(root, (left + right) / 2, bottom + 40, self.x_title, anchor="middle", fill=svg.MUTED)
        return place


def _draw_dot(root: Element, dot: Dot, place: Callable[[float], float], y: float, *, labels: float | None) -> None:
    """Draw one row: `labels` is where the label ends at the left, or None where it stands above."""
    stroke = svg.colour(dot.colour)
    low, high = place(dot.found.low), place(dot.found.high)
    svg.line(root, [(low, y), (high, y)], stroke=stroke, width=3)
    for x in (low, high):
        svg.line(root, [(x, y - 5), (x, y + 5)], stroke=stroke, width=1.5)
    tip = f"{dot.label}: {measured(dot.found)}, n = {dot.found.n}"
    shape = "diamond" if dot.hollow else "circle"
    svg.mark(root, place(dot.found.accuracy), y, shape=shape, stroke=stroke, tip=tip, hollow=dot.hollow, size=5)
    if labels is None:
        svg.text(root, place(0), y - 12, f"{dot.label}: {percent(dot.found.accuracy)}", fill=svg.MUTED, halo=True)
    else:
        svg.text(root, labels - 12, y + 4.5, dot.label, anchor="end")
        svg.text(root, high + 12, y + 4.5, measured(dot.found), fill=svg.MUTED, halo=True)
