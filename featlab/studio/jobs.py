"""Jobs: a thread for each run, bounded in number and time, and gone once nobody waits for it."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from featlab.objectives import Objective
from featlab.painting import Frame, Painting, running
from featlab.report.pictures import to_png
from featlab.studio.canvases import Canvases, Stopped
from featlab.studio.catalog import Hosted
from featlab.studio.frames import Sent, sent
from featlab.studio.limits import Limits
from featlab.studio.locked import locked
from featlab.studio.mailbox import Mailbox
from featlab.studio.messages import Order
from featlab.types import Images

LOG = logging.getLogger(__name__)


class TooManyError(ValueError):
    """All places for jobs are taken."""


class Jobs:
    """The jobs that run now."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self.running = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take one of the places for jobs in this block."""
        self.take()
        try:
            yield
        finally:
            self.give_back()

    def take(self) -> None:
        """Take a place; TooManyError where all are taken."""
        with self._lock:
            if self.running >= self._limits.jobs:
                raise TooManyError(f"{self._limits.jobs} jobs run already, which is as many as may; stop one, or wait")
            self.running += 1

    def give_back(self) -> None:
        """Give a place back."""
        with self._lock:
            self.running -= 1


@dataclass(eq=False)
class Part:
    """What a job does on one of its models: frames, the newest of them, and what they are measured by."""

    hosted: Hosted
    painting: Painting
    original: Images
    frames: Iterator[Frame]
    measure: Objective | None
    latest: Frame | None = None

    def step(self) -> bool:
        """Make the next frame; False where there is none."""
        frame = next(self.frames, None)
        self.latest = frame or self.latest
        return frame is not None

    def sent(self, job: str, *, last: bool) -> Sent:
        """Return the newest frame as it is sent."""
        assert self.latest is not None  # There is always the frame of the start.
        about = {"job": job, "model": self.hosted.name}
        with self.hosted.lock:
            return sent(
                self.latest, self.hosted.model, original=self.original, measure=self.measure, last=last, about=about
            )


@dataclass(eq=False)
class Job:
    """An order that is carried out in a thread of its own, step by step, on all of its models in turn."""

    order: Order
    mailbox: Mailbox
    canvases: Canvases
    jobs: Jobs
    limits: Limits
    _stop: threading.Event = field(default_factory=threading.Event)
    _dropped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin; TooManyError where all places are taken. The thread does not keep the process alive."""
        self.jobs.take()
        self._thread = threading.Thread(target=self._run, name=f"job {self.order.job}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the step that is being made, with what the job has come to."""
        self._stop.set()

    def drop(self) -> None:
        """End after the step that is being made, with nothing."""
        self._dropped.set()
        self.mailbox.close()

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._carry_out()
        except Stopped:
            self._fail("it was stopped before the strokes so far were painted again")
        except ValueError as error:
            self._fail(str(error))
        except Exception as error:  # A task or a threat model may be anyone's, and fail in any way.
            LOG.exception("job %s failed", self.order.job)
            self._fail(f"the job failed: {type(error).__name__}: {error}")
        finally:
            self.jobs.give_back()

    def _fail(self, sentence: str) -> None:
        said = " ".join(sentence.split())
        self.mailbox.fail({"type": "error", "job": self.order.job, "model": None, "message": said})

    def _carry_out(self) -> None:
        until = time.monotonic() + self.limits.seconds

        def over() -> bool:
            return self._stop.is_set() or self._dropped.is_set() or time.monotonic() > until

        parts = [self._begun(hosted, over) for hosted in self.order.models]
        while any([self._step(part) for part in parts]) and not over():  # A list: each model takes its step.
            pass
        for part in parts:
            self._finish(part)

    def _begun(self, hosted: Hosted, over: Callable[[], bool]) -> Part:
        """Return what is to be done on one model, at its first frame; what does not fit it is told with its name."""
        try:
            part = self._part(hosted, over)
            self._step(part)
        except ValueError as error:
            raise ValueError(f"{hosted.name}: {error}" if len(self.order.models) > 1 else str(error)) from error
        return part

    def _part(self, hosted: Hosted, over: Callable[[], bool]) -> Part:
        """Return what is to be done on one model, after the strokes before it."""
        painting, stroke = self.order.painting.on(hosted.name), self.order.stroke
        original = painting.image.image(hosted.model.shape)
        before = self.canvases.image(painting, hosted, stopped=over)
        shown = stroke or (painting.strokes[-1] if painting.strokes else None)
        with hosted.lock:
            measure = shown.target.measure(hosted.model) if shown is not None and shown.target is not None else None
        frames = iter([Frame.still(before)])
        if stroke is not None:
            frames = running(
                stroke, before, hosted.model, original=original, seed=painting.seed, steps=self.order.steps
            )
        return Part(hosted, painting, original, locked(hosted.lock, frames), measure)

    def _step(self, part: Part) -> bool:
        """Take one step on one model, and show it if it would be seen."""
        if not part.step():
            return False
        assert part.latest is not None
        if len(part.latest.images) > self.limits.images:
            raise ValueError(f"at most {self.limits.images} images are made at once; got {len(part.latest.images)}")
        name, more = part.hosted.name, part.latest.number < part.latest.of  # The last one is sent when all is over.
        if more and self.mailbox.wants(name):
            self.mailbox.put(name, part.sent(self.order.job, last=False))
        return True

    def _finish(self, part: Part) -> None:
        """Send the last frame of one model with its last word, and remember the image."""
        if self._dropped.is_set():
            return
        assert part.latest is not None
        name, stroke, frame = part.hosted.name, self.order.stroke, part.latest
        ran = None if stroke is None else stroke.ran(frame.number)
        if ran is not None:
            self.canvases.keep(part.painting.then(ran), part.hosted, frame.image.cpu())
        strip = base64.b64encode(to_png(frame.images)).decode("ascii") if len(frame.images) > 1 else None
        word = {"type": "done", "job": self.order.job, "model": name, "stroke": ran and ran.json(), "strip": strip}
        self.mailbox.finish(name, part.sent(self.order.job, last=True), word)
