"""`featlab attack`: write the adversarial images of a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featlab.cli import options
from featlab.cli.progress import shown

if TYPE_CHECKING:
    from torch import Tensor

    from featlab.datasets import Dataset
    from featlab.models import Classifier
    from featlab.problem import Problem


@click.command()
@click.argument("model")
@options.DATA
@options.ROOT
@click.option(
    "--threat-model", "spec", required=True, type=options.SPEC, help="For example l2:eps=1/2, linf:eps=8/255."
)
@click.option("--steps", default=40, show_default=True, type=click.IntRange(min=0))
@click.option("--step-size", type=float, help="In the units of the threat model; 2.5 eps / steps by default.")
@click.option("--loss", default="cross_entropy", show_default=True, help="cross_entropy, margin, dlr or log_ratio.")
@click.option("--random-start", is_flag=True, help="Start at random in the set instead of at the image.")
@click.option("--restarts", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--count", default=64, show_default=True, type=click.IntRange(min=1), help="So many test images.")
@click.option("--out", required=True, type=options.SAFETENSORS, help="The file to write.")
@options.BATCH_SIZE
@options.DEVICE
@options.SEED
@options.JSON
def attack(
    *,
    model: str,
    data: str,
    root: Path | None,
    spec: str,
    steps: int,
    step_size: float | None,
    loss: str,
    random_start: bool,
    restarts: int,
    count: int,
    out: Path,
    batch_size: int,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Attack MODEL with PGD and write images, originals, labels and answers to a file."""
    from functools import partial

    import featlab as fl
    from featlab.files import write_tensors

    net, within = fl.load(model, device=device), fl.threat_model(spec)
    size = 2.5 * within.radius / max(steps, 1) if step_size is None else step_size
    problem = partial(
        fl.pgd,
        within=within,
        loss=loss,
        steps=steps,
        step_size=size,
        random_start=random_start,
        restarts=restarts,
        seed=seed,
    )
    tensors = _attacked(net, fl.open_data(data, train=False, root=root, count=count), problem, batch_size=batch_size)
    conditions = {name: value for name, value in problem.keywords.items() if name != "within"}
    facts = {"model": model, "data": data, "threat_model": repr(within), **conditions}
    write_tensors(out, tensors, {"attack": json.dumps(facts)})
    still = fl.Accuracy.of(tensors["answers"] == tensors["labels"])
    row = {**facts, "count": still.n, "still_correct": still.record(), "out": str(out)}
    click.echo(json.dumps(row) if as_json else f"{out}: {still} of the attacked images are still classified correctly")


def _attacked(net: Classifier, data: Dataset, problem: Callable[..., Problem], *, batch_size: int) -> dict[str, Tensor]:
    """Return the images found, the originals, their labels and the model's answers, as named tensors."""
    import torch

    import featlab as fl

    parts, done = [], 0
    with shown() as progress:
        for images, labels, index in data.batches(batch_size):
            found = fl.maximize(problem(net, images.to(net.device), labels.to(net.device), examples=index))
            parts.append((found.cpu(), images, labels, fl.predict(net, found).cpu()))
            done += len(index)
            progress("attack", done, len(data))
    names = ("images", "originals", "labels", "answers")
    return dict(zip(names, map(torch.cat, zip(*parts, strict=True)), strict=True))
