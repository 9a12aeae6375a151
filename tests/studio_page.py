"""The studio's page in a browser, for tests and benchmarks: the real server, a Chromium, and a hand that paints."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent

PLUGIN = """
    from typing import Literal

    import featlab as fl

    @fl.hookimpl
    def featlab_tasks():
        yield fl.Entry("wash", "featlab_wash:wash", "lightens an image by `amount` until it is `mood` enough")

    def wash(model, images, *, labels, within: fl.ThreatModel | None = None, mood: Literal["calm", "bright"] = "calm",
             amount: float = 0.5, both: bool = False, range_: tuple[float, float] = (0.0, 1.0), steps: int = 12):
        \"\"\"Move uphill on the mean value.

        `amount` is how much lighter.
        \"\"\"
        score = fl.objective(lambda moved: amount * moved.flatten(1).mean(dim=1))
        return fl.Problem(score, images, within or fl.threat_model("l2", eps=9.0), steps, 1.0)
"""
"""A task of somebody else's: a distribution that is not featlab's, with an option of every kind."""


def chromium() -> str | None:
    """Return where a Chromium is, or None."""
    names = (os.environ.get("FEATLAB_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def install(folder: Path) -> None:
    """Write the other distribution as pip would have installed it into a folder."""
    (folder / "featlab_wash.py").write_text(textwrap.dedent(PLUGIN))
    info = folder / "featlab_wash-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: featlab-wash\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[featlab]\nwash = featlab_wash\n")


@contextlib.contextmanager
def served(*arguments: str, path: Path | None = None) -> Iterator[str]:
    """Run `featlab studio` on a free port; yield the address that it prints."""
    code = "from featlab.cli import main; main()"
    line = [sys.executable, "-c", code, "studio", "--no-browser", "--port", "0", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(path), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as server:
        try:
            said = server.stdout.readline()
            assert said.startswith("featlab studio: http://127.0.0.1:"), said + server.stdout.read()
            yield said.split()[-1]
        finally:
            server.terminate()


def asked(address: str, path: str) -> dict:
    """Return what the server answers to a request with the token of the page's address."""
    parts = urlsplit(address)
    token = parts.query.removeprefix("token=")
    request = urllib.request.Request(f"http://{parts.netloc}{path}", headers={"X-Featlab-Token": token})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@dataclass
class Hand:
    """Somebody at the page. Points are in pixels of the image, which is 28 by 28."""

    page: object
    address: str
    asked_for: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def open(self) -> None:
        """Open the page and wait until it shows an image and what the model says of it."""
        self.page.goto(self.address)
        self.page.wait_for_selector("body.ready")
        self.page.wait_for_selector(".stage.main .stage-answer:not(:empty)")
        self.page.wait_for_selector(".classes-said li")

    def place(self, point: Sequence[float], side: str = "main") -> tuple[float, float]:
        """Return where on the screen a point of the image is."""
        box = self.page.locator(f".stage.{side} .board").bounding_box()
        return box["x"] + point[0] * box["width"] / 28, box["y"] + point[1] * box["height"] / 28

    def draw(self, *points: Sequence[float], hold: int = 0) -> None:
        """Draw with the mouse, and hold it down for so many milliseconds at the end."""
        self.page.locator(".stage.main .board").scroll_into_view_if_needed()
        self.page.mouse.move(*self.place(points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.place(point), steps=5)
        self.page.wait_for_timeout(hold)
        self.page.mouse.up()

    def rest(self, moment: int | None = None) -> None:
        """Wait until nothing runs, and the history stands at a moment."""
        at = "" if moment is None else f"[data-moment='{moment}']"
        self.page.wait_for_selector(f"body[data-running=false]{at}")

    @property
    def frames(self) -> int:
        """How many frames have been drawn."""
        return int(self.page.locator("body").get_attribute("data-frames") or 0)

    def share(self, name: str) -> float:
        """Return the probability of a class that the bars show."""
        code = "row => row.style.getPropertyValue('--main')"
        return float(self.page.locator(f".classes-said [data-name='{name}']").evaluate(code))

    def pixels(self, side: str = "main") -> list[int]:
        """Return the values of the image that is shown, without alpha."""
        code = """canvas => [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""
        values = self.page.locator(f".stage.{side} .pixels").first.evaluate(code)
        return [value for index, value in enumerate(values) if index % 4 < 3]

    def seen(self) -> bytes:
        """Return what the screen shows of the image, without its rim."""
        (left, top), (right, bottom) = self.place((1, 1)), self.place((27, 27))
        return self.page.screenshot(clip={"x": left, "y": top, "width": right - left, "height": bottom - top})

    def set(self, name: str, value: float) -> None:
        """Move a slider, or write a number."""
        self.page.locator(f"#{name}").fill(str(value))

    def saved(self, button: str, folder: Path) -> Path:
        """Press a button that saves a file; return where it is."""
        with self.page.expect_download() as download:
            self.page.click(f"#{button}")
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path


@contextlib.contextmanager
def handed(browser: object, address: str, **options: object) -> Iterator[Hand]:
    """Open a window of its own; yield a hand that remembers what the page asked for and where it failed."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", **options})
    page = context.new_page()
    hand = Hand(page, address)
    page.on("request", lambda request: hand.asked_for.append(request.url))
    page.on("websocket", lambda socket: hand.asked_for.append(socket.url))
    page.on("pageerror", lambda error: hand.faults.append(str(error)))
    page.on("console", lambda message: hand.faults.append(message.text) if message.type == "error" else None)
    try:
        yield hand
    finally:
        context.close()
