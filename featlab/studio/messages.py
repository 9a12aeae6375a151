"""What a page says through its socket, read at the door."""

from __future__ import annotations

from dataclasses import dataclass

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


def read_message(text: str, catalog: Catalog) -> Order | Stop | Ack:
    """Read a message; ValueError for what is none, or asks for what is not there."""
    given = Json.parse("a message", text)
    kind = given.record(needed=("type",), optional=tuple(given.value) if isinstance(given.value, dict) else ())["type"]
    return kind.choice({"run": _run, "show": _show, "stop": _stop, "ack": _ack})(given, catalog)


def _run(given: Json, catalog: Catalog) -> Order:
    record = given.record(needed=("type", "job", "models", "painting", "stroke", "steps"))
    painting, stroke = Painting.read(record["painting"]), Stroke.read(record["stroke"])
    catalog.admit(painting, stroke)
    steps = record["steps"].whole(0, catalog.limits.steps)
    return Order(_job(record), _models(record, catalog), painting, stroke, steps)


def _show(given: Json, catalog: Catalog) -> Order:
    record = given.record(needed=("type", "job", "models", "painting"))
    painting = Painting.read(record["painting"])
    catalog.admit(painting)
    return Order(_job(record), _models(record, catalog), painting, None, 0)


def _stop(given: Json, catalog: Catalog) -> Stop:
    del catalog
    return Stop(_job(given.record(needed=("type", "job"))))


def _ack(given: Json, catalog: Catalog) -> Ack:
    record = given.record(needed=("type", "job", "number", "model"))
    return Ack(_job(record), catalog.find(record["model"].text()).name, record["number"].whole(0, 2**31))


def _job(record: dict[str, Json]) -> str:
    return record["job"].text(most=100)


def _models(record: dict[str, Json], catalog: Catalog) -> tuple[Hosted, ...]:
    names = [Json("a model", each).text() for each in record["models"].items(least=1, most=len(catalog.hosted))]
    return tuple(catalog.find(name) for name in dict.fromkeys(names))
