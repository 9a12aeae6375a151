"""A page: sections of text, tables, charts and pictures, written as one file that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from featlab.files import write_text
from featlab.report.pictures import Picture


@dataclass(frozen=True)
class Table:
    """Rows of text under a head; every column but the first is set as numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Verdict:
    """A claim, whether it was seen, and the numbers."""

    claim: str
    seen: bool
    text: str


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it, in this order."""

    title: str
    paragraphs: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    charts: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    code: str = ""


@dataclass(frozen=True)
class Page:
    """A title, what it is about in a few sentences, and its sections."""

    title: str
    lead: str
    sections: tuple[Section, ...]


def render(page: Page) -> str:
    """Return the page as HTML; all text is escaped, charts are SVG made here."""
    environment = Environment(
        loader=PackageLoader("featlab.report"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(page=page)


def write(page: Page, path: Path) -> None:
    """Write the page whole."""
    write_text(path, render(page))
