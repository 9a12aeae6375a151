"""`featlab theory`: models of data on which everything can be computed, checked and drawn in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featlab.cli import options
from featlab.cli.progress import shown

if TYPE_CHECKING:
    from featlab.theory.checks import Settings
    from featlab.types import Progress


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """Numbers with colons between them."""

    name = "numbers"

    def convert(
        self, value: str | tuple[float, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        return tuple(options.NUMBER.convert(part, param, ctx) for part in value.split(":"))


@click.command()
@click.option(
    "--spectrum",
    type=Numbers(),
    default="0.05:0.1:0.3:1:2:5",
    show_default=True,
    help="Eigenvalues of the Gaussian model's covariance.",
)
@click.option("--dimension", default=1000, show_default=True, type=click.IntRange(min=1), help="Of the other models.")
@click.option("--p", default=0.95, show_default=True, help="How often the strong coordinate is right (Tsipras et al.).")
@click.option("--samples", default=200_000, show_default=True, help="So many are drawn for each simulation.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("featlab-theory"), show_default=True
)
@options.SEED
@options.JSON
def theory(
    *, spectrum: tuple[float, ...], dimension: int, p: float, samples: int, out: Path, seed: int, as_json: bool
) -> None:
    """Check the theorems on robust features against numbers, and draw them: OUT/report.html.

    The Gaussian theorems 1 to 3 of Ilyas et al. 2019, linear features (Goh 2019), accuracy at odds with robustness
    (Tsipras et al. 2019) and the need for more samples (Schmidt et al. 2018). Takes seconds.
    """
    from featlab.report import theory_page, theory_table, write
    from featlab.runs import Run
    from featlab.theory.checks import Settings

    settings = Settings(spectrum=spectrum, dimension=dimension, p=p, samples=samples, seed=seed)
    terms = {"command": "theory", **_conditions(settings)}
    run = Run.open(out, terms)
    if run.result is None:
        with shown() as progress:
            run.finish(_found(settings, progress))
        run = Run.open(out, terms)
    assert run.result is not None  # It was found just now, or by the same command before.
    write(theory_page(run.result), out / "report.html")
    if as_json:
        click.echo(json.dumps(run.result, allow_nan=False))
        return
    from rich.console import Console

    Console().print(theory_table(run.result))
    click.echo(f"Report: {out / 'report.html'}")


def _conditions(settings: Settings) -> dict[str, Any]:
    from dataclasses import asdict

    import torch

    from featlab import __version__

    return {"settings": asdict(settings), "versions": {"featlab": __version__, "torch": torch.__version__}}


def _found(settings: Settings, progress: Progress) -> dict[str, Any]:
    import time

    from featlab.theory.checks import checks
    from featlab.theory.figures import figures

    begun = time.monotonic()
    rows = [check.record() for check in checks(settings, progress=progress)]
    drawn = figures(settings)
    return {**_conditions(settings), "checks": rows, "figures": drawn, "seconds": round(time.monotonic() - begun, 1)}
