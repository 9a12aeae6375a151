"""The few SVG shapes that charts are made of. Elements are built as a tree, so that every text is escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

Point = tuple[float, float]

COLOURS = ("#0072b2", "#c44e00", "#00795a", "#a3458b", "#6b7280")
"""Blue, vermilion, green, purple (after Okabe and Ito 2008: colour-blind eyes tell them apart), grey for references."""
BLUE, VERMILION, GREEN, PURPLE, GREY = range(len(COLOURS))

INK, MUTED, LINE, PAPER = "var(--ink, #1c2330)", "var(--muted, #5b6472)", "var(--line, #dfe3e8)", "var(--paper, #fff)"
FONT = 13
"""Size of text, in units of the drawing."""


def colour(number: int) -> str:
    """Return a colour of the palette; the page may give it another shade on a dark ground."""
    at = number % len(COLOURS)
    return f"var(--c{at}, {COLOURS[at]})"


def drawing(width: float, height: float, *, name: str, title: str, description: str) -> Element:
    """Return an empty drawing, which says to those who do not see it what it shows."""
    root = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {number(width)} {number(height)}",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-desc",
            "font-size": str(FONT),
        },
    )
    SubElement(root, "title", {"id": f"{name}-title"}).text = title
    SubElement(root, "desc", {"id": f"{name}-desc"}).text = description
    return root


def written(root: Element) -> Markup:
    """Return a drawing as text that a page may hold as it is."""
    return Markup(tostring(root, encoding="unicode"))  # noqa: S704  (the tree has escaped every text)


def number(value: float) -> str:
    """Return a length with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def text(
    root: Element,
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    fill: str = INK,
    bold: bool = False,
    halo: bool = False,
) -> None:
    """Write words with their baseline at y; a halo keeps them apart from the lines that they cross."""
    style = f"fill:{fill}" + (f";stroke:{PAPER};stroke-width:6;paint-order:stroke" if halo else "")
    attributes = {"x": number(x), "y": number(y), "text-anchor": anchor, "style": style}
    if bold:
        attributes["font-weight"] = "600"
    SubElement(root, "text", attributes).text = words


def line(root: Element, points: Sequence[Point], *, stroke: str, width: float = 1, dash: str = "") -> None:
    """Draw straight lines through points."""
    attributes = {
        "points": " ".join(f"{number(x)},{number(y)}" for x, y in points),
        "style": f"fill:none;stroke:{stroke};stroke-width:{number(width)};stroke-linejoin:round",
    }
    if dash:
        attributes["stroke-dasharray"] = dash
    SubElement(root, "polyline", attributes)


def area(root: Element, points: Sequence[Point], *, fill: str) -> None:
    """Fill what lies within points, so faintly that what is under it stays visible."""
    corners = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    SubElement(root, "polygon", {"points": corners, "style": f"fill:{fill};fill-opacity:0.16"})


CORNERS: Mapping[str, tuple[tuple[float, float], ...]] = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "triangle": ((0, -1.2), (1.15, 0.85), (-1.15, 0.85)),
    "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
}
SHAPES = ("circle", *CORNERS)
"""Marks differ in shape too, for those who do not see the colours and for grey print."""


def mark(
    root: Element,
    x: float,
    y: float,
    *,
    shape: str,
    stroke: str,
    tip: str = "",
    hollow: bool = False,
    size: float = 4.5,
) -> None:
    """Draw a mark; `tip` shows when one points at it."""
    inside, edge, width = (PAPER, stroke, 2) if hollow else (stroke, PAPER, 1.5)
    style = f"fill:{inside};stroke:{edge};stroke-width:{width}"
    if shape == "circle":
        made = SubElement(root, "circle", {"cx": number(x), "cy": number(y), "r": number(size), "style": style})
    else:
        corners = " ".join(f"{number(x + size * dx)},{number(y + size * dy)}" for dx, dy in CORNERS[shape])
        made = SubElement(root, "polygon", {"points": corners, "style": style})
    if tip:
        SubElement(made, "title").text = tip


def text_width(words: str) -> float:
    """Return about how wide words are: no font is at hand to measure them."""
    return 0.55 * FONT * len(words)


def ticks(top: float, *, at_most: int) -> list[float]:
    """Return 0, step, 2 step ... up to the first that is not below `top`, with a step of 1, 2 or 5 times 10^k."""
    if not top > 0:
        return [0.0, 1.0]
    unit = 10.0 ** math.floor(math.log10(top / at_most))
    step = next(unit * each for each in (1, 2, 5, 10) if unit * each * at_most >= top * (1 - 1e-9))
    return [step * each for each in range(math.ceil(top / step * (1 - 1e-9)) + 1)]


def thinned(places: Sequence[tuple[float, str]], *, room: float) -> list[tuple[float, str]]:
    """Return the labels of an axis that do not run into the one before them."""
    kept: list[tuple[float, str]] = []
    for x, label in sorted(places):
        if not kept or x - kept[-1][0] >= room + (text_width(label) + text_width(kept[-1][1])) / 2:
            kept.append((x, label))
    return kept
