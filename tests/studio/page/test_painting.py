"""Painting in the browser: frames stream in, the class grows, stop, undo, export, and the same image again."""

import json

import pytest
import torch

from featlab.cli import main
from featlab.painting import Area

DRESS = 3


def painted(hand, *points, target=DRESS, radius=6):
    """Paint a class between the legs of the first sample, a pair of trousers, until it is done."""
    before = int(hand.page.locator("body").get_attribute("data-moment"))
    hand.page.click(f".class-button[data-class='{target}']")
    hand.set("radius", radius)
    hand.draw(*(points or [(13, 8), (14, 24)]))
    hand.rest(before + 1)


def test_a_stroke_streams_and_is_stopped_undone_exported_and_painted_again(hand, tmp_path):
    first, dress = hand.pixels(), hand.share("Dress")
    painted(hand)
    assert hand.frames >= 10
    assert hand.share("Dress") > dress + 0.4
    once, share = hand.pixels(), hand.share("Dress")
    assert once != first

    hand.set("steps", 2000)
    hand.page.click(".class-button[data-class='8']")
    hand.draw((5, 5), (22, 5))
    seen = hand.frames
    hand.page.wait_for_selector(f"body:not([data-frames='{seen}'])")
    hand.page.click("#run")
    hand.rest(2)
    twice = hand.pixels()

    png, strokes = hand.saved("save-png", tmp_path), hand.saved("save-strokes", tmp_path)
    painting = json.loads(strokes.read_text())
    assert [stroke["target"] for stroke in painting["strokes"]] == [{"class": DRESS}, {"class": 8}]
    assert painting["strokes"][0]["steps"] == 60
    assert 0 < painting["strokes"][1]["steps"] < 2000
    again = tmp_path / "again.png"
    with pytest.raises(SystemExit) as leave:
        main(["paint", "--strokes", str(strokes), "--out", str(again)])
    assert leave.value.code == 0
    assert again.read_bytes() == png.read_bytes()

    hand.page.click("#undo")
    hand.rest(1)
    assert hand.pixels() == once
    assert hand.share("Dress") == share
    hand.page.keyboard.press("Control+z")
    hand.rest(0)
    assert hand.pixels() == first
    hand.page.locator(".moment").nth(2).click()
    hand.rest(2)
    assert hand.pixels() == twice


def test_saved_strokes_are_opened_to_the_same_image(hand, tmp_path):
    hand.set("seed", 7)
    painted(hand)
    image, strokes = hand.pixels(), hand.saved("save-strokes", tmp_path)
    hand.page.reload()
    hand.page.wait_for_selector("body.ready")
    hand.page.set_input_files("#open-file", strokes)
    hand.rest(1)
    hand.page.wait_for_selector(".moment[aria-current] >> text=Dress")
    hand.page.wait_for_selector(".stage.main .stage-answer >> text=Dress")
    assert hand.pixels() == image
    assert json.loads(hand.saved("save-strokes", tmp_path).read_text()) == json.loads(strokes.read_text())

    for text, sentence in (("not JSON", "The file is not JSON"), ("{}", "The file is not a painting")):
        file = {"name": "a.json", "mimeType": "application/json", "buffer": text.encode()}
        hand.page.set_input_files("#open-file", file)
        hand.page.wait_for_selector(f".toast >> text={sentence}")
    assert hand.pixels() == image


def test_two_models_show_the_same_strokes_side_by_side(hand):
    painted(hand)
    hand.page.select_option("#beside", "zoo:fashion-standard")
    hand.page.wait_for_selector(".stage.beside .stage-answer:not(:empty)")
    assert hand.pixels("beside") != hand.pixels()  # Replayed on the other net.
    painted(hand, (8, 3), (20, 3), target=0)
    assert len(hand.page.locator(".classes-said .share.beside:not(:empty)").all()) == 10
    later = hand.pixels(), hand.pixels("beside")
    hand.page.click("#undo")
    hand.rest(1)
    hand.page.click("#redo")
    hand.rest(2)
    assert (hand.pixels(), hand.pixels("beside")) == later


def test_the_eraser_brings_back_what_was_there(hand):
    first = hand.pixels()
    painted(hand)
    assert hand.pixels() != first
    hand.page.click("[data-tool=eraser]")
    hand.set("softness", 0)
    hand.set("radius", 11)
    hand.draw((7, 2), (21, 2), (21, 26), (7, 26), (7, 2))
    hand.rest(2)
    assert hand.pixels() == first


def test_the_image_before_is_uncovered_by_the_slider(hand):
    painted(hand)
    hand.page.mouse.move(0, 0)
    after = hand.seen()
    hand.set("uncover", 100)
    before = hand.seen()
    hand.set("uncover", 0)
    assert hand.seen() == after != before
    hand.page.click("#undo")
    hand.rest(0)
    assert hand.seen() == before


def test_a_run_stops_when_the_hand_lets_go_and_waits_for_run_where_it_is_asked_to(hand, tmp_path):
    hand.set("steps", 2000)
    hand.page.check("#hold")
    hand.page.click(".class-button[data-class='3']")
    hand.draw((13, 8), (14, 24), hold=400)
    hand.rest(1)
    steps = json.loads(hand.saved("save-strokes", tmp_path).read_text())["strokes"][0]["steps"]
    assert 0 < steps < 2000
    hand.page.uncheck("#live")
    hand.set("steps", 5)
    frames = hand.frames
    hand.draw((4, 4), (24, 4))
    hand.page.wait_for_selector("#status >> text=Press Run")
    assert hand.frames == frames
    hand.page.keyboard.press("Enter")
    hand.rest(2)
    assert json.loads(hand.saved("save-strokes", tmp_path).read_text())["strokes"][1]["steps"] == 5


ALPHA = """canvas => {
    const side = canvas.width / 28, middle = (i) => Math.floor((i + 0.5) * side);
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const alpha = (y, x) => pixels[4 * (middle(y) * canvas.width + middle(x)) + 3];
    return [...Array(784).keys()].map((i) => alpha(Math.floor(i / 28), i % 28));
}"""
"""How opaque what lies over the image is, in the middle of each of its pixels."""


@pytest.mark.parametrize(("tool", "softness"), [("brush", 0.5), ("brush", 0), ("rectangle", 0.4)])
def test_the_tint_shows_the_mask_that_python_draws(hand, tool, softness, tmp_path):
    hand.page.uncheck("#live")
    hand.page.click(f"[data-tool={tool}]")
    hand.set("softness", softness)
    hand.set("radius", 4.5)
    hand.draw((8, 9), (15, 16), (20, 14))
    hand.page.mouse.move(0, 0)
    hand.page.wait_for_timeout(60)
    tint = torch.tensor(hand.page.locator(".over").first.evaluate(ALPHA)).reshape(28, 28)
    hand.page.click("#run")
    hand.rest(1)
    (stroke,) = json.loads(hand.saved("save-strokes", tmp_path).read_text())["strokes"]
    area = Area(tool, tuple(map(tuple, stroke["points"])), stroke["radius"], stroke["softness"])
    mask = area.mask(28, 28)[0, 0]
    assert 0 < mask.mean() < 0.5
    torch.testing.assert_close(tint / 125.0, mask, atol=0.01, rtol=0)


def test_a_second_stroke_waits_for_the_first_which_is_kept(hand, tmp_path):
    hand.set("steps", 150)
    hand.page.click(".class-button[data-class='3']")
    hand.draw((13, 8), (14, 24))
    hand.page.wait_for_selector("#status >> text=/^Step [1-9]/")
    hand.draw((5, 5), (22, 5))
    hand.rest(2)
    steps = [stroke["steps"] for stroke in json.loads(hand.saved("save-strokes", tmp_path).read_text())["strokes"]]
    assert len(steps) == 2
    assert 0 < steps[0] < 150 == steps[1]


def test_a_rectangle_drawn_at_once_is_a_stroke_of_its_own(hand, tmp_path):
    hand.set("steps", 5)
    painted(hand)
    hand.page.click("[data-tool=rectangle]")
    hand.page.mouse.move(*hand.place((3, 3)))
    hand.page.mouse.down()
    hand.page.mouse.move(*hand.place((9, 12)))
    hand.page.mouse.up()
    hand.rest(2)
    tools = [stroke["tool"] for stroke in json.loads(hand.saved("save-strokes", tmp_path).read_text())["strokes"]]
    assert tools == ["brush", "rectangle"]
