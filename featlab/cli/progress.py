"""How commands show long work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featlab.types import Progress


@contextmanager
def shown() -> Iterator[Progress]:
    """Show a bar per stage on stderr where that is a terminal, and a line per finished stage elsewhere."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        progress.TextColumn("{task.description:24}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        stages: dict[str, progress.TaskID] = {}

        def note(stage: str, done: int, total: int, /) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=total)
            bars.update(stages[stage], completed=done, total=total)
            if not console.is_terminal and done == total:
                console.print(f"{stage}: {done}/{total}", highlight=False)

        yield note
