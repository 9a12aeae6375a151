"""`featlab plugin`: begin a plugin of your own, and check one that is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featlab.cli.options import JSON

if TYPE_CHECKING:
    from featlab.testing.installed import Judged


class Shape(click.ParamType):  # type: ignore[type-arg]  # Not generic before click 8.5.
    """The shape of one image as 3,8,8."""

    name = "shape"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the sizes; anything but whole numbers > 0 is an error."""
        sizes = value.split(",")
        if not all(size.strip().isdecimal() and int(size) > 0 for size in sizes):
            self.fail(f"a shape is written as whole numbers with commas, such as 3,8,8; got {value!r}", param, ctx)
        return tuple(map(int, sizes))


class Assignment(click.ParamType):  # type: ignore[type-arg]
    """An option of a plugin as eps=8/255."""

    name = "key=value"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return the name and the text of its value."""
        key, equals, text = (part.strip() for part in value.partition("="))
        if not (key and equals):
            self.fail(f"an option is written name=value, such as eps=8/255; got {value!r}", param, ctx)
        return key, text


@click.group()
def plugin() -> None:
    """Write plugins: `new` begins one, `check` sees whether an installed one holds what it must."""


@plugin.command("check")
@click.argument("name")
@click.option(
    "--option", "given", multiple=True, type=Assignment(), help="An option of the entry, eps=8/255; may be repeated."
)
@click.option("--shape", "shapes", multiple=True, type=Shape(), help="Of one image, 3,8,8 by default; may be repeated.")
@click.option("--within", default="box", show_default=True, help="The threat model of tasks that ask for one.")
@click.option(
    "--images", type=Shape(), help="Of a task's images, where the model takes others, as in super-resolution."
)
@click.option("--exempt", multiple=True, metavar="PROPERTY", help="A property not to ask for; may be repeated.")
@click.option("--tolerance", default=1e-6, show_default=True, help="What two ways to the same point may differ by.")
@click.option("--examples", default=25, show_default=True, type=click.IntRange(min=1), help="Random cases per shape.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@JSON
def check(
    *,
    name: str,
    given: tuple[tuple[str, str], ...],
    shapes: tuple[tuple[int, ...], ...],
    within: str,
    images: tuple[int, ...] | None,
    exempt: tuple[str, ...],
    tolerance: float,
    examples: int,
    device: str,
    as_json: bool,
) -> int:
    """Run the conformance kit on NAME: an entry, with options as in linf:eps=8/255, an entry point or a distribution.

    Prints one line per property. Exit status 0 if all hold, 1 if one is broken. Needs `pip install featlab[testing]`.
    """
    installed = _kit()
    trying = installed.Trying(
        options=dict(given),
        shapes=shapes or (installed.SHAPE,),
        within=within,
        images=images,
        exempt=exempt,
        tolerance=tolerance,
        examples=examples,
        device=device,
    )
    judged = []
    for each in installed.judge_installed(name, trying):
        judged.append(each)
        if not as_json:
            _write(each)
    passed = all(each.passed for each in judged)
    if as_json:
        click.echo(json.dumps({"passed": passed, "entries": [_row(each) for each in judged]}))
    return 0 if passed else 1


def _kit() -> Any:
    """Return the part of the kit that checks what is installed; it stands on an extra."""
    try:
        from featlab.testing import installed
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the conformance kit needs {error.name}, which is not installed; pip install 'featlab[testing]'"
        ) from error
    return installed


def _write(judged: Judged) -> None:
    """Print what became of one entry, one line per property."""
    row = _row(judged)
    click.echo(f"{row['kind']} {row['name']}  [{judged.offer.provider}], {row['about']}")
    for verdict in judged.verdicts:
        click.echo(f"  {verdict.outcome:7} {verdict.law:20} {verdict.reason}".rstrip())


def _row(judged: Judged) -> dict[str, Any]:
    from featlab.plugins import NOUNS

    offer = judged.offer
    return {
        "kind": NOUNS[offer.kind],
        "name": offer.entry.name,
        "provider": offer.provider.name,
        "distribution": offer.provider.distribution,
        "version": offer.provider.version,
        "about": judged.about,
        "passed": judged.passed,
        "properties": [{"name": v.law, "outcome": v.outcome, "reason": v.reason} for v in judged.verdicts],
    }


KINDS = {
    "threat-model": "A threat model (the default).",
    "extractor": "An extractor.",
    "task": "A task.",
    "dataset": "A data set.",
    "kernel": "A threat model whose step is a C++ kernel.",
}


@plugin.command("new")
@click.argument("name")
@click.option("--threat-model", "kinds", flag_value="threat-model", multiple=True, help=KINDS["threat-model"])
@click.option("--extractor", "kinds", flag_value="extractor", multiple=True, help=KINDS["extractor"])
@click.option("--task", "kinds", flag_value="task", multiple=True, help=KINDS["task"])
@click.option("--dataset", "kinds", flag_value="dataset", multiple=True, help=KINDS["dataset"])
@click.option("--kernel", "kinds", flag_value="kernel", multiple=True, help=KINDS["kernel"])
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder to write NAME into; this one by default.",
)
@JSON
def new(*, name: str, kinds: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Write a complete plugin, NAME, that can be installed at once: package, tests with the kit, README.

    NAME becomes the name of the distribution, of its entry point and of its entry.
    """
    from featlab.scaffold import write

    if len(set(kinds)) > 1:
        raise click.UsageError(f"a plugin begins as one kind; got --{' and --'.join(dict.fromkeys(kinds))}")
    folder = write(name, kind=kinds[0] if kinds else "threat-model", out=out)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "files": files}))
        return
    click.echo(f"{folder}: {', '.join(files)}\n\nnow:")
    for line in (f"pip install {folder} --no-build-isolation", f"featlab plugin check {name}", f"pytest {folder}"):
        click.echo(f"    {line}")
