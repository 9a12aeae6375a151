"""The parts of the page: neurons, patches, tasks with their forms, keys, touch, names for screen readers."""

import json

import pytest

from studio_page import asked


def strokes(hand, folder):
    return json.loads(hand.saved("save-strokes", folder).read_text())["strokes"]


def test_a_neuron_is_chosen_by_its_picture_and_painted(hand, tmp_path):
    hand.page.click("#tab-unit")
    hand.page.wait_for_selector(".units.few .unit img.there")
    hand.page.click("text=Gallery of neurons")
    hand.page.locator(".units.all .unit").nth(9).click()
    assert not hand.page.locator("#gallery").is_visible()
    assert hand.page.locator(".chosen-unit strong").inner_text() == "penultimate:9"
    hand.set("steps", 10)
    hand.draw((6, 14), (22, 14))
    hand.rest(1)
    assert strokes(hand, tmp_path)[0]["target"] == {"unit": "penultimate:9"}
    assert float(hand.page.locator(".facts dd").first.inner_text()) > 0
    hand.page.select_option("#layer", "layer2.relu")
    hand.page.wait_for_selector("[data-unit='layer2.relu:5'] img.there >> nth=0", state="attached")


def test_a_patch_of_another_image_is_painted(hand, tmp_path):
    hand.page.click("#tab-patch")
    hand.draw((6, 14), (22, 14))
    hand.page.wait_for_selector(".toast >> text=Choose a patch to paint.")
    hand.page.click("text=Another…")
    hand.page.click(".tile[data-index='6']")
    hand.page.wait_for_selector(".patch-board .box")
    for side, value in zip(("left", "top", "right", "bottom"), (4, 6, 20, 24)):
        hand.page.fill(f"[aria-label='{side} of the box']", str(value))
        hand.page.keyboard.press("Tab")
    hand.draw((6, 14), (22, 14))
    hand.rest(1)
    wanted = {"image": {"kind": "sample", "data": "fashion-mini", "index": 6}, "box": [4, 6, 20, 24]}
    assert strokes(hand, tmp_path)[0]["target"] == {"reference": wanted}


def test_a_task_of_another_distribution_has_a_form_and_runs(hand, tmp_path):
    hand.page.click("#tab-task")
    hand.page.select_option("#task", "wash")
    form = hand.page.locator("#task-options")
    assert form.locator("h2").inner_text() == "Options of wash"
    assert form.locator(".field > label").all_inner_texts() == ["Within", "Mood", "Amount", "Both", "Range", "Steps"]
    assert form.locator("[name=mood] option").all_inner_texts() == ["calm", "bright"]
    assert form.locator("[name=amount]").get_attribute("placeholder") == "0.5"
    form.locator("[name=mood]").select_option("bright")
    form.locator("[name=amount]").fill("3/4")
    form.locator("[name=both]").check()
    form.locator("[name=range_]").fill("0:1/2")
    form.locator("select").first.select_option("linf")
    before = sum(hand.pixels())
    hand.page.click("#run")
    hand.rest(1)
    assert sum(hand.pixels()) > before
    (stroke,) = strokes(hand, tmp_path)
    options = {"within": "linf:eps=0.1", "mood": "bright", "amount": "3/4", "both": True, "range_": "0:1/2"}
    assert (stroke["task"], stroke["options"], stroke["steps"]) == ("wash", options, 12)

    form.locator("[name=amount]").fill("much")
    hand.page.click("#run")
    hand.page.wait_for_selector(".toast >> text=amount")
    hand.rest(1)


def test_every_task_appears(hand, address):
    names = hand.page.locator("#task option").all_inner_texts()
    assert names == [task["name"] for task in asked(address, "/api/state")["tasks"]]
    assert {"wash", "visualize", "invert", "large-eps"} <= set(names)


def test_painting_by_keys_alone(hand, tmp_path):
    page = hand.page
    page.focus(".stage.main .board")
    page.keyboard.press("r")
    assert page.locator("[data-tool=rectangle]").get_attribute("aria-checked") == "true"
    page.keyboard.press("b")
    for key in ("ArrowLeft", "ArrowLeft", "Shift+ArrowUp"):
        page.keyboard.press(key)
    page.keyboard.down(" ")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.up(" ")
    hand.rest(1)
    (stroke,) = strokes(hand, tmp_path)
    assert stroke["points"] == [[12, 10], [12, 14]]
    page.focus(".class-button[aria-checked=true]")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.getAttribute('aria-checked')") == "true"


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize("hand", [PHONE], indirect=True)
def test_painting_by_touch_on_a_narrow_screen(hand):
    board = hand.page.locator(".stage.main .board")
    board.scroll_into_view_if_needed()
    hand.page.touchscreen.tap(*hand.place((14, 14)))
    hand.rest(1)
    assert hand.frames >= 1
    assert hand.page.evaluate("document.documentElement.scrollWidth") == 390


UNNAMED = """() => [...document.querySelectorAll("button, input, select, section, dialog, [role=application]")]
    .filter((each) => {
        const labels = [...each.labels ?? []].map((label) => label.textContent);
        const titles = (each.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id));
        const names = [each.getAttribute("aria-label"), ...labels, ...titles.map((title) => title?.textContent)];
        return ![...names, each.matches("button") ? each.textContent : ""].some((name) => name?.trim());
    }).map((each) => each.id || each.outerHTML.slice(0, 120))"""


def test_everything_that_can_be_used_has_a_name(hand):
    hand.page.click("#tab-unit")
    hand.page.click("#choose-image")
    hand.page.wait_for_selector(".tile")
    hand.page.keyboard.press("Escape")
    hand.page.click("#tab-patch")
    hand.page.click("#tab-task")
    for name in hand.page.locator("#task option").all_inner_texts():
        hand.page.select_option("#task", name)
        assert hand.page.evaluate(UNNAMED) == ["open-file"]  # Hidden; the button Open has the name.
