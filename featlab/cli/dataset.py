"""`featlab dataset`: constructed data sets on the disk."""

from __future__ import annotations

from pathlib import Path

import click

from featlab.cli.build import build
from featlab.cli.data import write_facts
from featlab.cli.options import JSON

FOLDER = click.Path(path_type=Path)


@click.group()
def dataset() -> None:
    """Work with constructed data sets."""


@dataset.command("info")
@click.argument("path", type=FOLDER)
@JSON
def info(path: Path, as_json: bool) -> None:
    """Say what the constructed set at PATH is: recipe, provenance, sizes, shards, and whether it is complete."""
    from featlab.datasets.layout import read_index

    index = read_index(path)
    plan = index.plan
    facts: dict[str, object] = {
        "path": str(path),
        "complete": index.complete,
        "count": plan.total,
        "shape": list(plan.shape),
        "dtype": plan.dtype,
        "classes": list(plan.classes),
        "columns": list(plan.columns),
        "shards": len(list(plan.ranges())),
        "recipe": plan.recipe,
        "provenance": plan.provenance,
    }
    write_facts(facts, as_json=as_json)


@dataset.command("verify")
@click.argument("path", type=FOLDER)
@JSON
def verify(path: Path, as_json: bool) -> None:
    """Read the constructed set at PATH in full, and check each shard against its SHA-256."""
    from featlab.datasets.constructed import open_constructed

    data = open_constructed(path, verify=True)
    write_facts({"path": str(path), "verified": True, "count": len(data), "sha256": data.sha256}, as_json=as_json)


@dataset.command("export")
@click.argument("path", type=FOLDER)
@click.argument("folder", type=FOLDER)
@JSON
def export(path: Path, folder: Path, as_json: bool) -> None:
    """Write the constructed set at PATH into FOLDER in the published layout, CIFAR_ims and CIFAR_lab."""
    from featlab.datasets.constructed import open_constructed
    from featlab.datasets.madry import export_constructed

    data = open_constructed(path)
    files = export_constructed(data, folder)
    write_facts({"count": len(data), "files": [str(file) for file in files]}, as_json=as_json)


@dataset.command("import")
@click.argument("folder", type=FOLDER)
@click.argument("path", type=FOLDER)
@click.option("--classes", help="Names of the classes, with commas; those of CIFAR-10 if nothing is said.")
@JSON
def import_(folder: Path, path: Path, classes: str | None, as_json: bool) -> None:
    """Write the set in FOLDER, CIFAR_ims and CIFAR_lab, as a constructed set at PATH."""
    from featlab.datasets.madry import import_constructed
    from featlab.datasets.sources import CIFAR10

    names = CIFAR10.classes if classes is None else tuple(name.strip() for name in classes.split(","))
    data = import_constructed(folder, path, classes=names)
    write_facts({"path": str(path), "count": len(data), "sha256": data.sha256}, as_json=as_json)


dataset.add_command(build)
