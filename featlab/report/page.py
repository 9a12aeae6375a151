"""A page of results: one HTML file that needs no other file and no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from featlab.files import write_text
from featlab.report.charts import NARROW, WIDE
from featlab.report.pictures import Picture, data_uri, shrunk, slug, to_png, zoom_to

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Link:
    """Words that lead to a paper or a project; the page itself never loads what they lead to."""

    words: str
    address: str

    def __post_init__(self) -> None:
        if urlsplit(self.address).scheme != "https":
            raise ValueError(f"a link must begin with https://, got {self.address!r}")


@dataclass(frozen=True)
class Strong:
    """Words that carry a sentence."""

    words: str


@dataclass(frozen=True)
class Code:
    """Words that are typed as they stand."""

    words: str


Words = str | Link | Strong | Code


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of words and links."""

    parts: tuple[Words, ...]


def paragraph(*parts: Words) -> Paragraph:
    """Return a paragraph."""
    return Paragraph(parts)


@dataclass(frozen=True)
class Terms:
    """Terms with what each means, in order."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers stand at its right edge, digit under digit."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class TableRow:
    """Cells of a row; `lead` sets it off from those that are read beside it."""

    cells: tuple[str, ...]
    lead: bool = False


@dataclass(frozen=True)
class Table:
    """A table in groups of rows, each under its own name or under none."""

    caption: str
    columns: tuple[Column, ...]
    groups: tuple[tuple[str, tuple[TableRow, ...]], ...]

    def __post_init__(self) -> None:
        for _, rows in self.groups:
            for row in rows:
                if len(row.cells) != len(self.columns):
                    raise ValueError(
                        f"a row of table {self.caption!r} has {len(row.cells)} cells for {len(self.columns)} columns"
                    )


class Drawing(Protocol):
    """A chart that can be drawn at any width."""

    def svg(self, width: int, /) -> str:
        """Return the chart, `width` units wide."""
        ...


@dataclass(frozen=True)
class Chart:
    """A drawing and what it says."""

    drawing: Drawing
    caption: str

    def wide(self) -> str:
        """Return the drawing for a page."""
        return self.drawing.svg(WIDE)

    def narrow(self) -> str:
        """Return the drawing for a telephone."""
        return self.drawing.svg(NARROW)


@dataclass(frozen=True)
class Beside:
    """Charts side by side, one below the other where there is no room."""

    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Verdict:
    """A claim, whether it was seen, and the numbers that say so."""

    claim: str
    seen: bool
    text: str


@dataclass(frozen=True)
class Verdicts:
    """Claims one beside another."""

    items: tuple[Verdict, ...]


@dataclass(frozen=True)
class Folded:
    """Long text, such as a file, that opens when one asks for it."""

    title: str
    text: str


Block = Paragraph | Terms | Table | Chart | Beside | Verdicts | Picture | Folded


@dataclass(frozen=True, eq=False)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, eq=False)
class Page:
    """A title, a lead sentence, the few facts that everything else depends on, and sections."""

    title: str
    lead: str
    sections: tuple[Section, ...]
    facts: tuple[tuple[str, str], ...] = ()


def render(page: Page) -> str:
    """Return the page as one HTML document; the same page gives the same text."""
    anchors = _anchors(page.sections)
    return _environment().get_template("page.html.j2").render(page=page, sections=list(zip(anchors, page.sections)))


def write(page: Page, path: Path) -> None:
    """Write the page as one file, whole or not at all."""
    write_text(Path(path), render(page))


def _anchors(sections: Sequence[Section]) -> list[str]:
    """Return a name for each section that no other has."""
    names: list[str] = []
    for section in sections:
        name, again = slug(section.title), 2
        while name in names:
            name, again = f"{slug(section.title)}-{again}", again + 1
        names.append(name)
    return names


def _image_uri(image: Tensor) -> str:
    return data_uri(to_png(shrunk(image[None]), zoom=zoom_to(image)))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("featlab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["image_uri"] = _image_uri
    made.tests["fine"] = lambda image: zoom_to(image) == 1
    made.tests["of_kind"] = lambda block, kind: type(block).__name__ == kind
    return made
