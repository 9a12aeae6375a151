"""The real server, as the process that `featlab studio` is: a browser's way in, and Ctrl-C."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from featlab.cli import main

from studio_cases import ERASER, ROBUST, STANDARD, Page, painting, stroke

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "from featlab.cli import main; main()", "studio", "--no-browser", "--device", "cpu"]


@dataclass
class Running:
    """A server that runs, and the address that it printed."""

    process: subprocess.Popen
    url: str

    @property
    def port(self):
        return int(re.search(r":(\d+)/", self.url)[1])

    @property
    def token(self):
        return self.url.partition("token=")[2]

    def ask(self, path, body=None, **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    def socket(self, token=None, **options):
        return connect(f"ws://127.0.0.1:{self.port}/ws?token={token or self.token}", **options)


class Socket:
    """A socket of the websockets package with the methods of Starlette's."""

    def __init__(self, inner):
        self._inner = inner

    def send_text(self, text):
        self._inner.send(text)

    def receive_json(self):
        return json.loads(self._inner.recv(timeout=60))

    def receive_bytes(self):
        return self._inner.recv(timeout=60)


def start(*arguments):
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    return Running(process, line.split()[-1] if line else "")


@pytest.fixture(scope="module")
def server():
    running = start("--port", "0")
    yield running
    running.process.kill()
    running.process.communicate()


def test_the_address_that_is_printed_leads_to_the_page(server):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", server.url)
    status, page, headers = server.ask(f"/?token={server.token}")
    assert status == 200
    assert b"studio.js" in page
    assert "server" not in headers
    assert server.ask("/")[0] == 403
    assert server.ask("/api/state", **{"X-Featlab-Token": server.token, "Origin": "http://evil.example"})[0] == 403
    assert server.ask("/api/state", **{"X-Featlab-Token": server.token, "Host": "evil.example"})[0] == 403


def test_it_listens_on_this_machine_alone(server):
    others = {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1"}:
        if address.startswith("127."):
            continue
        with pytest.raises(OSError, match=r"refused|timed out"):
            socket.create_connection((address, server.port), timeout=2)


def test_a_page_paints_on_both_nets_and_the_command_paints_the_same_bytes(server, tmp_path):
    with server.socket(max_size=2**22) as inner:
        page = Page(Socket(inner))
        page.send("run", models=[ROBUST, STANDARD], painting=painting(), stroke=stroke(), steps=10)
        frames, words = page.until_done(2)
        ran = words[0]["stroke"]
        page.send("run", "b", models=[ROBUST], painting=painting(ran), stroke=ERASER, steps=0)
        (shown,), (done,) = page.until_done()
    whole = painting(ran, done["stroke"])
    (tmp_path / "strokes.json").write_text(json.dumps(whole))
    with pytest.raises(SystemExit) as leave:
        main(
            [
                "paint",
                "--strokes",
                str(tmp_path / "strokes.json"),
                "--out",
                str(tmp_path / "out.png"),
                "--device",
                "cpu",
            ]
        )
    assert leave.value.code == 0
    assert (tmp_path / "out.png").read_bytes() == shown["picture"]
    header = {"X-Featlab-Token": server.token, "Content-Type": "application/json"}
    assert server.ask("/api/paintings/png", json.dumps(whole).encode(), **header)[1] == shown["picture"]
    assert {frame["model"] for frame in frames} == {ROBUST, STANDARD}


@pytest.mark.parametrize(
    "options",
    [{"token": "wrong"}, {"origin": "http://evil.example"}, {"additional_headers": {"Origin": "null"}}],
    ids=["token", "origin", "null"],
)
def test_a_socket_from_elsewhere_is_refused(server, options):
    with pytest.raises(InvalidStatus) as refused, server.socket(**options):
        pass
    assert refused.value.response.status_code == 403


def test_frames_are_not_deflated_and_long_messages_close_the_socket(server):
    with server.socket(compression="deflate") as inner:
        assert "sec-websocket-extensions" not in inner.response.headers
        with pytest.raises(ConnectionClosed) as closed:
            inner.send(" " * 4_000_001)
            inner.recv(timeout=60)
    # The server does not read what is too long, so its word of parting may be lost with the connection.
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    assert running(server) == 0


def test_a_broken_connection_ends_its_job(server):
    with server.socket() as inner:
        page = Page(Socket(inner))
        page.send("run", models=[ROBUST], painting=painting(), stroke=stroke(), steps=2000)
        page.next()
        assert running(server) == 1
        inner.socket.shutdown(socket.SHUT_RDWR)
    for _ in range(400):
        if running(server) == 0:
            return
    pytest.fail("the job still runs")


def running(server):
    return json.loads(server.ask("/api/jobs", **{"X-Featlab-Token": server.token})[1])["running"]


def test_a_port_that_is_taken_is_one_sentence(server, capsys):
    with pytest.raises(SystemExit) as leave:
        main(["studio", "--no-browser", "--port", str(server.port)])
    assert leave.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"featlab: port {server.port} of this machine cannot be used")
    assert len(said.splitlines()) == 1


def test_a_model_that_is_not_there_is_one_sentence(capsys):
    with pytest.raises(SystemExit) as leave:
        main(["studio", "--no-browser", "--port", "0", "--model", "zoo:fashion-robus"])
    assert leave.value.code == 2
    assert "did you mean 'fashion-robust'?" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "websockets"])
def test_without_the_extra_there_is_one_sentence(missing, capsys, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == missing else find(name, *rest))
    with pytest.raises(SystemExit) as leave:
        main(["studio", "--no-browser"])
    assert leave.value.code == 2
    assert capsys.readouterr().err == f"featlab: the studio needs {missing}; pip install 'featlab[studio]'\n"


def test_interrupting_ends_it_cleanly_in_the_middle_of_a_run():
    running = start("--port", "0", "--model", ROBUST)
    with running.socket() as inner:
        page = Page(Socket(inner))
        page.send("run", models=[ROBUST], painting=painting(), stroke=stroke(), steps=2000)
        page.next()
        running.process.send_signal(signal.SIGINT)
        _, said = running.process.communicate(timeout=60)
    assert running.process.returncode == 0
    assert said == ""
