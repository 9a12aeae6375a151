"""What the page and the server refuse, what the page says of it, and that a job ends with its connection."""

import contextlib
import struct
import time
import zlib
from functools import partial
from http.client import HTTPConnection
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import pytest
from PIL import Image

from studio_page import ROOT, asked


def announced(address, size):
    """Announce an upload of so many bytes, without the page; return the status that the server answers at once."""
    parts = urlsplit(address)
    connection = HTTPConnection(parts.netloc, timeout=15)
    connection.putrequest("POST", "/api/uploads?model=zoo:fashion-robust")
    connection.putheader("X-Featlab-Token", parts.query.removeprefix("token="))
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    with contextlib.closing(connection):
        return connection.getresponse().status


def png(width, height):
    """A small file that says it is a large PNG."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("token", ["", "?token=", "?token=wrong"])
def test_without_the_token_there_is_no_page(hand, address, token):
    answer = hand.page.request.get(f"http://{urlsplit(address).netloc}/{token}")
    assert answer.status == 403
    assert "token" in answer.json()["error"]


def test_a_page_whose_token_is_not_valid_any_more_says_so(hand):
    old = {"x-featlab-token": "old"}
    hand.page.route("**/api/state", lambda route: route.continue_(headers={**route.request.headers, **old}))
    hand.page.reload()
    hand.page.wait_for_selector("#offline >> text=open the address that featlab studio printed")
    assert not hand.page.locator("main").is_visible()
    hand.faults.clear()  # The browser itself reports the status 403.


def test_uploads_that_are_too_large_or_no_images_are_refused_with_a_sentence(hand, tmp_path):
    first = hand.pixels()
    hand.page.click("#choose-image")
    refusal = hand.page.locator(".refusal")
    for data, said in (
        (b"GIF89a no picture", "A picture must be a PNG"),
        (png(28, 28)[:-30], "A picture must be a PNG"),
        (png(7000, 7000), "A picture must have at most 40 million pixels"),
        (bytes(9 * 2**20), "The file has 9 MB; the most is 8 MB."),
    ):
        (tmp_path / "mine.png").write_bytes(data)
        hand.page.set_input_files("#upload", tmp_path / "mine.png")
        refusal.filter(has_text=said).wait_for()
        refusal.evaluate("refusal => { refusal.hidden = true }")
    assert announced(hand.address, 9 * 2**20) == 413  # The server does not rely on the page.
    hand.page.keyboard.press("Escape")
    assert hand.pixels() == first
    hand.faults.clear()  # The browser itself reports the statuses 413, 415 and 422.


def test_an_image_of_ones_own_is_painted_on(hand, tmp_path):
    Image.linear_gradient("L").resize((300, 200)).save(tmp_path / "mine.jpg")
    hand.page.click("#choose-image")
    hand.page.set_input_files("#upload", tmp_path / "mine.jpg")
    hand.page.wait_for_selector("#image-name >> text=mine.jpg")
    hand.page.wait_for_selector(".stage.main .stage-answer:not(:empty)")
    shown = hand.pixels()
    assert shown[0] < 30 < 200 < shown[-1]
    hand.page.click("[data-tool=all]")
    hand.page.click("#run")
    hand.rest(1)
    assert hand.pixels() != shown


ELSEWHERE = """<!doctype html><meta charset="utf-8"><script>
const asked = new URLSearchParams(location.search), studio = asked.get("studio"), token = asked.get("token");
const say = (word) => document.title += ` ${word}`;
const socket = new WebSocket(`ws://${studio}/ws?token=${token}`);
socket.onopen = () => say("socket-open");
socket.onerror = () => say("socket-refused");
fetch(`http://${studio}/api/state?token=${token}`).then(() => say("read"), () => say("unread"));
</script>"""


def test_a_page_of_another_origin_gets_nothing_even_with_the_token(hand, address, tmp_path):
    (tmp_path / "index.html").write_text(ELSEWHERE)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path))) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        studio = urlsplit(address)
        hand.page.goto(f"http://127.0.0.1:{other.server_port}/?studio={studio.netloc}&{studio.query}")
        hand.page.wait_for_timeout(300)
        deadline = time.monotonic() + 10
        while "socket" not in (title := hand.page.title()) or "read" not in title:
            assert time.monotonic() < deadline, title
            hand.page.wait_for_timeout(50)
        assert sorted(title.split()) == ["socket-refused", "unread"]
        other.shutdown()
    hand.faults.clear()  # The browser itself reports both.


def running(address):
    return asked(address, "/api/jobs")["running"]


def until(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def begin_a_long_run(hand):
    hand.set("steps", 2000)
    hand.page.click(".class-button[data-class='3']")
    hand.draw((13, 8), (14, 24))
    hand.page.wait_for_selector("#status >> text=/^Step [1-9]/")


def test_a_job_is_gone_when_its_window_is_closed(hand, address):
    begin_a_long_run(hand)
    assert running(address) == 1
    hand.page.close()
    until(lambda: running(address) == 0)


@pytest.mark.parametrize("hand", [{"service_workers": "block"}], indirect=True)
def test_a_connection_that_drops_ends_the_job_and_is_made_again(hand, address):
    sockets = []

    def pass_on(socket):
        socket.connect_to_server()
        sockets.append(socket)

    hand.page.route_web_socket("**/ws?*", pass_on)
    hand.open()
    begin_a_long_run(hand)
    until(lambda: running(address) == 1)
    sockets[-1].close()
    hand.page.wait_for_selector("#offline:not([hidden])")
    hand.rest(0)
    until(lambda: running(address) == 0)
    hand.page.wait_for_selector("#offline[hidden]", state="attached")
    hand.set("steps", 3)
    hand.draw((13, 8), (14, 24))
    hand.rest(1)


def test_what_is_shipped_names_no_other_place():
    for path in (ROOT / "featlab/studio/static").iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path.name
        assert "https://" not in text, path.name
        assert "@import" not in text, path.name
        assert "url(" not in text, path.name
