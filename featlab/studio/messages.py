"""What a page says through its socket, read at the door."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from featlab.painting import Json, Painting, Stroke
from featlab.studio.catalog import Catalog, Hosted


@dataclass(frozen=True)
class Order:
    """Run a stroke on a painting, on each of several models; or only show the painting, where there is no stroke."""

    job: str
    models: tuple[Hosted, ...]
    painting: Painting
    stroke: Stroke | None
    steps: int


@dataclass(frozen=True)
class Stop:
    """End a job with what it has come to."""

    job: str


@dataclass(frozen=True)
class Ack:
    """A frame of a model was drawn, so that the next may be sent."""

    job: str
    model: str
    number: int


@dataclass(frozen=True)
class Message:
    """What a page sent: its kind, the job that it is about, and the rest, which is yet to be read."""

    kind: str
    job: str
    given: Json

    @classmethod
    def parse(cls, text: str) -> Message:
        """Read kind and job; ValueError for what is no message at all."""
        given = Json.parse("a message", text)
        record = given.record(
            needed=("type", "job"), optional=("models", "painting", "stroke", "steps", "model", "number")
        )
        return cls(record["type"].choice({kind: kind for kind in READERS}), record["job"].text(most=100), given)

    @property
    def orders(self) -> bool:
        """Whether a job begins with it."""
        return self.kind in ("run", "show")

    def read(self, catalog: Catalog) -> Order | Stop | Ack:
        """Read the rest; ValueError where it asks for what is not there."""
        return READERS[self.kind](self, catalog)


def _run(message: Message, catalog: Catalog) -> Order:
    record = message.given.record(needed=("type", "job", "models", "painting", "stroke", "steps"))
    painting, stroke = Painting.read(record["painting"]), Stroke.read(record["stroke"])
    catalog.admit(painting, stroke)
    steps = record["steps"].whole(0, catalog.limits.steps)
    return Order(message.job, _models(record, catalog), painting, stroke, steps)


def _show(message: Message, catalog: Catalog) -> Order:
    record = message.given.record(needed=("type", "job", "models", "painting"))
    painting = Painting.read(record["painting"])
    catalog.admit(painting)
    return Order(message.job, _models(record, catalog), painting, None, 0)


def _stop(message: Message, catalog: Catalog) -> Stop:
    del catalog
    message.given.record(needed=("type", "job"))
    return Stop(message.job)


def _ack(message: Message, catalog: Catalog) -> Ack:
    record = message.given.record(needed=("type", "job", "model", "number"))
    return Ack(message.job, catalog.find(record["model"].text()).name, record["number"].whole(0, 2**31))


def _models(record: dict[str, Json], catalog: Catalog) -> tuple[Hosted, ...]:
    names = [Json("a model", each).text() for each in record["models"].items(least=1, most=len(catalog.hosted))]
    return tuple(catalog.find(name) for name in dict.fromkeys(names))


READERS: Final[Mapping[str, Callable[[Message, Catalog], Order | Stop | Ack]]] = MappingProxyType(
    {"run": _run, "show": _show, "stop": _stop, "ack": _ack}
)
"""How each kind of message is read."""
