"""Painting with a classifier's features: strokes as data, their masks, and running them, step by step or again."""

from featlab.painting.masks import Area
from featlab.painting.reading import Json
from featlab.painting.repeats import is_small, repeatable
from featlab.painting.sources import (
    MOST_BYTES,
    MOST_PIXELS,
    FormatError,
    Noise,
    Picture,
    Plain,
    Sample,
    Source,
    picture_of,
)
from featlab.painting.steps import Frame, painted, replay, running
from featlab.painting.strokes import MOST_STROKES, Painting, Stroke, usual_strength
from featlab.painting.targets import PAINT, Target, ToClass, ToReference, ToUnit

__all__ = [
    "MOST_BYTES",
    "MOST_PIXELS",
    "MOST_STROKES",
    "PAINT",
    "Area",
    "FormatError",
    "Frame",
    "Json",
    "Noise",
    "Painting",
    "Picture",
    "Plain",
    "Sample",
    "Source",
    "Stroke",
    "Target",
    "ToClass",
    "ToReference",
    "ToUnit",
    "is_small",
    "painted",
    "picture_of",
    "repeatable",
    "replay",
    "running",
    "usual_strength",
]
