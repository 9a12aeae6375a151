"""Every state of the page, wide and light, narrow and dark: it fits; the pictures of README.md are made here."""

import os
from pathlib import Path

import pytest

SCREENS = {
    "1280-light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "390-dark": {
        "viewport": {"width": 390, "height": 844},
        "color_scheme": "dark",
        "is_mobile": True,
        "has_touch": True,
        "device_scale_factor": 2,
    },
}


def states(hand):
    """Go through the states of the page; yield the name of each."""
    page = hand.page
    yield "start"
    page.click("#choose-image")
    page.click(".tile[data-index='11']")
    page.wait_for_selector("#image-name >> text=T-shirt")
    page.click(".class-button[data-class='2']")
    hand.set("radius", 4)
    for number, sleeve in enumerate((((4, 8), (3, 22)), ((24, 8), (25, 22))), start=1):
        hand.draw(*sleeve)
        hand.rest(number)
    page.select_option("#beside", index=1)
    page.wait_for_selector(".stage.beside .stage-answer:not(:empty)")
    page.evaluate("scrollTo(0, 0)")
    page.mouse.move(0, 0)
    yield "painted"
    page.click("#tab-unit")
    page.wait_for_selector(".units.few .unit img.there")
    page.locator(".units.few .unit").nth(5).click()
    yield "neuron"
    page.click("#tab-patch")
    page.click("text=This image")
    yield "patch"
    page.click("#tab-task")
    page.select_option("#task", "visualize")
    yield "task"
    page.click("#choose-image")
    page.wait_for_selector(".tile")
    yield "images"
    page.keyboard.press("Escape")
    page.click("#tab-unit")
    page.click("text=Gallery of neurons")
    page.wait_for_selector(".units.all .unit img.there")
    yield "gallery"
    page.keyboard.press("Escape")


@pytest.mark.parametrize(("screen", "hand"), SCREENS.items(), indirect=["hand"], ids=list(SCREENS))
def test_every_state_fits_the_screen(hand, screen, tmp_path):
    folder = Path(os.environ.get("FEATLAB_SCREENSHOTS", tmp_path))
    folder.mkdir(exist_ok=True)
    for state in states(hand):
        assert hand.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), state
        hand.page.screenshot(path=tmp_path / f"{state}.png")
    (picture,) = tmp_path.glob("painted.png")
    assert picture.stat().st_size < 300_000
    (folder / f"studio-{screen}.png").write_bytes(picture.read_bytes())
