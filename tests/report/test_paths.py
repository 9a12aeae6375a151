"""The path of a task as an animation, and its grid."""

import io
import itertools

import pytest
import torch
from PIL import Image

from featlab.report.paths import EACH, FRAMES, LAST, SHOWN, Film, grid


def plain(value, count=2, channels=1, side=8):
    return torch.full((count, channels, side, side), value)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_film_shows_start_and_result_and_lingers_on_the_last(channels):
    film = Film()
    for value in (0.0, 0.5, 1.0):
        film.add(plain(value, channels=channels))
    with Image.open(io.BytesIO(film.webp(plain(0.25, channels=channels)))) as shown:
        assert shown.format == "WEBP"
        assert shown.n_frames == 4
        greys, times = [], []
        for place in range(4):
            shown.seek(place)
            shown.load()
            greys.append(shown.convert("L").getpixel((3, 3)))
            times.append(shown.info["duration"])
    assert greys == pytest.approx([0, 128, 255, 64], abs=6)
    assert times == [EACH, EACH, EACH, LAST]


def test_long_paths_are_thinned_out_evenly_and_only_some_images_are_held():
    film = Film()
    for number in range(1000):
        film.add(plain(number / 999, count=20))
        assert len(film.frames) < 2 * FRAMES
    assert len(film.frames[0]) == SHOWN
    values = [int(frame[0, 0, 0, 0]) for frame in film.frames]
    gaps = {after - before for before, after in itertools.pairwise(values)}
    assert values[0] == 0
    assert max(gaps) - min(gaps) <= 1
    with Image.open(io.BytesIO(film.webp(plain(1.0, count=20)))) as shown:
        assert shown.n_frames <= FRAMES + 1


def test_a_grid_has_notes_under_the_result_and_a_row_for_each_path():
    picture = grid("task", [("start", plain(0.0, 15)), ("result", plain(1.0, 15))], notes=[str(i) for i in range(15)])
    assert [len(images) for _, images in picture.rows] == [SHOWN, SHOWN]
    assert picture.notes_of(0) == ()
    assert picture.notes_of(1)[-1] == "11"
    paths = grid("task", [("start", plain(0.0, 2)), ("result", torch.arange(6).reshape(6, 1, 1, 1) / 6)])
    assert [label for label, _ in paths.rows] == ["result 1", "result 2"]
    assert paths.rows[1][1].flatten().tolist() == pytest.approx([3 / 6, 4 / 6, 5 / 6])
