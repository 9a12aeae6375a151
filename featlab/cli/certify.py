"""`featlab certify`: certified accuracy by randomised smoothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from featlab.cli import options
from featlab.cli.evaluate import said
from featlab.cli.progress import shown


@click.command()
@click.argument("model")
@options.DATA
@options.ROOT
@click.option(
    "--sigma", required=True, type=options.NUMBER, help="Standard deviation of the noise, in units of [0, 1]."
)
@click.option("--n0", default=100, show_default=True, type=click.IntRange(min=1), help="Draws that choose the class.")
@click.option("--n", "draws", default=1000, show_default=True, type=click.IntRange(min=1), help="Draws that count it.")
@click.option("--alpha", default=0.001, show_default=True, help="Probability that a certificate is wrong.")
@options.COUNT
@options.OUT
@options.BATCH_SIZE
@options.DEVICE
@options.SEED
@options.JSON
def certify(
    *,
    model: str,
    data: str,
    root: Path | None,
    sigma: float,
    n0: int,
    draws: int,
    alpha: float,
    count: int | None,
    out: Path | None,
    batch_size: int,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Certify the Euclidean radius within which the smoothed MODEL keeps its answer, for each test image.

    The smoothed model answers what MODEL answers most often under Gaussian noise, which MODEL should have been trained
    with (Cohen et al. 2019). With --out, a run that was stopped goes on when the same command is given again.
    """
    import featlab as fl

    net = fl.load(model, device=device)
    examples = fl.open_data(data, train=False, root=root, count=count)
    chosen: dict[str, Any] = {
        "sigma": sigma,
        "n0": n0,
        "n": draws,
        "alpha": alpha,
        "batch_size": batch_size,
        "seed": seed,
    }
    with shown() as progress, options.run(out, "certify", {model: net}, examples, chosen) as run:
        if run.result is None:
            found = fl.certify(net, examples, **chosen, checkpoint=run.file("counts"), progress=progress)
            run.finish({"model": model, "data": examples.name, **found.record()})
    result = run.result or {}
    click.echo(json.dumps(result) if as_json else "\n".join(_lines(result)))


def _lines(result: Mapping[str, Any]) -> list[str]:
    return [
        f"smoothed accuracy  {said(result['accuracy'])}, abstains on {result['abstained']['accuracy']:.1%}",
        f"mean certified radius  {result['mean_radius']:.4f} (wrong answers count as 0; the largest there can be is "
        f"{result['largest_radius']:.4f})",
        *(f"    within {point['radius']:.4f}: {said(point)}" for point in result["points"]),
    ]
