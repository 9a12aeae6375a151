"""A page needs nothing else, escapes every word, and is written whole."""

import base64
import io
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from featlab.evaluation import Accuracy
from featlab.report import Page, Picture, Section, central_page, render, write
from featlab.report.charts import Dot, Dots, Lines, Series
from featlab.report.page import (
    Chart,
    Code,
    Column,
    Folded,
    Link,
    Strong,
    Table,
    TableRow,
    Terms,
    Verdict,
    Verdicts,
    paragraph,
)

VOID = {"meta", "link", "img", "br", "hr"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that every tag that opens is closed in its turn."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.open, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_needs_nothing_from_outside(result, picture):
    html = render(central_page(result, [picture]))
    reader = read(html)
    for tag, key, value in reader.attributes:
        if key in {"src", "srcset", "data", "action", "poster", "background", "xlink:href"} or (
            key == "href" and tag != "a"
        ):
            assert value.startswith("data:"), (tag, key, value)
        elif key == "href":
            assert value.startswith(("#", "https://arxiv.org/", "https://doi.org/")), value
        assert not key.startswith("on"), (tag, key)
        assert "url(" not in (value or ""), (tag, key, value)
    assert "url(" not in html
    assert "@import" not in html
    assert not {"script", "iframe", "object", "embed", "base", "audio", "video"} & set(reader.tags)
    policy = next(value for tag, key, value in reader.attributes if tag == "meta" and "default-src" in (value or ""))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_every_section_can_be_reached_and_no_name_is_taken_twice(result, picture):
    reader = read(render(central_page(result, [picture])))
    names = [value for _, key, value in reader.attributes if key == "id"]
    assert len(names) == len(set(names))
    goals = [value[1:] for _, key, value in reader.attributes if key == "href" and value.startswith("#")]
    assert len(goals) == 7
    assert set(goals) <= set(names)
    for _, key, value in reader.attributes:
        if key == "aria-labelledby":
            assert set(value.split()) <= set(names)
    doubled = Page("t", "l", (Section("Same!", ()), Section("same", ()), Section("same 2", ())))
    assert re.findall('section id="(.*?)"', render(doubled)) == ["same", "same-2", "same-2-2"]


def test_every_picture_decodes_to_what_it_shows(picture):
    reader = read(render(Page("t", "l", (Section("s", (picture,)),))))
    addresses = [value for tag, key, value in reader.attributes if (tag, key) == ("img", "src")]
    texts = [value for tag, key, value in reader.attributes if (tag, key) == ("img", "alt")]
    assert texts == ["grey, one", "grey, two", "colour, one", "colour, two"]
    images = [image for _, row in picture.rows for image in row]
    for address, image in zip(addresses, images, strict=True):
        with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2], validate=True))) as shown:
            assert shown.size == (84, 84)
            colour = shown.convert("RGB")
        for y, x in ((0, 0), (27, 27), (13, 5)):
            expected = tuple((image.expand(3, -1, -1)[:, y, x] * 255).round().int().tolist())
            assert {colour.getpixel((3 * x + dx, 3 * y + dy)) for dx in range(3) for dy in range(3)} == {expected}
    text = "".join(reader.text)
    for words in ("first note", "second note", "What it shows.", "A grid"):
        assert words in text


def hostile_page(words):
    found = Accuracy(0.5, 0.4, 0.6, 10)
    lines = Lines("n", words, words, (Series(words, ((0.0, found), (1.0, found)), 0),), words, ((1.0, words),))
    dots = Dots("m", words, words, ((words, (Dot(words, found, 0),)),), words, 0.1)
    pixels = torch.zeros(1, 1, 4, 4)
    blocks = (
        paragraph(words, Strong(words), Code(words), Link(words, "https://doi.org/" + words)),
        Verdicts((Verdict(words, True, words), Verdict(words, False, words))),
        Terms(((words, words),)),
        Table(words, (Column(words), Column(words, True)), ((words, (TableRow((words, words)),)),)),
        Chart(lines, words),
        Chart(dots, words),
        Picture(words, words, ((words, pixels),), (words,), ((words,),)),
        Folded(words, words),
    )
    return Page(words, words, (Section(words, blocks),), ((words, words),))


@pytest.mark.parametrize(
    "words", ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)> & '", "</style></svg>{{ 7 * 7 }}"]
)
def test_words_are_never_tags(words):
    hostile, tame = read(render(hostile_page(words))), read(render(hostile_page("tame")))
    assert hostile.tags == tame.tags
    assert [(tag, key) for tag, key, _ in hostile.attributes] == [(tag, key) for tag, key, _ in tame.attributes]
    assert "".join(hostile.text).count(words) == "".join(tame.text).count("tame")


def test_photographs_are_drawn_small_and_smooth_and_small_pictures_by_whole_pixels():
    for side, fine, shown in ((8, False, 88), (224, True, 144)):
        rows = (("row", torch.rand(1, 3, side, side)),)
        html = render(Page("t", "l", (Section("s", (Picture("p", "c", rows),)),)))
        tag = re.search(r'<img( class="fine")? src="data:image/png;base64,([^"]*)"', html)
        assert bool(tag[1]) == fine
        assert Image.open(io.BytesIO(base64.b64decode(tag[2]))).size == (shown, shown)


def test_drawings_in_the_page_are_well_formed(result):
    drawings = re.findall(r"<svg .*?</svg>", render(central_page(result, [])), flags=re.DOTALL)
    assert len(drawings) == 2 * 3 + len(result["checks"])
    for drawing in drawings:
        ET.fromstring(drawing)


def test_a_link_leads_to_a_secure_page_only():
    for address in ("javascript:alert(1)", "http://arxiv.org/abs/1905.02175", "/etc/passwd"):
        with pytest.raises(ValueError, match="https"):
            Link("paper", address)


def test_a_table_with_a_missing_cell_is_refused():
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        Table("c", (Column("a"), Column("b")), (("", (TableRow(("x",)),)),))


def test_the_page_is_the_same_each_time_and_written_whole(result, picture, tmp_path, monkeypatch):
    page = central_page(result, [picture])
    for name in ("a.html", "b.html"):
        write(page, tmp_path / "deep" / name)
    a, b = ((tmp_path / "deep" / name).read_bytes() for name in ("a.html", "b.html"))
    assert a == b == render(central_page(result, [picture])).encode()
    monkeypatch.setattr("featlab.report.page.render", lambda _: "half\ud800")  # Cannot be written as UTF-8.
    with pytest.raises(UnicodeEncodeError):
        write(page, tmp_path / "deep" / "a.html")
    assert (tmp_path / "deep" / "a.html").read_bytes() == a
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["a.html", "b.html"]


def test_the_page_has_both_grounds_a_phone_and_print(result):
    html = render(central_page(result, []))
    for query in ("prefers-color-scheme: dark", "max-width: 46rem", "@media print"):
        assert query in html
    assert 'name="viewport"' in html
