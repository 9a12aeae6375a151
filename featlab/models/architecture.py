"""An architecture by name and arguments: what a file must say so that a net can be built again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Architecture:
    """A net's name (`resnet18`, `torchvision:resnet50`) and the arguments that it was built with, as JSON values."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return the architecture as a JSON object."""
        return {"name": self.name, "arguments": json.loads(json.dumps(dict(self.arguments)))}

    @classmethod
    def from_record(cls, record: object) -> Architecture:
        """Read what `record` wrote; anything else is a ValueError."""
        if not (isinstance(record, dict) and isinstance(record.get("name"), str)):
            raise ValueError(f'an architecture is {{"name": ..., "arguments": {{...}}}}; got {record!r}')
        arguments = record.get("arguments", {})
        if not isinstance(arguments, dict):
            raise ValueError(f"the arguments of architecture {record['name']!r} must be an object; got {arguments!r}")
        return cls(record["name"], arguments)


def architecture_of(net: nn.Module) -> Architecture | None:
    """Return the architecture that a net says it has; None for a net that says nothing."""
    said = getattr(
        net, "architecture", None
    )  # featlab's nets carry it; another net's attribute of that name is not it.
    return said if isinstance(said, Architecture) else None
