"""`featlab release`: a trained net in half precision, with what it can do in its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featlab.cli import options
from featlab.cli.progress import shown

if TYPE_CHECKING:
    from featlab.evaluation import Evaluation
    from featlab.models import Classifier


@click.command()
@click.argument("model")
@click.option("--out", required=True, type=options.SAFETENSORS, help="The net to ship; its name is the file's.")
@options.DATA
@options.ROOT
@options.THREAT_MODELS
@click.option("--suite", default="standard", show_default=True, help="The attacks that measure robust accuracy.")
@click.option("--engine", default="fast", show_default=True, help="What attacks follow; the net itself judges.")
@click.option("--count", type=click.IntRange(min=1), help="Attack so many test images, balanced; all by default.")
@options.BATCH_SIZE
@options.DEVICE
@options.SEED
@options.JSON
def release(
    *,
    model: str,
    out: Path,
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
    """Write MODEL in half precision to OUT, with its clean and robust accuracy in the card.

    What is measured is the net as it is stored: clean on all test images, robust on COUNT of them.
    """
    import featlab as fl

    net = rounded(fl.load(model, device=device), name=out.stem)
    tests = fl.open_data(data, train=False, root=root)
    chosen = fl.open_data(data, train=False, root=root, count=count)
    with shown() as progress:
        reports = {
            spec: fl.evaluate(
                net,
                chosen,
                within=fl.threat_model(spec),
                suite=suite,
                engine=engine,
                batch_size=batch_size,
                seed=seed,
                progress=lambda stage, done, total, spec=spec: progress(f"{spec} {stage}", done, total),
            )
            for spec in specs
        }
    card = {**trained(model), "tests": {"name": tests.name, "sha256": tests.sha256}}
    card["clean"] = fl.accuracy(net, tests, batch_size=batch_size).record()
    card["robust"] = [
        {"suite": suite, "engine": engine, "seed": seed, **brief(spec, found)} for spec, found in reports.items()
    ]
    write(net, out, card)
    click.echo(
        json.dumps(card) if as_json else "\n".join([f"{out}: clean {card['clean']['accuracy']:.1%}", *lines(card)])
    )


def rounded(net: Classifier, *, name: str) -> Classifier:
    """Return the net with its weights rounded to half precision, which is how they will be stored."""
    dtype = next(net.parameters()).dtype
    made = net.half().to(dtype)
    made.name = name
    return made


def trained(model: str) -> dict[str, Any]:
    """Return what the card of a file says of the training: recipe, data, seed and time."""
    from featlab.models import card

    record = card(model)["card"] if model.startswith(("zoo:", "file:")) or model.endswith(".safetensors") else {}
    return {key: value for key, value in record.items() if key not in {"clean", "robust", "tests"}}


def brief(spec: str, found: Evaluation) -> dict[str, Any]:
    """Return a robust accuracy with what was attacked, and what each attack left."""
    after = {tried.name: left.accuracy for tried, left in found.after}
    return {"threat_model": spec, **found.robust.record(), "after": after}


def lines(card: dict[str, Any]) -> list[str]:
    """Return one line for each robust accuracy of a card."""
    return [
        f"  {row['threat_model']}: {row['accuracy']:.1%} [{row['low']:.1%}, {row['high']:.1%}] under the suite "
        f"{row['suite']} (n={row['n']})"
        for row in card.get("robust", [])
    ]


def write(net: Classifier, out: Path, card: dict[str, Any]) -> None:
    """Write the net with its card."""
    import torch

    from featlab.models import save

    out.parent.mkdir(parents=True, exist_ok=True)
    save(net, out, card=card, dtype=torch.float16)
