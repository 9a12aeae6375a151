"""The scatter chart: points stand where they should, at both widths, and bad input is refused."""

from xml.etree import ElementTree

import pytest

from featlab.report.scatter import Group, Scatter, Spot

NS = "{http://www.w3.org/2000/svg}"


def chart(*groups, **options):
    return Scatter("s", "Title", "Description", groups, "across", "upwards", **options)


def spots(*places):
    return tuple(Spot(x, y, f"at {x} and {y}") for x, y in places)


@pytest.mark.parametrize("width", [880, 360])
def test_points_keep_their_order_and_stay_inside(width):
    drawn = chart(Group("one", spots((0.0, -1.0), (0.25, 0.5), (0.5, 1.0)), 0), Group("two", spots((0.3, 0.0)), 1))
    root = ElementTree.fromstring(drawn.svg(width))
    marks = {each.find(f"{NS}title").text: each for each in root if each.find(f"{NS}title") is not None}
    places = [marks[tip] for tip in ("at 0.0 and -1.0", "at 0.25 and 0.5", "at 0.5 and 1.0")]
    xs, ys = ([float(each.get(name)) for each in places] for name in ("cx", "cy"))
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)
    assert (xs[1] - xs[0]) == pytest.approx(xs[2] - xs[1], abs=0.02)
    height = float(root.get("viewBox").split()[3])
    assert all(0 < x < width for x in xs)
    assert all(0 < y < height for y in ys)
    texts = [each.text for each in root.iter(f"{NS}text")]
    assert {"one (3)", "two (1)", "across", "upwards", "0", "-1"} <= set(texts)


def test_the_diagonal_is_where_x_is_y():
    plain, crossed = (
        str(chart(Group("one", spots((0.0, 0.0), (1.0, 1.0)), 0), diagonal=each).svg(880)) for each in (False, True)
    )
    assert "stroke-dasharray" not in plain
    assert "stroke-dasharray" in crossed


def test_empty_and_infinite_charts_are_refused():
    with pytest.raises(ValueError, match="no points"):
        chart(Group("one", (), 0))
    with pytest.raises(ValueError, match="finite"):
        chart(Group("one", spots((0.0, float("nan"))), 0))
