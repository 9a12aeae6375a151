"""The address of a layer, of a unit in it, and of a position: `layer4.1`, `layer4.1:768`, `layer4.1:768@3,5`."""

from __future__ import annotations

import re
from dataclasses import dataclass

LOGITS = "logits"
"""The classifier's output."""

PENULTIMATE = "penultimate"
"""The input of the last linear module."""

PATTERN = re.compile(r"(?P<layer>[^:@\s]+)(?::(?P<unit>[^:@]+))?(?:@(?P<at>\d+(?:,\d+)*))?")


@dataclass(frozen=True)
class Where:
    """A layer by its dotted name, and where wanted a unit (channel, token entry, class) and a position in the map.

    The layer may also be `logits` or `penultimate`. A unit of the logits may be a class name.
    """

    layer: str
    unit: int | str | None = None
    at: tuple[int, ...] | None = None

    @classmethod
    def parse(cls, text: str) -> Where:
        """Read `layer`, `layer:unit`, `layer:unit@y,x` or `layer@y,x`; anything else is a ValueError."""
        match = PATTERN.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"a layer is addressed as layer4.1, layer4.1:768 or layer4.1:768@3,5; got {text!r}")
        unit = match["unit"]
        at = match["at"]
        return cls(
            match["layer"],
            int(unit) if unit is not None and unit.isdecimal() else unit,
            None if at is None else tuple(map(int, at.split(","))),
        )

    def __str__(self) -> str:
        """Write the address so that `parse` reads it."""
        unit = "" if self.unit is None else f":{self.unit}"
        at = "" if self.at is None else "@" + ",".join(map(str, self.at))
        return f"{self.layer}{unit}{at}"
