"""The socket: orders and their frames, stop, undo, replays to the byte, and everything that is refused."""

import base64
import io
import json
import time

import pytest
import torch
from PIL import Image

import featlab as fl
from featlab.painting import Json, Painting, replay
from featlab.report.pictures import to_png

from studio_cases import ERASER, ROBUST, STANDARD, Page, painting, stroke


@pytest.fixture
def room(studio):
    return studio()


@pytest.fixture
def page(room):
    with room.socket() as socket:
        yield Page(socket)


def replayed(painted, models):
    read = Painting.read(Json("p", painted))
    return to_png(replay(read, models[read.model]))


def test_a_run_streams_frames_and_ends_with_its_stroke(page, models):
    page.send("run", models=[ROBUST], painting=painting(), stroke=stroke(), steps=12)
    frames, (done,) = page.until_done()
    assert frames[0]["number"] == 0
    numbers = [frame["number"] for frame in frames]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 12
    assert [frame["last"] for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert {frame["of"] for frame in frames} == {12}
    bag = [frame["probabilities"][8] for frame in frames]
    assert bag[-1] > 5 * bag[0]
    assert all(abs(sum(frame["probabilities"]) - 1) < 1e-4 for frame in frames)
    assert frames[-1]["activation"] > frames[0]["activation"]
    assert frames[-1]["score"] > frames[0]["score"]
    assert frames[0]["change"] == 0 < frames[-1]["change"] <= 7
    assert done == {
        "type": "done",
        "job": "a",
        "model": ROBUST,
        "stroke": Painting.read(Json("p", painting(stroke(steps=12)))).strokes[0].json(),
        "strip": None,
    }


def test_frames_are_pictures_and_the_last_is_the_replay_to_the_byte(room, page, models):
    page.send("run", models=[ROBUST], painting=painting(), stroke=stroke(), steps=9)
    frames, (done,) = page.until_done()
    for frame in frames:
        picture = Image.open(io.BytesIO(frame["picture"]))
        assert (picture.format, picture.size) == ("PNG", (28, 28))
        assert (frame["width"], frame["height"], frame["format"]) == (28, 28, "png")
    whole = painting(done["stroke"], ERASER)
    page.send("show", models=[ROBUST], painting=whole)
    (shown,), (over,) = page.until_done()
    assert over["stroke"] is None
    assert shown["last"]
    assert frames[-1]["picture"] == replayed(painting(done["stroke"]), models)
    assert shown["picture"] == replayed(whole, models)
    assert room.client.post("/api/paintings/png", json=whole).content == shown["picture"]


def test_stop_gives_the_true_number_of_steps_and_their_image(page, models):
    page.send("run", models=[ROBUST], painting=painting(), stroke=stroke(), steps=2000)
    for _ in range(4):
        page.ack(page.next())
    page.send("stop")
    frames, (done,) = page.until_done()
    ran = done["stroke"]["steps"]
    assert 2 < ran < 2000
    assert frames[-1]["number"] == ran
    assert frames[-1]["picture"] == replayed(painting(done["stroke"]), models)


def test_two_models_are_stopped_after_the_same_step(page, models):
    page.send("run", models=[ROBUST, STANDARD], painting=painting(), stroke=stroke(), steps=2000)
    for _ in range(6):
        page.ack(page.next())
    page.send("stop")
    frames, words = page.until_done(2)
    assert [word["model"] for word in words] == [ROBUST, STANDARD] or [word["model"] for word in words] == [
        STANDARD,
        ROBUST,
    ]
    first, second = (word["stroke"] for word in words)
    assert first == second
    for model in (ROBUST, STANDARD):
        last = [frame for frame in frames if frame["model"] == model][-1]
        assert last["last"]
        assert last["picture"] == replayed(painting(first, model=model), models)


def test_without_an_ack_there_is_one_frame_and_then_the_newest(page):
    page.send("run", models=[ROBUST], painting=painting(), stroke=stroke(), steps=15)
    first = page.next()
    assert (first["number"], first["last"]) == (0, False)
    deadline = time.monotonic() + 20
    while page_running(page) and time.monotonic() < deadline:
        time.sleep(0.05)
    page.ack(first)
    last = page.next()
    assert (last["number"], last["last"]) == (15, True)
    assert page.next()["type"] == "done"


def page_running(page):
    return page.room.api.jobs.running


@pytest.fixture(autouse=True)
def known_room(room, page):
    page.room = room


def test_the_next_stroke_begins_where_the_last_one_ended_and_undo_goes_back(page, models):
    page.send("run", models=[ROBUST], painting=painting(), stroke=stroke(), steps=5)
    before, (first,) = page.until_done()
    unit = stroke(target={"unit": "penultimate:3"}, tool="rectangle", points=[[3, 3], [12, 12]])
    page.send("run", "b", models=[ROBUST], painting=painting(first["stroke"]), stroke=unit, steps=4)
    frames, (second,) = page.until_done()
    assert frames[0]["picture"] == before[-1]["picture"]
    assert frames[-1]["picture"] == replayed(painting(first["stroke"], second["stroke"]), models)
    for strokes in ([first["stroke"]], [], [first["stroke"], second["stroke"]]):
        page.send("show", "undo", models=[ROBUST], painting=painting(*strokes))
        (shown,), _ = page.until_done()
        assert shown["picture"] == replayed(painting(*strokes), models)


def test_remembering_changes_no_byte(studio, models):
    whole = painting(stroke(steps=4), ERASER, stroke(steps=3, target={"class": 2}))
    answers = set()
    for remembered in (0, 4 * 784, 10**6):
        room = studio(remembered_bytes=remembered)
        for _ in range(2):
            answers.add(room.client.post("/api/paintings/png", json=whole).content)
    assert answers == {replayed(whole, models)}


def test_an_eraser_is_one_frame(page):
    page.send("run", models=[ROBUST], painting=painting(stroke(steps=3)), stroke=ERASER, steps=50)
    frames, (done,) = page.until_done()
    assert frames[-1]["number"] == 0
    assert frames[-1]["activation"] is None
    assert frames[-1]["score"] is None
    assert "steps" not in done["stroke"]


def test_any_task_runs_on_the_image(page, models):
    task = {"tool": "all", "task": "interpolate", "options": {"steps": 3, "points": 4}, "points": []}
    reference = {"image": {"kind": "sample", "data": "fashion-mini", "index": 3}, "box": [0, 0, 28, 28]}
    page.send(
        "run", models=[ROBUST], painting=painting(), stroke={**task, "target": {"reference": reference}}, steps=50
    )
    frames, (done,) = page.until_done()
    assert (frames[-1]["number"], frames[-1]["of"]) == (3, 3)
    strip = Image.open(io.BytesIO(base64.b64decode(done["strip"])))
    assert strip.size == (4 * 28, 28)
    assert frames[-1]["picture"] == replayed(painting(done["stroke"]), models)


def brighter(model, images, *, by: float = 0.1, steps: int = 3):
    """Move images to white; a plugin's task."""
    return fl.Problem(lambda x: x.flatten(1).sum(dim=1), images, fl.threat_model("linf", eps=by), steps, by / steps)


@pytest.fixture
def plugged(monkeypatch):
    """Install a plugin with tasks of a test's own."""

    def plug(**tasks):
        from dataclasses import replace

        from featlab.plugins import Entry, Offer, registry

        whole = registry()
        offers = [Offer("tasks", Entry(name, make, "a task"), whole.providers[0]) for name, make in tasks.items()]
        for place in ("featlab.plugins.registry", "featlab.studio.catalog.registry"):
            monkeypatch.setattr(place, lambda: replace(whole, offers=(*whole.offers, *offers)))

    return plug


def test_a_third_partys_task_has_a_form_and_runs(studio, plugged):
    plugged(brighter=brighter)
    room = studio()
    (row,) = [each for each in room.json("/api/state")["tasks"] if each["name"] == "brighter"]
    assert [(field["name"], field["kind"], field["default"]) for field in row["fields"]] == [
        ("by", "number", 0.1),
        ("steps", "integer", 3),
    ]
    grey = {"kind": "plain", "value": 0.2}
    with room.socket() as socket:
        page = Page(socket)
        order = {"tool": "all", "task": "brighter", "options": {"by": "1/5", "steps": 4}}
        page.send("run", models=[ROBUST], painting=painting(image=grey), stroke=order, steps=100)
        frames, _ = page.until_done()
    image = torch.tensor(list(Image.open(io.BytesIO(frames[-1]["picture"])).tobytes()))
    assert torch.equal(image, torch.full((784,), 102))  # 0.4 of 255.


def failing(model, images):
    raise KeyError("a fault of the plugin's own")


def test_a_plugins_own_fault_is_an_error_of_the_job_and_the_next_one_runs(studio, plugged, caplog):
    plugged(failing=failing)
    with studio().socket() as socket:
        page = Page(socket)
        page.send("run", models=[ROBUST], painting=painting(), stroke={"tool": "all", "task": "failing"}, steps=5)
        _, (error,) = page.until_done()
        assert (error["type"], error["job"]) == ("error", "a")
        assert error["message"].startswith("the job failed: KeyError: ")
        page.send("run", "b", models=[ROBUST], painting=painting(), stroke=stroke(), steps=1)
        assert page.until_done()[1][0]["type"] == "done"
    assert "a fault of the plugin's own" in caplog.text


def many(model, images, *, count: int = 65):
    return fl.Problem(lambda x: x.flatten(1).sum(dim=1), images.repeat(count, 1, 1, 1), fl.threat_model("box"), 1, 0.1)


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        ({"task": "many"}, "at most 64 images"),
        ({"task": "many", "options": {"count": 10_001}}, "must be at most 10000 in the studio"),
        ({"task": "many", "options": {"count": "1:20000"}}, "must be at most 10000 in the studio"),
        ({"task": "invert", "options": {"steps": 2001}}, "must be at most 2000 in the studio"),
        (
            {"task": "generate", "target": {"class": 1}, "options": {"data": "npz:/x.npz"}},
            "must be one of fashion-mini",
        ),
        (
            {"task": "generate", "target": {"class": 1}, "options": {"root": "/etc"}},
            "is a path, which the studio does not",
        ),
        ({"task": "invert"}, "needs a reference as its target"),
        ({"task": "unheard"}, "got 'unheard'"),
    ],
)
def test_tasks_are_bounded_too(studio, plugged, order, sentence):
    plugged(many=many)
    with studio().socket() as socket:
        page = Page(socket)
        page.send("run", models=[ROBUST], painting=painting(), stroke={"tool": "all", **order}, steps=5)
        _, (error,) = page.until_done()
    assert error["type"] == "error"
    assert error["job"] == "a"
    assert sentence in error["message"]


def order(**changes):
    whole = {"models": [ROBUST], "painting": painting(), "stroke": stroke(), "steps": 5}
    return {name: value for name, value in (whole | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"models": []}, "a list of 1 to 2 values"),
        ({"models": ["evil.py:make"]}, "the model must be one of"),
        ({"models": ["file:/etc/passwd"]}, "the model must be one of"),
        ({"steps": 2001}, "steps of a message must be a whole number from 0 to 2000"),
        ({"steps": None}, "none with 'steps'"),
        ({"stroke": stroke(target={"class": 10})}, "has classes 0 to 9"),
        ({"stroke": stroke(target={"unit": "layer9:0"})}, "has no layer 'layer9'"),
        ({"stroke": stroke(within="l2:eps=1e999")}, ""),
        ({"stroke": stroke(within="l2:eps=nan")}, "eps must be a number >= 0"),
        ({"stroke": stroke(within="masked:inside=[l2:eps=1]")}, "needs mask"),
        ({"stroke": stroke(points=[[900, 900]])}, "covers no pixel"),
        ({"painting": painting(image={"kind": "sample", "data": "folder:/etc", "index": 0})}, "the data of a sample"),
        ({"painting": painting(image={"kind": "sample", "data": "npz:/x.npz", "index": 0})}, "the data of a sample"),
        ({"painting": painting(image={"kind": "sample", "data": "cifar10", "index": 0})}, "the data of a sample"),
        ({"painting": painting(image={"kind": "sample", "data": "fashion-mini", "index": 10**6})}, "must be less than"),
        ({"painting": painting(model="evil.py:make") | {"version": 2}}, "version 1"),
        (
            {
                "stroke": stroke(
                    target={"reference": {"image": {"kind": "sample", "data": "x", "index": 0}, "box": [0, 0, 1, 1]}}
                )
            },
            "the data of a sample",
        ),
        ({"extra": 1}, "got 'extra'"),
    ],
)
def test_orders_that_cannot_be_carried_out_are_refused(page, changes, sentence):
    page.send("run", **order(**changes))
    answers = page.until_done()[1]
    if sentence:
        assert answers[0]["type"] == "error"
        assert sentence in answers[0]["message"]
        assert "\n" not in answers[0]["message"]
    page.send("run", "next", **order(steps=1))
    assert page.until_done()[1][0]["type"] == "done"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        '"run"',
        '{"type": "run"}',
        '{"type": "dance", "job": "a"}',
        '{"type": "stop", "job": 3}',
        '{"type": "ack", "job": "a", "number": -1, "model": "zoo:fashion-robust"}',
        '{"type": "stop", "job": "a", "more": 1}',
        '{"type": "run", "job": NaN}',
        "[" * 50_000,
        '{"type": "stop", "job": "' + "a" * 101 + '"}',
    ],
)
def test_malformed_messages_are_answered_with_a_sentence(page, text):
    page.socket.send_text(text)
    answer = page.socket.receive_json()
    assert answer["type"] == "error"
    assert answer["job"] is None
    page.send("show", models=[ROBUST], painting=painting())
    assert page.until_done()[1][0]["type"] == "done"


def test_bytes_and_long_texts_are_no_messages(studio):
    with studio(message_bytes=3000).socket() as socket:
        socket.send_bytes(b"\x00")
        assert "must be JSON text" in socket.receive_json()["message"]
        socket.send_text(" " * 3001)
        assert "at most 0.003 MB" in socket.receive_json()["message"]


def test_words_on_jobs_that_are_over_say_nothing(page):
    page.send("stop", "never")
    page.send("ack", "never", model=ROBUST, number=3)
    page.send("show", models=[ROBUST], painting=painting())
    assert page.until_done()[1][0]["type"] == "done"


def test_messages_are_one_line_of_json(page):
    page.send("show", models=[ROBUST], painting=painting())
    text = page.socket.receive_text()
    assert json.loads(text)["type"] == "frame"
