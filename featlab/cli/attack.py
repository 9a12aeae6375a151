"""`featlab attack`: write the adversarial images of a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from torch import Tensor

    import featlab as fl
    from featlab.datasets import Dataset
    from featlab.models import Classifier
    from featlab.problem import Problem
    from featlab.types import Images, Labels, Rows


@click.command()
@click.argument("model")
@click.option("--data", required=True, help="Name of a data set; see `featlab data list`.")
@click.option("--root", type=click.Path(path_type=Path), help="Folder of a local copy of the data.")
@click.option("--threat-model", "spec", required=True, help="For example l2:eps=1/2 or linf:eps=8/255.")
@click.option("--steps", default=40, show_default=True, type=click.IntRange(min=0))
@click.option("--step-size", type=float, help="In the units of the threat model; 2.5 eps / steps by default.")
@click.option("--loss", default="cross_entropy", show_default=True)
@click.option("--random-start", is_flag=True)
@click.option("--restarts", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--count", default=64, show_default=True, type=click.IntRange(min=1), help="So many test images.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="NAME.safetensors")
@click.option("--batch-size", default=256, show_default=True, type=click.IntRange(min=1))
@click.option("--device", default="auto", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
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
    """Attack MODEL with PGD and write images, originals, labels and answers to OUT."""
    import featlab as fl
    from featlab import datasets, models
    from featlab.files import write_tensors

    if out.suffix != ".safetensors":
        raise ValueError(f"--out must end in .safetensors, got {out}")
    net, within = models.load(model, device=device), fl.threat_model(spec)
    size = 2.5 * within.radius / max(steps, 1) if step_size is None else step_size
    examples = datasets.open_data(data, train=False, root=root, count=count)

    def problem(images: Images, labels: Labels, index: Rows) -> fl.Problem:
        return fl.pgd(
            net,
            images,
            labels,
            within=within,
            steps=steps,
            step_size=size,
            loss=loss,
            random_start=random_start,
            restarts=restarts,
            seed=seed,
            examples=index,
        )

    tensors = _attacked(net, examples, problem, batch_size=batch_size)
    facts = {
        "model": model,
        "threat_model": repr(within),
        "loss": loss,
        "steps": steps,
        "step_size": size,
        "seed": seed,
    }
    write_tensors(out, tensors, {"attack": json.dumps(facts)})
    still = fl.Accuracy.of(tensors["answers"] == tensors["labels"])
    row = {**facts, "count": len(examples), "still_correct": still.record(), "out": str(out)}
    click.echo(json.dumps(row) if as_json else f"{out}: {still} of the attacked images are still classified correctly")


def _attacked(
    net: Classifier, data: Dataset, problem: Callable[[Images, Labels, Rows], Problem], *, batch_size: int
) -> dict[str, Tensor]:
    """Return the images found, the originals, their labels and the model's answers, as named tensors."""
    import torch

    import featlab as fl

    parts = []
    for images, labels, index in data.batches(batch_size):
        found = fl.maximize(problem(images.to(net.device), labels.to(net.device), index))
        parts.append((found.cpu(), images, labels, fl.predict(net, found).cpu()))
    names = ("images", "originals", "labels", "answers")
    return dict(zip(names, map(torch.cat, zip(*parts, strict=True)), strict=True))
