"""`featlab data`: which data there are, fetch them, look at them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from featlab.cli.options import JSON, ROOT


@click.group()
def data() -> None:
    """List, fetch and show data sets."""


@data.command("list")
@ROOT
@JSON
def list_data(root: Path | None, as_json: bool) -> None:
    """List the named data sets, whether they are on this machine, and the other ways to name data."""
    from featlab.datasets.catalog import PLACES
    from featlab.datasets.sources import SOURCES
    from featlab.fetching import data_root
    from featlab.plugins import registry

    folder = data_root(root)
    rows = [
        {
            "name": offer.entry.name,
            "description": offer.entry.summary,
            "provider": offer.provider.name,
            "here": offer.entry.name not in SOURCES or (folder / offer.entry.name).is_dir(),
            "mirrors": [mirror.name for mirror in SOURCES[offer.entry.name].mirrors]
            if offer.entry.name in SOURCES
            else [],
            "licence": SOURCES[offer.entry.name].licence if offer.entry.name in SOURCES else None,
        }
        for offer in registry().offers
        if offer.kind == "datasets"
    ]
    if as_json:
        click.echo(json.dumps({"root": str(folder), "data": rows, "places": PLACES}))
        return
    for item in rows:
        missing = "" if item["here"] else f"; fetch it: featlab data get {item['name']}"
        licence = f" (licence: {item['licence']})" if item["licence"] else ""
        click.echo(f"{item['name']:<16} {item['description']}{licence}{missing}")
    for meaning in PLACES.values():
        click.echo(meaning)


@data.command("get")
@click.argument("name")
@ROOT
@JSON
def get_data(name: str, root: Path | None, as_json: bool) -> None:
    """Fetch a data set from the first mirror that works, verify it, and store it."""
    from featlab.datasets.fashion_mini import NAME
    from featlab.datasets.sources import get

    if name == NAME:
        raise ValueError(f"{NAME} comes with featlab; there is nothing to fetch")
    got = get(name, root=root, say=lambda text: click.echo(text, err=True))
    if as_json:
        facts = {"name": name, "folder": str(got.folder), "mirror": got.mirror, "failures": list(got.failures)}
        click.echo(json.dumps(facts))
        return
    where = "was there already" if got.mirror is None else f"came from: {got.mirror}"
    click.echo(f"{name} is in {got.folder}, verified; it {where}")


@data.command("show")
@click.argument("name")
@click.option("--train/--test", default=False, help="Which part; the test part if nothing is said.")
@click.option("--count", type=click.IntRange(min=1), help="Only so many, spread evenly over the classes.")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Write a PNG with ten images per class.")
@ROOT
@JSON
def show_data(name: str, train: bool, count: int | None, sheet: Path | None, root: Path | None, as_json: bool) -> None:
    """Say what is in a data set: sizes, classes, mean, standard deviation, SHA-256."""
    from featlab.datasets.catalog import open_data
    from featlab.datasets.facts import describe, write_sheet

    opened = open_data(name, train=train, root=root, count=count)
    facts = describe(opened)
    if sheet is not None:
        write_sheet(opened, sheet)
        facts["sheet"] = str(sheet)
    write_facts(facts, as_json=as_json)


def write_facts(facts: dict[str, object], *, as_json: bool) -> None:
    """Print named facts, as one JSON object or one to a line."""
    if as_json:
        click.echo(json.dumps(facts))
        return
    for key, value in facts.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        click.echo(f"{key:<11} {text}")
