"""`featlab demo`: the central experiment, from one command, on real images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featlab.cli.options import DEVICE, ROOT, SEED
from featlab.cli.progress import shown

if TYPE_CHECKING:
    from featlab.central.experiment import Experiment
    from featlab.types import Progress


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("featlab-demo"), show_default=True
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Also write the result here."
)
@click.option("--data", default="fashion-mini", show_default=True, help="Name of a data set; see `featlab data list`.")
@ROOT
@click.option(
    "--recipe", default="fashion-mini", show_default=True, help="Name of a recipe, or a path ending in .toml."
)
@DEVICE
@SEED
@click.option("--keep-sets", is_flag=True, help="Keep the constructed sets in OUT/sets.")
def demo(
    *,
    out: Path,
    json_file: Path | None,
    data: str,
    root: Path | None,
    recipe: str,
    device: str,
    seed: int,
    keep_sets: bool,
) -> None:
    """Run the central experiment of "Adversarial Examples Are Not Bugs, They Are Features".

    Trains a standard and a robust net, builds D_rand, D_det, D_R and D_NR with their controls, trains fresh nets on
    them, and writes OUT/report.html. A run that was stopped goes on when the same command is given again.
    """
    with shown() as progress:
        experiment = _experiment(out, data, root, recipe, device, seed, progress)
        _claim(experiment, out)
        with experiment.shop.cleaned(keep_sets=keep_sets):
            result = _run_and_report(experiment, out)
    if json_file is not None:
        from featlab.files import write_json

        write_json(json_file, result)
    _show(result, out)


def _experiment(
    out: Path, data: str, root: Path | None, recipe: str, device: str, seed: int, progress: Progress
) -> Experiment:
    from featlab import datasets, models, recipes
    from featlab.central.experiment import Experiment
    from featlab.central.recipe import Recipe
    from featlab.central.workshop import Workshop

    chosen = recipes.read("central", recipe, Recipe)
    train_data = datasets.open_data(data, train=True, root=root, count=chosen.train_count or None)
    test_data = datasets.open_data(data, train=False, root=root, count=chosen.test_count or None)

    def log(row: dict[str, object]) -> None:
        with (out / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    shop = Workshop(out, chosen.net, models.pick_device(device), chosen.batch_size, seed, progress, log)
    return Experiment(chosen, train_data, test_data, shop)


def _claim(experiment: Experiment, out: Path) -> None:
    """Begin in an empty folder, go on in one of the same run, and refuse one of another."""
    from featlab.files import write_json

    marker, terms = experiment.shop.work / "terms.json", json.loads(json.dumps(experiment.terms()))
    if marker.exists():
        if json.loads(marker.read_text(encoding="utf-8")) != terms:
            raise ValueError(
                f"{out} holds an unfinished run with other arguments; give them again to go on, choose another --out, "
                f"or delete {experiment.shop.work}"
            )
        return
    foreign = out.exists() and any(out.iterdir()) and not (out / "run.json").exists()
    if foreign:
        raise ValueError(f"{out} is not empty and holds no run; choose another --out")
    for name in ("nets", "sets", "images"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("run.json", "metrics.jsonl", "report.html"):
        (out / name).unlink(missing_ok=True)
    write_json(marker, terms)


def _run_and_report(experiment: Experiment, out: Path) -> dict[str, object]:
    from featlab.central.pictures import pictures
    from featlab.files import write_json
    from featlab.report import central_page, save_png, write

    found = experiment.run()
    shown = pictures(experiment, found)
    for picture in shown:
        save_png(picture, out / "images")
    write(central_page(found.result, shown), out / "report.html")
    write_json(out / "run.json", found.result)
    return found.result


def _show(result: dict[str, object], out: Path) -> None:
    from rich.console import Console

    from featlab.report import central_table

    console = Console()
    console.print(central_table(result))
    console.print(f"Report: {out / 'report.html'}")
