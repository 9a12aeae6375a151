"""Frames as they are sent: an image, and what the model says of it."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from PIL import Image

from featlab.models import Classifier
from featlab.objectives import Objective
from featlab.painting import Frame
from featlab.report.pictures import to_png
from featlab.types import Images

SMALL: Final = 64
"""Up to this side a PNG is as small as a JPEG, and as quickly made."""

QUALITY: Final = 92


@dataclass(frozen=True)
class Sent:
    """A header and the bytes of a picture."""

    header: Mapping[str, Any]
    picture: bytes


def sent(
    frame: Frame,
    model: Classifier,
    *,
    original: Images,
    measure: Objective | None,
    last: bool,
    about: Mapping[str, Any],
) -> Sent:
    """Return a frame with the model's probabilities, the activation of what is painted, and the distance gone."""
    image = frame.image.to(model.device)
    with torch.no_grad():
        probabilities = model(image).double().softmax(dim=1)[0].tolist()
        activation = None if measure is None else finite(float(measure(image)[0]))
    kind, picture = encoded(image, last=last)
    header = {
        "type": "frame",
        **about,
        "number": frame.number,
        "of": frame.of,
        "last": last,
        "probabilities": [round(each, 6) for each in probabilities],
        "activation": activation,
        "score": finite(float(frame.scores[-1])),
        "change": round(float((image.cpu() - original).double().norm()), 6),
        "width": image.shape[3],
        "height": image.shape[2],
        "format": kind,
        "bytes": len(picture),
    }
    return Sent(header, picture)


def finite(value: float) -> float | None:
    """Return a number that JSON has, or None."""
    return value if math.isfinite(value) else None


def encoded(image: Images, *, last: bool) -> tuple[Literal["png", "jpeg"], bytes]:
    """Return an image as a file: what stays is a PNG, the very bytes of an export; what passes by may be a JPEG."""
    if last or max(image.shape[2:]) <= SMALL:
        return "png", to_png(image)
    pixels = (image[0] * 255).round().to(torch.uint8).permute(1, 2, 0).squeeze(-1).cpu()
    file = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(file, format="JPEG", quality=QUALITY)
    return "jpeg", file.getvalue()
