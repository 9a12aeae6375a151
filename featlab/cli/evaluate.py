"""`featlab evaluate`: accuracy, clean and under attack."""

from __future__ import annotations

import json
from pathlib import Path

import click

from featlab.cli import options
from featlab.cli.progress import shown


@click.command()
@click.argument("model")
@options.DATA
@options.ROOT
@click.option(
    "--threat-model", "specs", multiple=True, type=options.SPEC, help="For example l2:eps=1/2; may be repeated."
)
@click.option("--suite", default="pgd", show_default=True, help="The attacks: quick, pgd, apgd or apgd-t.")
@click.option(
    "--engine", default="auto", show_default=True, help="What attacks follow: auto, the model; fast, a quicker copy."
)
@click.option("--count", type=click.IntRange(min=1), help="So many test images, balanced; all by default.")
@options.BATCH_SIZE
@options.DEVICE
@options.SEED
@options.JSON
def evaluate(
    *,
    model: str,
    data: str,
    root: Path | None,
    specs: tuple[str, ...],
    suite: str,
    engine: str,
    count: int | None,
    batch_size: int,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Evaluate MODEL (file:PATH, torchvision:NAME, robustness:PATH, module.py:factory, ...) on test images."""
    import featlab as fl
    from featlab.attacks import suite as suite_of
    from featlab.engine import engine as engine_of

    chosen, how = suite_of(suite), engine_of(engine)
    net = fl.load(model, device=device)
    examples = fl.open_data(data, train=False, root=root, count=count)
    with shown() as progress:
        reports = {
            spec: fl.evaluate(
                net,
                examples,
                within=fl.threat_model(spec),
                suite=chosen,
                engine=how,
                batch_size=batch_size,
                seed=seed,
                progress=lambda stage, done, total, spec=spec: progress(f"{spec} {stage}", done, total),
            )
            for spec in specs
        }
    clean = next((each.clean for each in reports.values()), None) or fl.accuracy(net, examples, batch_size=batch_size)
    if as_json:
        rows = [report.record() for report in reports.values()]
        click.echo(json.dumps({"model": model, "data": examples.name, "clean": clean.record(), "robust": rows}))
        return
    click.echo(f"clean accuracy  {clean}")
    for spec, report in reports.items():
        click.echo(f"{spec}  robust accuracy  {report.robust}")
        for tried, left in report.after:
            click.echo(f"    after {tried.name}: {left}")
