"""What the commands of experiments about perturbations share: their options, and a run that goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import reduce, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featlab.cli import options
from featlab.cli.progress import shown

if TYPE_CHECKING:
    from featlab.central.perturbations import Bench
    from featlab.datasets import Dataset
    from featlab.models import Classifier
    from featlab.types import Progress


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What the user chose."""

    source: str | None
    data: str
    root: Path | None
    recipe: str
    spec: str | None
    out: Path
    keep_sets: bool
    device: str
    seed: int
    as_json: bool


def choices(folder: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Give a command the options of an experiment, as one argument `chosen`; the run is kept in `folder` by default."""
    given = (
        click.argument("source", required=False),
        click.option("--data", default="fashion-mini", show_default=True, help="See `featlab data list`."),
        options.ROOT,
        click.option(
            "--recipe", default="fashion-mini", show_default=True, help="Name of a recipe, or a path ending in .toml."
        ),
        click.option(
            "--threat-model",
            "spec",
            type=options.SPEC,
            help="In place of the recipe's; its steps grow or shrink with the radius.",
        ),
        click.option(
            "--out", type=click.Path(path_type=Path, file_okay=False), default=Path(folder), show_default=True
        ),
        click.option("--keep-sets", is_flag=True, help="Keep the constructed sets in OUT/sets."),
        options.DEVICE,
        options.SEED,
        options.JSON,
    )

    def decorated(function: Callable[..., object]) -> Callable[..., object]:
        @wraps(function)
        def _gathered(**values: Any) -> object:
            known = {each.name: values.pop(each.name) for each in fields(Chosen)}
            return function(chosen=Chosen(**known), **values)

        return reduce(lambda made, option: option(made), reversed(given), _gathered)

    return decorated


def carried_out(
    command: str,
    chosen: Chosen,
    found_by: Callable[[Bench], Mapping[str, object]],
    *,
    more: Mapping[str, object],
    page: Callable[[Mapping[str, Any]], Any],
    table: Callable[[Mapping[str, Any]], Any],
) -> None:
    """Carry out an experiment in its folder, or take what the same command found there; write its page and show it.

    `more` are arguments of the command's own that the result is a function of.
    """
    from featlab.report import write
    from featlab.runs import Run

    with shown() as progress:
        bench = _bench(chosen, progress)
        terms = {**bench.conditions(command, chosen.source), **more}
        result = Run.open(chosen.out, terms).result
        if result is None:
            with bench.shop.cleaned(keep_sets=chosen.keep_sets):
                found = {"conditions": terms, **found_by(bench)}
                Run.open(chosen.out, terms).finish(found)
            result = json.loads(json.dumps(found))
    write(page(result), chosen.out / "report.html")
    if chosen.as_json:
        click.echo(json.dumps({**result, "report": str(chosen.out / "report.html")}, allow_nan=False))
        return
    from rich.console import Console

    Console().print(table(result))
    click.echo(f"Report: {chosen.out / 'report.html'}")


def _bench(chosen: Chosen, progress: Progress) -> Bench:
    """Return the bench of an experiment: recipe, data, and the source that was given."""
    from featlab import datasets, models, recipes
    from featlab.central.perturbations import Bench, PerturbationRecipe
    from featlab.central.workshop import Workshop

    recipe = recipes.read("perturbations", chosen.recipe, PerturbationRecipe)
    recipe = recipe if chosen.spec is None else recipe.inside(chosen.spec)
    train_data = datasets.open_data(chosen.data, train=True, root=chosen.root, count=recipe.train_count or None)
    test_data = datasets.open_data(chosen.data, train=False, root=chosen.root, count=recipe.test_count or None)
    device = models.pick_device(chosen.device)
    given = None if chosen.source is None else fitting(models.load(chosen.source, device=device), train_data)

    def log(row: dict[str, object]) -> None:
        with (chosen.out / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    shop = Workshop(chosen.out, recipe.net, device, recipe.batch_size, chosen.seed, progress, log)
    return Bench(recipe, train_data, test_data, shop, given)


def fitting(net: Classifier, data: Dataset) -> Classifier:
    """Return a model that the user named, after seeing that it takes the data's images and knows as many classes."""
    if net.shape != data.shape or len(net.classes) != len(data.classes):
        raise ValueError(
            f"{net.label} takes images of {' x '.join(map(str, net.shape))} and knows {len(net.classes)} classes, "
            f"while {data.name} has {' x '.join(map(str, data.shape))} and {len(data.classes)}; choose the data that "
            "the model was trained on"
        )
    return net
