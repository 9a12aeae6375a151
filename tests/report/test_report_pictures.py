"""Pictures are enlarged without blur, refuse what is no picture, and draw gradients with one scale."""

import base64
import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from featlab.report import Picture, saliency_images, saliency_scale, save_png, to_png
from featlab.report.pictures import COLD, GAP, HOT, LABEL_HEIGHT, NOTE_HEIGHT, WIDEST, data_uri, shrunk, slug, zoom_to


def decode(png):
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return image.copy()


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_each_pixel_becomes_a_square_and_pads_stand_between(channels, mode):
    torch.manual_seed(0)
    images = torch.rand(3, channels, 4, 5)
    shown = decode(to_png(images, zoom=3, pad=2))
    assert shown.mode == mode
    assert shown.size == (3 * 15 + 2 * 2, 12)
    bytes_of = (images * 255).round().int()
    for n in range(3):
        for y in range(12):
            for x in range(15):
                expected = tuple(bytes_of[n, :, y // 3, x // 3].tolist())
                came = shown.getpixel((n * 17 + x, y))
                assert (came if channels == 3 else (came,)) == expected
    assert shown.getpixel((15, 5)) in (255, (255, 255, 255))


@given(st.integers(0, 255))
def test_every_byte_comes_back(value):
    image = torch.full((1, 1, 1, 1), value / 255)
    assert decode(to_png(image)).getpixel((0, 0)) == value


def test_half_precision_and_transposed_memory_are_drawn_the_same():
    images = (torch.arange(2 * 3 * 4 * 4) % 2).reshape(2, 3, 4, 4).float()
    expected = to_png(images, zoom=2)
    assert to_png(images.bfloat16(), zoom=2) == expected
    assert to_png(images.to(memory_format=torch.channels_last), zoom=2) == expected


def test_the_zoom_is_whole_and_large_enough():
    assert [zoom_to(torch.zeros(1, 1, side, side)) for side in (28, 32, 84, 224)] == [3, 3, 1, 1]


def test_large_images_are_shrunk_by_averages_and_small_ones_stay():
    small = torch.rand(2, 3, WIDEST, WIDEST)
    assert shrunk(small) is small
    stripes = torch.zeros(1, 1, 2 * WIDEST, WIDEST)
    stripes[..., ::2, :] = 1  # Thinned out without averages they would become one of the two colours.
    found = shrunk(stripes)
    assert found.shape == (1, 1, WIDEST, WIDEST // 2)
    torch.testing.assert_close(found[..., 2:-2, :], torch.full_like(found[..., 2:-2, :], 0.5), atol=0.01, rtol=0)


def test_a_data_uri_holds_the_file():
    png = to_png(torch.zeros(1, 1, 2, 2))
    assert base64.b64decode(data_uri(png).removeprefix("data:image/png;base64,"), validate=True) == png


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (torch.zeros(2, 28, 28), "shape"),
        (torch.zeros(2, 2, 4, 4), "1 or 3"),
        (torch.zeros(0, 1, 4, 4), "at least one"),
        (torch.full((1, 1, 2, 2), 1.5), r"\[0, 1\]"),
        (torch.full((1, 1, 2, 2), float("nan")), r"\[0, 1\]"),
        (torch.zeros(1, 1, 2, 2, dtype=torch.uint8), "floating"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(images, match):
    with pytest.raises(ValueError, match=match) as error:
        Picture("Title", "c", (("the row", images),))
    assert "'the row' of picture 'Title'" in str(error.value)
    with pytest.raises(ValueError, match=match):
        to_png(images)


def test_rows_columns_and_notes_must_fit():
    two, three = torch.zeros(2, 1, 2, 2), torch.zeros(3, 1, 2, 2)
    with pytest.raises(ValueError, match=r"one length, got \[2, 3\]"):
        Picture("t", "c", (("a", two), ("b", three)))
    with pytest.raises(ValueError, match=r"one length, got \[1, 2\]"):
        Picture("t", "c", (("a", two),), ("only",))
    with pytest.raises(ValueError, match="no rows"):
        Picture("t", "c", ())
    for notes in ((("one",),), ((), ()), (("x", "y", "z"),)):
        with pytest.raises(ValueError, match="notes of picture"):
            Picture("t", "c", (("a", two),), (), notes)
    assert Picture("t", "c", (("a", two),), (), (("x", "y"),)).notes_of(0) == ("x", "y")
    assert Picture("t", "c", (("a", two),)).notes_of(0) == ()


def test_a_sheet_has_every_row_and_is_the_same_each_time(picture, tmp_path):
    path = save_png(picture, tmp_path / "images")
    assert path == tmp_path / "images" / "a-grid.png"
    assert list(path.parent.iterdir()) == [path]
    shown = decode(path.read_bytes())
    assert shown.size == (2 * 84 + GAP + 2 * GAP, 2 * (LABEL_HEIGHT + 84 + NOTE_HEIGHT + GAP) + GAP)
    last = picture.rows[1][1][1, :, 27, 27]
    corner = (shown.width - GAP - 1, shown.height - GAP - NOTE_HEIGHT - 1)
    assert shown.getpixel(corner) == tuple((last * 255).round().int().tolist())
    label = shown.crop((GAP, GAP, 80, GAP + LABEL_HEIGHT)).convert("L")
    assert label.getextrema()[0] < 128, "the label of the first row is not drawn"
    for top in (GAP + LABEL_HEIGHT + 84, shown.height - GAP - NOTE_HEIGHT):  # The columns' names, and the last notes.
        for left in (GAP, GAP + 84 + GAP):
            assert shown.crop((left, top, left + 84, top + NOTE_HEIGHT)).convert("L").getextrema()[0] < 128
    before = path.read_bytes()
    assert save_png(picture, tmp_path / "images").read_bytes() == before


def test_a_failed_save_leaves_the_old_sheet(picture, tmp_path, monkeypatch):
    path = save_png(picture, tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr("featlab.report.pictures.sheet", lambda _: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        save_png(picture, tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@given(st.text(max_size=80))
def test_names_of_files_cannot_leave_their_folder(title):
    name = slug(title)
    assert name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_saliency_has_one_scale_for_the_whole_row():
    grads = torch.tensor([8.0, 4.0, -8.0, -2.0, 0.0]).reshape(5, 1, 1, 1)
    shown = saliency_images(grads)[:, :, 0, 0]
    hot, cold = torch.tensor(HOT) / 255, torch.tensor(COLD) / 255
    expected = torch.stack([hot, (1 + hot) / 2, cold, 0.75 + cold / 4, torch.ones(3)])
    assert torch.allclose(shown, expected, atol=1e-6)
    # Alone, each of them would have its own scale: the second image does depend on the first.
    assert torch.allclose(saliency_images(grads[1:2])[0, :, 0, 0], hot, atol=1e-6)


def test_saliency_is_of_the_channel_with_the_largest_size():
    grads = torch.tensor([1.0, -4.0, 2.0]).reshape(1, 3, 1, 1)
    assert torch.allclose(saliency_images(grads)[0, :, 0, 0], torch.tensor(COLD) / 255, atol=1e-6)


@given(st.floats(1e-30, 1e30))
def test_saliency_does_not_depend_on_the_unit_of_the_gradient(factor):
    grads = torch.linspace(-1, 1, 18, dtype=torch.float64).reshape(2, 1, 3, 3)
    assert torch.allclose(saliency_images(grads * factor), saliency_images(grads), atol=1e-6)


def test_a_given_scale_clips_and_a_quantile_is_a_value_that_occurs():
    grads = torch.arange(1.0, 101).reshape(1, 1, 10, 10) * torch.tensor([1.0, -1.0]).repeat(5)
    assert saliency_scale(grads) == 100
    assert saliency_scale(grads, quantile=0.95) == 95
    assert saliency_scale(grads, quantile=1e-9) == 1
    shown = saliency_images(grads, scale=50.0)
    beyond = shown[0, :, 5:, ::2].reshape(3, -1)
    assert torch.allclose(beyond, (torch.tensor(HOT) / 255)[:, None].expand_as(beyond), atol=1e-6)


def test_zero_gradients_are_white_and_bad_ones_are_refused():
    assert torch.equal(saliency_images(torch.zeros(2, 3, 4, 4)), torch.ones(2, 3, 4, 4))
    with pytest.raises(ValueError, match="finite"):
        saliency_images(torch.full((1, 1, 2, 2), float("inf")))
    with pytest.raises(ValueError, match="shape"):
        saliency_images(torch.zeros(2, 4, 4))
    with pytest.raises(ValueError, match="scale must be > 0"):
        saliency_images(torch.ones(1, 1, 2, 2), scale=0.0)
    with pytest.raises(ValueError, match="quantile"):
        saliency_scale(torch.ones(1, 1, 2, 2), quantile=0.0)
