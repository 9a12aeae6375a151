"""`featlab compare-sets`: models against threat models, the evidence for which set is the right one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from featlab.cli import options
from featlab.cli.progress import shown


class Specs(options.Spec):
    """Threat models with spaces between them."""

    name = "specs"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text as it is; each threat model in it is checked."""
        for each in value.split():
            super().convert(each, param, ctx)
        return value


@click.command("compare-sets")
@click.argument("models", nargs=-1, required=True)
@options.DATA
@options.ROOT
@click.option(
    "--threat-models",
    "--threat-model",
    "specs",
    multiple=True,
    required=True,
    type=Specs(),
    help='One, or several with spaces between them: "linf:eps=0.1 l2:eps=1.5"; may be repeated.',
)
@click.option("--suite", default="pgd", show_default=True, help="The attacks: quick, pgd, apgd, apgd-t, standard, ...")
@click.option("--engine", default="auto", show_default=True, help="auto, or fast: attacks follow a quicker copy.")
@options.COUNT
@options.OUT
@options.BATCH_SIZE
@options.DEVICE
@options.SEED
@options.JSON
def compare_sets(
    *,
    models: tuple[str, ...],
    data: str,
    root: Path | None,
    specs: tuple[str, ...],
    suite: str,
    engine: str,
    count: int | None,
    out: Path | None,
    batch_size: int,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Compare MODELS in several threat models, and what speaks for each set.

    Robust accuracy of each model in each set and in all at once, how well its input gradients align with images and
    classes, and what its card says of its training. With --out, also a page, OUT/report.html; a run that was stopped
    goes on when the same command is given again.
    """
    import featlab as fl
    from featlab.attacks import suite as suite_of

    suite_of(suite)
    sets = list(dict.fromkeys(each for text in specs for each in text.split()))
    nets = {name: fl.load(spec, device=device) for name, spec in named(models).items()}
    examples = fl.open_data(data, train=False, root=root, count=count)
    attack: dict[str, Any] = {"suite": suite, "engine": engine, "batch_size": batch_size, "seed": seed}
    with shown() as progress, options.run(out, "compare-sets", nets, examples, {"sets": sets, **attack}) as run:
        if run.result is None:
            rows = fl.compare_sets(
                nets,
                examples,
                within={spec: fl.threat_model(spec) for spec in sets},
                **attack,
                cards={name: _card(spec) for name, spec in named(models).items()},
                folder=run.folder,
                progress=progress,
            )
            run.finish({"data": examples.name, **attack, "models": [row.record() for row in rows]})
    _show(run, out, as_json=as_json)


def _show(run: options.Kept, out: Path | None, *, as_json: bool) -> None:
    """Write the page, if there is a folder for it, and print the result."""
    from rich.console import Console

    from featlab.report import comparison_page, comparison_table, write

    assert run.result is not None  # It was found just now, or by the same command before.
    if out is not None:
        write(comparison_page(run.result), out / "report.html")
    if as_json:
        click.echo(json.dumps(run.result))
        return
    Console().print(comparison_table(run.result))
    if out is not None:
        click.echo(f"Report: {out / 'report.html'}")


def named(models: Sequence[str]) -> dict[str, str]:
    """Return the models by the short names that tables have room for; where these are not unique, by what was given."""
    short = [Path(spec.partition(":")[2] or spec).stem for spec in models]
    return dict(zip(short if len(set(short)) == len(set(models)) else models, models, strict=True))


def _card(spec: str) -> dict[str, Any]:
    """Return what a model's file says of its training; nothing for models that are no files of featlab's."""
    from featlab.models import card
    from featlab.models.loading import Spec

    return dict(card(spec)["card"]) if Spec.parse(spec).scheme in {"zoo", "file"} else {}
