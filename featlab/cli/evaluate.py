"""`featlab evaluate`: accuracy, clean and under attack."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("model")
@click.option("--data", required=True, help="Name of a data set; see `featlab data list`.")
@click.option("--root", type=click.Path(path_type=Path), help="Folder of a local copy of the data.")
@click.option("--threat-model", "specs", multiple=True, help="For example l2:eps=1/2; may be repeated.")
@click.option("--suite", default="pgd", show_default=True, help="The attacks: quick or pgd.")
@click.option("--count", type=click.IntRange(min=1), help="So many test images, balanced; all by default.")
@click.option("--batch-size", default=256, show_default=True, type=click.IntRange(min=1))
@click.option("--device", default="auto", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def evaluate(
    *,
    model: str,
    data: str,
    root: Path | None,
    specs: tuple[str, ...],
    suite: str,
    count: int | None,
    batch_size: int,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Evaluate MODEL (file:PATH, torchvision:NAME, robustness:PATH, module.py:factory, ...) on test images."""
    import featlab as fl
    from featlab import datasets, models
    from featlab.plugins import threat_model

    sets = [threat_model(spec) for spec in specs]
    net = models.load(model, device=device)
    examples = datasets.open_data(data, train=False, root=root, count=count)
    options = {"batch_size": batch_size, "seed": seed}
    clean = fl.accuracy(net, examples, batch_size=batch_size)
    reports = [fl.evaluate(net, examples, within=within, suite=suite, **options) for within in sets]
    if as_json:
        rows = [report.record() for report in reports]
        click.echo(json.dumps({"model": model, "data": examples.name, "clean": clean.record(), "robust": rows}))
        return
    click.echo(f"clean accuracy  {clean}")
    for spec, report in zip(specs, reports, strict=True):
        click.echo(f"{spec}  robust accuracy  {report.robust}")
        for tried, left in report.after:
            click.echo(f"    after {tried.name}: {left}")
