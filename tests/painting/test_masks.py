"""Where a stroke is: masks against their formula, pixel by pixel."""

import math

import pytest
import torch

from featlab.painting import Area, Json, picture_of
from featlab.report.pictures import to_png


def from_line(x, y, points):
    """Return the distance from a polyline, one segment after the other, as the formula says it."""
    nearest = math.inf
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[-1]]):
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        along = min(1, max(0, ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length)) if length else 0
        nearest = min(nearest, math.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)))
    return nearest


@pytest.mark.parametrize("softness", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("points", [[(3.2, 4.1)], [(1, 1), (9, 4), (9, 4), (2, 10)], [(-20, 5), (30, 5)]])
@pytest.mark.parametrize("tool", ["brush", "eraser"])
def test_a_brush_fades_with_the_distance_from_its_line(tool, points, softness):
    mask = Area(tool, tuple(points), radius=2.5, softness=softness).mask(11, 13)
    assert mask.shape == (1, 1, 11, 13)
    assert mask.dtype == torch.float32
    for i in range(11):
        for j in range(13):
            inside, edge = 2.5 - from_line(j + 0.5, i + 0.5, points), softness * 2.5
            wanted = min(1, max(0, inside / edge)) if edge else float(inside >= 0)
            assert mask[0, 0, i, j] == pytest.approx(wanted, abs=1e-6)


def test_a_long_line_is_measured_in_pieces_like_a_short_one():
    turn = torch.linspace(0, 6.2, 200, dtype=torch.float64)
    points = tuple((14 + 9 * math.cos(t), 14 + 9 * math.sin(t)) for t in turn.tolist())
    whole = Area("brush", points, radius=2, softness=0.5).mask(28, 28)
    parts = [Area("brush", points[first : first + 2], radius=2, softness=0.5) for first in range(len(points) - 1)]
    assert torch.equal(whole, torch.stack([part.mask(28, 28) for part in parts]).amax(dim=0))


@pytest.mark.parametrize("corners", [((2, 3), (8, 9)), ((8, 9), (2, 3)), ((8, 3), (2, 9))])
def test_a_rectangle_is_the_same_from_any_corner(corners):
    hard = Area("rectangle", corners).mask(12, 12)
    wanted = torch.zeros(1, 1, 12, 12)
    wanted[:, :, 3:9, 2:8] = 1
    assert torch.equal(hard, wanted)
    soft = Area("rectangle", corners, softness=1.0).mask(12, 12)  # Its edge is half the side, 3 pixels wide.
    assert torch.equal(soft > 0, wanted > 0)
    assert soft[0, 0, 3, 5] == pytest.approx(0.5 / 3)
    assert soft[0, 0, 5, 5] == pytest.approx(2.5 / 3)


def test_everything_is_covered_by_all_and_a_mask_is_its_picture():
    assert torch.equal(Area("all").mask(4, 6), torch.ones(1, 1, 4, 6))
    shades = torch.linspace(0, 1, 24).reshape(1, 1, 4, 6)
    area = Area("mask", picture=picture_of(to_png(shades), (1, 4, 6)))
    assert torch.equal(area.mask(4, 6), (shades * 255).round() / 255)
    assert Area.read(Json("s", area.json()).record(optional=area.json())) == area


@pytest.mark.parametrize("area", [Area("brush", ((50, 50),)), Area("rectangle", ((1, 1), (1, 5)))])
def test_a_stroke_that_covers_nothing_is_refused(area):
    with pytest.raises(ValueError, match="covers no pixel of the 28 x 28 image"):
        area.mask(28, 28)
