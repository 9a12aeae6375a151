"""`featlab train`: a standard or robust net, resumable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featlab.cli import options

if TYPE_CHECKING:
    from featlab.training import Epoch


@click.command()
@click.option("--recipe", required=True, help="Name of a recipe (see featlab/recipes/nets), or a path ending in .toml.")
@click.option("--out", required=True, type=options.SAFETENSORS, help="The net, with its card.")
@click.option("--data", help="Name of a data set; the recipe's by default.")
@options.ROOT
@click.option("--count", type=click.IntRange(min=1), help="Train on so many images, balanced over the classes.")
@click.option("--epochs", type=click.IntRange(min=0), help="Instead of the recipe's.")
@options.DEVICE
@options.SEED
@options.JSON
def train(
    *,
    recipe: str,
    out: Path,
    data: str | None,
    root: Path | None,
    count: int | None,
    epochs: int | None,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Train a classifier and write it to OUT, with its card.

    While it runs, OUT.checkpoint holds the state; the same command goes on from there after an interruption.
    """
    from featlab import datasets, models, recipes
    from featlab.recipes.nets import NetRecipe, make

    chosen = recipes.read("nets", recipe, NetRecipe).with_epochs(epochs)
    examples = datasets.open_data(data or chosen.data, train=True, root=root, count=count)
    tests = datasets.open_data(data or chosen.data, train=False, root=root)

    def note(epoch: Epoch) -> None:
        click.echo(f"epoch {epoch.number}: loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.1%}", err=True)

    card = make(chosen, examples, tests, out=out, device=models.pick_device(device), seed=seed, note=note)
    click.echo(json.dumps(card) if as_json else f"{out}: clean accuracy {card['clean']['accuracy']:.1%}")
