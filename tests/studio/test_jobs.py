"""Jobs: bounded in number and time, and gone once nobody waits for them."""

import time

import pytest

from studio_cases import ROBUST, Page, painting, stroke


def wait_until(condition, seconds=20):
    """Wait for something that must come; on a busy machine it may take a while."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.01)


def run(page, job="a", steps=2000):
    page.send("run", job, models=[ROBUST], painting=painting(), stroke=stroke(), steps=steps)


def test_a_dropped_connection_ends_its_job(studio):
    room = studio()
    with room.socket() as socket:
        page = Page(socket)
        run(page)
        page.ack(page.next())
        page.next()
        assert room.json("/api/jobs") == {"running": 1}
    wait_until(lambda: room.json("/api/jobs") == {"running": 0})
    assert room.api.connections == 0


def test_a_new_run_takes_the_place_of_the_one_before(studio):
    room = studio(jobs=1)
    with room.socket() as socket:
        page = Page(socket)
        run(page, "old")
        page.ack(page.next())
        run(page, "new", steps=3)
        frames, words = [], []
        while not words:
            message = page.next()
            (frames if message["type"] == "frame" else words).append(message)
            if message["type"] == "frame":
                page.ack(message)
        assert words[0]["job"] == "new"
        jobs = [frame["job"] for frame in frames]
        assert jobs == sorted(jobs, reverse=True)  # After the first frame of the new job none of the old one comes.
        assert words[0]["stroke"]["steps"] == 3


def test_more_jobs_than_there_are_places_are_refused(studio):
    room = studio(jobs=1)
    with room.socket() as first, room.socket() as second:
        here, there = Page(first), Page(second)
        run(here)
        here.next()
        run(there, "b")
        refused = there.next()
        assert refused["type"] == "error"
        assert refused["job"] == "b"
        assert "1 jobs run already" in refused["message"]
        answer = room.client.post("/api/paintings/png", json=painting(stroke(steps=1)))
        assert answer.status_code == 429
        here.send("stop", "a")
        wait_until(lambda: room.api.jobs.running == 0)
        run(there, "c", steps=1)
        assert there.until_done()[1][0]["type"] == "done"


def test_more_pages_than_may_be_open_are_refused(studio):
    from starlette.websockets import WebSocketDisconnect

    room = studio(connections=1)
    with room.socket():
        with pytest.raises(WebSocketDisconnect) as refused, room.socket():
            pass
        assert refused.value.code == 1013
    wait_until(lambda: room.api.connections == 0)
    with room.socket():
        pass


def test_a_run_ends_when_its_time_is_over_as_if_it_were_stopped(studio):
    room = studio(seconds=0.5)
    with room.socket() as socket:
        page = Page(socket)
        run(page)
        frames, (done,) = page.until_done()
        assert done["type"] == "done"
        assert frames[-1]["number"] == done["stroke"]["steps"] < 2000


def test_painting_again_is_bounded_in_time_too(studio):
    room = studio(seconds=0.2)
    answer = room.client.post("/api/paintings/png", json=painting(stroke(steps=10_000)))
    assert answer.status_code == 422
    assert "longer than 0.2 s" in answer.json()["error"]
    assert room.api.jobs.running == 0


def test_a_server_that_ends_does_not_wait_for_a_painting(studio):
    room = studio()
    room.api.closing.set()
    answer = room.client.post("/api/paintings/png", json=painting(stroke(steps=10_000)))
    assert answer.status_code == 422


def test_a_stop_while_the_strokes_before_are_painted_again_is_told(studio):
    room = studio()
    with room.socket() as socket:
        page = Page(socket)
        page.send("show", models=[ROBUST], painting=painting(stroke(steps=10_000)))
        wait_until(lambda: room.api.jobs.running == 1)
        page.send("stop")
        message = page.next()
        assert message["type"] == "error"
        assert "stopped before" in message["message"]
    wait_until(lambda: room.api.jobs.running == 0)


def test_two_pages_share_a_model_and_each_gets_its_own_image(studio, models):
    from featlab.painting import Json, Painting, replay
    from featlab.report.pictures import to_png

    room = studio()
    with room.socket() as first, room.socket() as second:
        pages = [Page(first), Page(second)]
        for target, page in enumerate(pages, start=7):
            order = stroke(target={"unit": f"layer4:{target}"})
            page.send("run", models=[ROBUST], painting=painting(), stroke=order, steps=15)
        for page in pages:
            frames, (done,) = page.until_done()
            whole = Painting.read(Json("p", painting(done["stroke"])))
            assert frames[-1]["picture"] == to_png(replay(whole, models[ROBUST]))
