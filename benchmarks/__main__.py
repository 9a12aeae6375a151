"""The command line: `python -m benchmarks ops attacks --json FILE`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click
import torch
from rich.console import Console

from benchmarks import tables
from benchmarks.options import Options
from benchmarks.rows import BENCHES, Conditions, Row, write


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("what", nargs=-1, required=True, type=click.Choice([*BENCHES, "tables"]))
@click.option("--quick", is_flag=True, help="Small sizes and few rounds: about four minutes for everything.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the rows to this file.")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@click.option("--threads", type=click.IntRange(min=1), help="So many threads on the CPU; PyTorch's own number without.")
@click.option("--pictures", type=click.Path(file_okay=False, path_type=Path), help="Also draw what tasks make, there.")
@click.option("--only", default="", help="Only measurements whose name matches this regular expression.")
def main(
    what: tuple[str, ...],
    quick: bool,
    path: Path | None,
    device: str,
    threads: int | None,
    pictures: Path | None,
    only: str,
) -> None:
    """Measure featlab beside its rivals, a table per bench; `tables` writes the results into benchmarks/README.md.

    FILE keeps the rows of measurements that do not run.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("--device cuda needs a CUDA device that PyTorch sees, and there is none")
    if threads is not None:
        torch.set_num_threads(threads)
    options = Options(torch.device(device), quick, only, pictures)
    conditions, console = Conditions.here(options.device), Console()
    console.width = max(console.width, 120)
    for name in dict.fromkeys(what):
        if name == "tables":
            continue
        found = measured(name, options, conditions, path)
        for section, rows in tables.sections(found).items() or [(name, [])]:
            console.print(tables.shown(tables.TITLES[section], rows))
    if "tables" in what:
        tables.rewrite()


def measured(name: str, options: Options, conditions: Conditions, path: Path | None) -> list[Row]:
    """Return the rows of one bench; each measurement is written and named on stderr when it ends."""
    rows: list[Row] = []
    for found in importlib.import_module(f"benchmarks.{name}").run(options):
        stamped = [conditions.stamp(row) for row in found]
        rows += stamped
        if path is not None:
            write(path, stamped)  # At once, so that a run that is stopped loses nothing.
        click.echo(f"{name}: {found[0].name}", err=True)
    return rows


if __name__ == "__main__":
    sys.exit(main())
