"""The rows of the table of tasks: a measurement for each measure, a row for each net and each baseline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.options import Options
from benchmarks.quality.study import LESS, Shown, Study, difference, found_of
from benchmarks.quality.tasks import TASKS
from benchmarks.rows import Row
from featlab.report.pictures import Picture, save_png

COUNT, QUICK_COUNT = 200, 80
"""So many test images; distances in the judge's 64 features need more images than that."""
COLUMNS = 10


def run(options: Options) -> Iterator[list[Row]]:
    """Yield the rows of each measure of each task that is wanted."""
    wanted = {title: task for title, task in TASKS.items() if options.wants(title)}
    if not wanted:
        return
    study = Study.of(QUICK_COUNT if options.quick else COUNT, options.device)
    for task in wanted.values():
        shown = task(study)
        if options.pictures is not None:
            save_png(picture(shown), options.pictures)
        yield from measured(shown, len(study.images))


def measured(shown: Shown, count: int) -> Iterator[list[Row]]:
    """Yield for each measure a row for each provider, and one for the difference of the nets."""
    first = Row(bench="tasks", name="", provider="", shape="x".join(map(str, (count, *shape_of(shown)))))
    for name, measure in shown.measures.items():
        values = {who: measure(who, images) for who, images in shown.images.items() if who != "true"}
        row = replace(first, name=f"{shown.title}: {name}", dtype="float32")
        rows = [replace(row, provider=who, found=found_of(value)) for who, value in values.items()]
        apart = difference(values)
        yield rows if apart is None else [*rows, replace(row, provider=LESS, found=found_of(apart))]


def shape_of(shown: Shown) -> tuple[int, ...]:
    """Return the shape of an image of a task."""
    return tuple(next(iter(shown.images.values())).shape[1:])


def picture(shown: Shown) -> Picture:
    """Return the first images of every class as a grid, a row for each provider."""
    images = next(iter(shown.images.values()))
    some = range(0, len(images), max(1, len(images) // COLUMNS))[:COLUMNS]
    rows = tuple((who, made[list(some)]) for who, made in shown.images.items())
    return Picture(shown.title, "", rows)
