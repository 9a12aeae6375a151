"""Charts are well-formed, put values where they belong, and say what they show."""

import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featlab.evaluation import Accuracy
from featlab.report import svg
from featlab.report.charts import NARROW, WIDE, Dot, Dots, Lines, Series

NS = "{http://www.w3.org/2000/svg}"


def found(value, n=100):
    return Accuracy(value, max(0.0, value - 0.05), min(1.0, value + 0.04), n)


def lines(*series, **more):
    return Lines("name", "Title", "Description.", tuple(series), "eps (l2)", **more)


def points(polyline):
    return [tuple(map(float, pair.split(","))) for pair in polyline.get("points").split()]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_lines_and_bands_are_affine_in_eps_and_accuracy(width):
    curve = tuple((eps, found(value)) for eps, value in ((0.0, 0.9), (0.5, 0.6), (2.0, 0.1)))
    chart = ET.fromstring(lines(Series("net", curve, 0)).svg(width))
    circles = chart.findall(f"{NS}circle")[1:]  # The first is the one in the legend.
    x, y = ([float(each.get(key)) for each in circles] for key in ("cx", "cy"))
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(0.25, abs=1e-3)
    assert (y[1] - y[0]) / (y[2] - y[0]) == pytest.approx(3 / 8, abs=1e-3)
    assert y == sorted(y), "less accuracy stands lower"
    band = points(chart.find(f"{NS}polygon"))
    assert len(band) == 6
    for (at_x, low), (_, high), middle in zip(band[:3], band[:2:-1], zip(x, y)):
        assert at_x == pytest.approx(middle[0])
        assert high < middle[1] < low
    unit = (y[2] - y[0]) / 0.8
    assert band[0][1] - y[0] == pytest.approx(0.05 * unit, abs=0.02)


def test_marks_differ_in_shape_and_colour_and_tell_their_numbers():
    curve = tuple((eps, found(0.5)) for eps in (0.0, 1.0))
    drawn = lines(*(Series(name, curve, at) for at, name in enumerate("abcd"))).svg(WIDE)
    chart = ET.fromstring(drawn)
    marks = [
        each for each in chart if each.tag in (f"{NS}circle", f"{NS}polygon") and each.find(f"{NS}title") is not None
    ]
    assert len(marks) == 8
    assert len({each.get("style") for each in marks}) == 4
    assert len({(each.tag, len(each.get("points", "").split())) for each in marks}) == 3  # Square and diamond have 4.
    assert "c, eps (l2) 1: 50.0% (45.0%" in drawn
    assert "n = 100" in drawn


def test_a_chart_says_what_it_shows_to_those_who_do_not_see_it():
    chart = ET.fromstring(lines(Series("net", ((0.0, found(0.5)),), 0)).svg(WIDE))
    names = chart.get("aria-labelledby").split()
    said = [next(each for each in chart if each.get("id") == name).text for name in names]
    assert said == ["Title", "Description."]
    assert chart.get("role") == "img"


def test_a_dot_stands_at_its_value_between_its_whiskers_and_chance_where_it_is():
    dots = (Dot("fresh net", found(0.5), 2), Dot("control", found(0.1), 4, hollow=True))
    chart = ET.fromstring(Dots("n", "t", "d", (("D_rand", dots),), "accuracy", 0.1).svg(WIDE))
    circle, diamond = chart.find(f"{NS}circle"), chart.find(f"{NS}polygon")
    corners = points(diamond)
    control = (min(x for x, _ in corners) + max(x for x, _ in corners)) / 2
    chance = next(points(each)[0][0] for each in chart.findall(f"{NS}polyline") if each.get("stroke-dasharray"))
    assert control == pytest.approx(chance, abs=0.02)
    whisker = next(points(each) for each in chart.findall(f"{NS}polyline") if "width:3" in each.get("style"))
    unit = (float(circle.get("cx")) - control) / 0.4
    assert whisker[1][0] - float(circle.get("cx")) == pytest.approx(0.04 * unit, abs=0.05)
    assert float(circle.get("cx")) - whisker[0][0] == pytest.approx(0.05 * unit, abs=0.05)


def test_without_chance_no_line_is_drawn():
    chart = ET.fromstring(Dots("n", "t", "d", (("g", (Dot("a", found(0.5), 2),)),), "accuracy").svg(WIDE))
    assert not [each for each in chart.iter() if each.get("stroke-dasharray")]
    assert "chance" not in "".join(chart.itertext())


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8),
    st.floats(1e-6, 1e6),
    st.sampled_from([WIDE, NARROW]),
    st.text(st.characters(blacklist_categories=("Cs", "Cc"))),
)
def test_everything_is_drawn_inside_whatever_the_numbers(values, scale, width, label):
    curve = tuple((scale * at, found(value)) for at, value in enumerate(values))
    dots = tuple(Dot(label, each, 0) for _, each in curve)
    for drawn in (
        lines(Series(label, curve, 0), verticals=((scale * (len(values) - 1), "mark"),)).svg(width),
        Dots("n", "t", "d", (("group", dots),), "x", 0.1).svg(width),
    ):
        chart = ET.fromstring(drawn)
        _, _, right, bottom = map(float, chart.get("viewBox").split())
        for each in chart.iter():
            places = points(each) if each.get("points") else []
            places += [(float(each.get(a)), float(each.get(b))) for a, b in (("cx", "cy"), ("x", "y")) if each.get(a)]
            assert all(0 <= x <= right and 0 <= y <= bottom for x, y in places), each.attrib


@given(st.floats(1e-3, 1e3), st.integers(2, 8))
def test_ticks_reach_the_end_with_round_steps(top, at_most):
    found = svg.ticks(top, at_most=at_most)
    assert found[0] == 0
    assert found[-1] >= top * (1 - 1e-6)
    assert len(found) <= at_most + 1
    step = found[1]
    assert found[-1] - step < top
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 6) in (1, 2, 5)


def test_labels_of_an_axis_do_not_run_into_each_other():
    kept = svg.thinned([(0, "0"), (3, "0.125"), (60, "0.25"), (62, "0.26")], room=6)
    assert kept == [(0, "0"), (60, "0.25")]


def test_empty_charts_are_refused():
    with pytest.raises(ValueError, match="line without points"):
        lines(Series("net", (), 0))
    with pytest.raises(ValueError, match="finite x"):
        lines(Series("net", ((float("nan"), found(0.5)),), 0))
    with pytest.raises(ValueError, match="group without values"):
        Dots("n", "t", "d", (("g", ()),), "x")
