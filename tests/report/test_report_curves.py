"""Curves: their places, their axes, and what they refuse."""

import re

import pytest

from featlab.report.curves import Curve, Curves


def chart(*series, **options):
    return Curves("name", "Title", "What it shows.", series, "x", "y", **options)


def lines(text):
    found = re.findall(r'<polyline points="([^"]+)"[^>]*stroke-width:2.2', text)
    return [[tuple(map(float, point.split(","))) for point in each.split()] for each in found]


def test_points_stand_where_the_axes_say():
    (line,) = lines(chart(Curve("a", ((0.0, -1.0), (1.0, 0.0), (2.0, 1.0)), 0)).svg(880))
    (x0, y0), (x1, y1), (x2, y2) = line
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.02)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.02)
    assert y0 > y2  # Up is more.


def test_a_logarithmic_axis_and_a_shape_of_one_scale():
    (line,) = lines(chart(Curve("a", ((1.0, 0.0), (10.0, 1.0), (100.0, 0.5)), 0), x_log=True).svg(360))
    assert line[1][0] - line[0][0] == pytest.approx(line[2][0] - line[1][0], abs=0.02)
    square = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))
    for width in (360, 880):
        (line,) = lines(chart(Curve("a", square, 0), even=True).svg(width))
        assert line[1][0] - line[0][0] == pytest.approx(line[1][1] - line[2][1], abs=0.05)


def test_curves_of_one_kind_have_one_entry_and_bands_are_drawn():
    text = chart(
        Curve("kind", ((0.0, 0.0), (1.0, 1.0)), 0, band=((0.0, 0.1), (0.9, 1.1))),
        Curve("kind", ((0.0, 1.0), (1.0, 0.0)), 0, dots=((1.0, 0.0, "the end"),)),
        verticals=((0.5, "here"),),
    ).svg(880)
    assert text.count(">kind</text>") == 1
    assert "fill-opacity" in text
    assert ">the end</title>" in text
    assert ">here</text>" in text


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="without points"):
        chart(Curve("a", (), 0))
    with pytest.raises(ValueError, match="x > 0"):
        chart(Curve("a", ((0.0, 1.0),), 0), x_log=True)
    with pytest.raises(ValueError, match="finite"):
        chart(Curve("a", ((0.0, float("nan")),), 0))
