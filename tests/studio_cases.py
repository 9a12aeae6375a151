"""The studio as tests ask it: an application, a client, a page's socket, and paintings to send."""

import json
from dataclasses import dataclass, field

from starlette.testclient import TestClient

from featlab.studio import Api, application

PORT, TOKEN = 8765, "s3cret-s3cret-s3cret"

ROBUST, STANDARD = "zoo:fashion-robust", "zoo:fashion-standard"
SAMPLE = {"kind": "sample", "data": "fashion-mini", "index": 12}


def painting(*strokes, image=SAMPLE, model=ROBUST, seed=0):
    return {"version": 1, "model": model, "image": image, "seed": seed, "strokes": list(strokes)}


def stroke(**changes):
    """Return a stroke that paints a bag into a dress."""
    whole = {
        "tool": "brush",
        "points": [[14, 8], [14, 20]],
        "radius": 8,
        "softness": 0.3,
        "target": {"class": 8},
        "within": "l2:eps=7",
        "step_size": 0.35,
        "keep": 90,
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


ERASER = {"tool": "eraser", "points": [[14, 14]], "radius": 6, "softness": 0.5}


@dataclass
class Studio:
    """An application and who asks it."""

    api: Api
    client: TestClient = field(init=False)

    def __post_init__(self):
        app = application(self.api, port=PORT, token=TOKEN)
        self.client = TestClient(app, base_url=f"http://127.0.0.1:{PORT}", headers={"x-featlab-token": TOKEN})

    def get(self, path, **params):
        return self.client.get(path, params=params)

    def json(self, path, **params):
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def socket(self, *, token=TOKEN, headers=None):
        asked = {"host": f"127.0.0.1:{PORT}", "x-featlab-token": ""} | (headers or {})
        return self.client.websocket_connect(f"/ws?token={token}", headers=asked)


@dataclass
class Page:
    """What a page does with its socket: it sends orders, and acknowledges frames."""

    socket: object

    def send(self, kind, job="a", **rest):
        self.socket.send_text(json.dumps({"type": kind, "job": job, **rest}))

    def ack(self, frame):
        self.send("ack", frame["job"], model=frame["model"], number=frame["number"])

    def next(self):
        """Return the next message, a frame with its picture."""
        message = self.socket.receive_json()
        if message["type"] == "frame":
            message["picture"] = self.socket.receive_bytes()
            assert len(message["picture"]) == message["bytes"]
        return message

    def until_done(self, count=1, *, ack=True):
        """Return all frames and the last words, one for each of so many models; errors are words too."""
        frames, words = [], []
        while len(words) < count:
            message = self.next()
            if message["type"] == "frame":
                frames.append(message)
                if ack:
                    self.ack(message)
            else:
                words.append(message)
                if message["type"] == "error":
                    break
        return frames, words
