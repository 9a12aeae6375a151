"""`featlab dataset build`: D_rand, D_det, D_R or D_NR of any classifier and data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featlab.cli import options
from featlab.cli.progress import shown

if TYPE_CHECKING:
    from featlab.datasets.construct import Construction
    from featlab.datasets.dataset import Dataset
    from featlab.models import Classifier

COLUMNS = {
    "d_rand": ("source_index", "original_label", "reached"),
    "d_det": ("source_index", "original_label", "reached"),
    "represented": ("source_index", "start_index"),
}


@click.command("build")
@click.argument("kind", type=click.Choice(tuple(COLUMNS)))
@click.option("--source", required=True, help="The classifier whose features the set is to carry; as for evaluate.")
@click.option("--data", required=True, help="Name of the data set whose training images are used.")
@options.ROOT
@click.option("--count", type=click.IntRange(min=1), help="Use so many images, balanced; all by default.")
@click.option(
    "--threat-model", "spec", default="box", show_default=True, type=options.SPEC, help="Where images may move."
)
@click.option("--steps", required=True, type=click.IntRange(min=0))
@click.option("--step-size", required=True, type=float)
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="The folder of the set.")
@options.BATCH_SIZE
@options.DEVICE
@options.SEED
@options.JSON
def build(
    *,
    kind: str,
    source: str,
    data: str,
    root: Path | None,
    count: int | None,
    spec: str,
    steps: int,
    step_size: float,
    out: Path,
    batch_size: int,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Build a constructed set: d_rand, d_det, or represented (D_R from a robust, D_NR from a standard SOURCE).

    A build that was stopped goes on when the same command is given again. Source: Ilyas et al. 2019, section 3.
    """
    import torch

    from featlab import datasets, models
    from featlab.datasets.construct import construct
    from featlab.datasets.constructed import ConstructedWriter

    examples = datasets.open_data(data, train=True, root=root, count=count)
    net = models.load(source, device=device)
    construction = _construction(kind, net, examples, spec=spec, steps=steps, step_size=step_size, seed=seed)
    writer = ConstructedWriter(
        out,
        recipe={"construction": kind, "threat_model": spec, "steps": steps, "step_size": step_size, "seed": seed},
        provenance={
            "data": examples.name,
            "data_sha256": examples.sha256,
            "source": source,
            "model_sha256": net.hash(),
            "torch": torch.__version__,
        },
        total=len(examples),
        shape=examples.shape,
        classes=examples.classes,
        columns=COLUMNS[kind],
    )
    with shown() as progress:
        for done in construct(construction, writer, batch_size=batch_size):
            progress(f"build {kind}", done, len(examples))
    built = writer.finish()
    row = {"out": str(out), "kind": kind, "count": len(built), "sha256": built.sha256}
    click.echo(json.dumps(row) if as_json else f"{out}: {len(built)} images")


def _construction(
    kind: str, net: Classifier, data: Dataset, *, spec: str, steps: int, step_size: float, seed: int
) -> Construction:
    from featlab import models
    from featlab.datasets.construct import Perturbed, Represented, next_targets, random_targets, unrelated_rows
    from featlab.plugins import threat_model

    within, classes = threat_model(spec), len(data.classes)
    if kind == "represented":
        starts = unrelated_rows(len(data), seed=seed)
        return Represented(models.penultimate(net), data, starts, within, steps, step_size, net.device)
    next_class = kind == "d_det"
    targets = (
        next_targets(data.labels, classes=classes)
        if next_class
        else random_targets(data.labels, classes=classes, seed=seed)
    )
    return Perturbed(net, data, targets, within, steps, step_size)
