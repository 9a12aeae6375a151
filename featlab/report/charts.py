"""Charts as SVG text: lines with bands, and dots with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""


@dataclass(frozen=True)
class Point:
    """A value with its interval; all in [0, 1]."""

    x: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Series:
    """Points under one name."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Bar:
    """One row of a dot chart: a group, a name, a value with its interval, and whether it is a control."""

    group: str
    name: str
    point: Point
    control: bool


TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def lines(series: Sequence[Series], *, title: str, x_label: str, marks: Sequence[tuple[float, str]] = ()) -> str:
    """Return a chart of accuracy against x: a line with its 95 % band for each series, and marks on the axis."""
    width, height, left, right, top, bottom = 640, 340, 46, 624, 44, 296
    largest = max(point.x for each in series for point in each.points) or 1.0

    def across(x: float) -> float:
        return left + x / largest * (right - left)

    def down(value: float) -> float:
        return bottom - value * (bottom - top)

    parts = [_head(width, height, title)]
    for tick in TICKS:
        parts += [_rule("grid", left, down(tick), right, down(tick))]
        parts += [_text("tick", left - 8, down(tick) + 4, f"{tick:.0%}", anchor="end")]
    parts += [
        _text("tick", across(x), bottom + 18, f"{x:g}", anchor="middle")
        for x in sorted({point.x for each in series for point in each.points})
    ]
    for x, label in marks:
        parts += [_rule("mark", across(x), top, across(x), bottom), _text("tick", across(x) + 4, top + 12, label)]
    parts += [_text("label", (left + right) / 2, height - 6, x_label, anchor="middle")]
    for each, colour in zip(series, cycle(COLOURS), strict=False):
        parts += _line(each, colour, across, down)
    return "".join([*parts, *_legend([each.name for each in series], left), "</svg>"])


def dots(bars: Sequence[Bar], *, title: str, chance: float) -> str:
    """Return a chart with a row for each value: a dot with its 95 % interval, controls hollow; and chance as a line."""
    groups = list(dict.fromkeys(bar.group for bar in bars))
    width, left, right, top, row, gap = 640, 190, 574, 22, 24, 14
    bottom = top + len(bars) * row + len(groups) * gap + 4

    def across(value: float) -> float:
        return left + value * (right - left)

    parts = [_head(width, bottom + 30, title)]
    for tick in TICKS:
        parts += [_rule("grid", across(tick), top, across(tick), bottom)]
        parts += [_text("tick", across(tick), bottom + 18, f"{tick:.0%}", anchor="middle")]
    parts += [_rule("mark", across(chance), top, across(chance), bottom)]
    parts += [_text("tick", across(chance), top - 6, "chance", anchor="middle")]
    y = float(top)
    for group, colour in zip(groups, cycle(COLOURS), strict=False):
        y += gap
        for bar in (each for each in bars if each.group == group):
            parts += [_text("tick", left - 10, y + row / 2 + 4, f"{bar.group}: {bar.name}", anchor="end")]
            parts += _dot(bar, colour, y + row / 2, across)
            y += row
    return "".join([*parts, "</svg>"])


def _line(series: Series, colour: str, across: Callable[[float], float], down: Callable[[float], float]) -> list[str]:
    points = series.points
    upper = [f"{across(p.x):.1f},{down(p.high):.1f}" for p in points]
    lower = [f"{across(p.x):.1f},{down(p.low):.1f}" for p in reversed(points)]
    middle = [f"{across(p.x):.1f},{down(p.value):.1f}" for p in points]
    return [
        f'<polygon fill="{colour}" opacity="0.18" points="{" ".join(upper + lower)}"/>',
        f'<polyline fill="none" stroke="{colour}" stroke-width="2.5" points="{" ".join(middle)}"/>',
        *(
            f'<circle cx="{across(p.x):.1f}" cy="{down(p.value):.1f}" r="4" fill="{colour}">'
            f"<title>{escape(series.name)} at {p.x:g}: {_interval(p)}</title></circle>"
            for p in points
        ),
    ]


def _dot(bar: Bar, colour: str, y: float, across: Callable[[float], float]) -> list[str]:
    p, fill = bar.point, "var(--paper)" if bar.control else colour
    ends = f'x1="{across(p.low):.1f}" x2="{across(p.high):.1f}"'
    return [
        f'<line stroke="{colour}" stroke-width="2" {ends} y1="{y}" y2="{y}"/>',
        f'<circle cx="{across(p.value):.1f}" cy="{y}" r="5" fill="{fill}" stroke="{colour}" stroke-width="2">'
        f"<title>{_interval(p)}</title></circle>",
        _text("value", across(p.high) + 9, y + 4, f"{p.value:.1%}"),
    ]


def _interval(point: Point) -> str:
    return f"{point.value:.1%} ({point.low:.1%} to {point.high:.1%})"


def _head(width: float, height: float, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" class="chart">'
        f"<title>{escape(title)}</title>"
    )


def _rule(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(kind: str, x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _legend(names: Sequence[str], left: float) -> list[str]:
    parts, x = [], float(left)
    for name, colour in zip(names, cycle(COLOURS), strict=False):
        parts += [f'<line stroke="{colour}" stroke-width="3" x1="{x:.0f}" x2="{x + 20:.0f}" y1="18" y2="18"/>']
        parts += [_text("label", x + 26, 22, name)]
        x += 46 + 7.2 * len(name)
    return parts
