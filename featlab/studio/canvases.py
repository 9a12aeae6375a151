"""Images of paintings: what each stroke left is remembered, so that undo, redo and the next stroke run none again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from featlab.painting import Painting, running
from featlab.studio.catalog import Hosted
from featlab.studio.limits import Limits
from featlab.studio.locked import locked
from featlab.studio.memory import Memory
from featlab.types import Images


class Stopped(Exception):  # noqa: N818  # It is no error.
    """An image was not needed any more before it was whole."""


class Canvases:
    """The images of paintings, on the CPU; made anew they are the same, so remembering them changes only the time."""

    def __init__(self, limits: Limits) -> None:
        self._memory: Memory[Images] = Memory(limits.remembered_bytes, lambda image: image.nbytes)

    def image(self, painting: Painting, hosted: Hosted, *, stopped: Callable[[], bool]) -> Images:
        """Return the image that a painting ends with on a model; raises Stopped where that is so between two steps."""
        names = keys(painting, hosted)
        original = painting.image.image(hosted.model.shape)
        done, image = 0, original
        for count in range(len(painting.strokes), 0, -1):
            known = self._memory.get(names[count])
            if known is not None:
                done, image = count, known
                break
        for count, stroke in enumerate(painting.strokes[done:], start=done + 1):
            frames = running(stroke, image, hosted.model, original=original, seed=painting.seed, steps=stroke.steps)
            for frame in locked(hosted.lock, frames):
                if stopped():
                    raise Stopped
                image = frame.image
            image = image.cpu()
            self._memory.keep(names[count], image)
        return image

    def keep(self, painting: Painting, hosted: Hosted, image: Images) -> None:
        """Remember the image that a painting was just seen to end with."""
        self._memory.keep(keys(painting, hosted)[-1], image)


def keys(painting: Painting, hosted: Hosted) -> list[str]:
    """Return a name for the painting after each number of its strokes, 0 to all: a hash of all that made it so."""
    digest = hashlib.sha256(json.dumps([hosted.name, painting.image.json(), painting.seed]).encode())
    names = [digest.hexdigest()]
    for stroke in painting.strokes:
        digest.update(json.dumps(stroke.json(), sort_keys=True).encode())
        names.append(digest.hexdigest())
    return names
