"""`featlab generate`, `featlab inpaint`, ... and `featlab task NAME`: a command for every task, from its signature.

Tasks of other plugins are commands of `featlab task`. Everything that a command needs to know of a task is read off the
signature and the docstring, see `featlab.forms`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featlab.cli import options
from featlab.cli.material import Asked, Errand, gather

if TYPE_CHECKING:
    from featlab.forms import Field

PICTURE = click.Path(path_type=Path, exists=True, dir_okay=False)

GIVEN: Mapping[str, Callable[..., Any]] = {
    "images": click.option("--images", multiple=True, type=PICTURE, help="A picture; may be repeated."),
    "index": click.option("--index", metavar="ROWS", help="Rows of the test part of --data, such as 3,7,12."),
    "start": click.option(
        "--start",
        type=click.Choice(["images", "grey", "noise"]),
        default="images",
        show_default=True,
        help="Begin with the images, or with plain grey or noise.",
    ),
    "spoil": click.option(
        "--spoil",
        multiple=True,
        metavar="WAY=SIZE",
        help="Spoil the images first: noise=0.3, blur=1.5, shrink=2 or outline=0.2; may be repeated.",
    ),
    "as_is": click.option("--as-is", is_flag=True, help="Leave pictures the size that they have."),
    "classes": click.option(
        "--class",
        "--labels",
        "classes",
        multiple=True,
        metavar="NAME",
        help="The class that is wanted, by name or number, for all images or one each; `data` for their own.",
    ),
    "mask": click.option(
        "--mask", metavar="FILE|BOX", help="Where images may change: a picture, white there, or LEFT:TOP:RIGHT:BOTTOM."
    ),
    "reference": click.option(
        "--reference",
        multiple=True,
        metavar="FILE|ROW",
        help="A picture or a row of --data, for all images or one each.",
    ),
    "unit": click.option("--unit", metavar="LAYER:UNIT", help="A layer or a unit, such as layer4:7."),
}
"""The options for what a task asks for by name; those of the words that it does not ask for are left out."""

NEEDS = {"images": ("images", "index", "start", "spoil", "as_is"), "labels": ("classes",)}
"""The options of a word, where they are not the one that is called as it is."""

SHARED = ("data", "root", "seed")
"""Options of a task that every command has under this name: the task is given the same value."""


def __getattr__(name: str) -> click.Command:
    """Return the command of a task, so that the table of commands can name it; made when it is asked for."""
    from featlab.plugins import registry

    if name not in registry().names("tasks"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return command_of(name)


def command_of(name: str) -> click.Command:
    """Return a command that runs a task, with the options of its signature."""
    from featlab.forms import fields_of, words_of
    from featlab.plugins import task

    maker = task(name)
    fields, words = fields_of(maker), words_of(maker)
    taken = {field.name for field in fields}

    def _told(**given: Any) -> None:
        chosen = {key: given.pop(f"task_{key}") for key in taken.difference(SHARED)}
        chosen = {key: value for key, value in chosen.items() if value is not None}
        chosen |= {key: given[key] for key in taken.intersection(SHARED) if given[key] is not None}
        asked = {key: given.pop(key, empty) for key, empty in EMPTY.items()}
        _run(Errand(name, maker, words, chosen, Asked(**asked)), **given)

    for decorate in reversed([*_common(words), *(_flag(field) for field in fields if field.name not in SHARED)]):
        _told = decorate(_told)
    return click.command(name, help=inspect.getdoc(maker))(_told)


EMPTY: Mapping[str, Any] = {
    "data": None, "root": None, "images": (), "index": None, "count": 8, "start": "images", "spoil": (), "as_is": False,
    "classes": (), "mask": None, "reference": (), "unit": None, "seed": 0,
}  # fmt: skip
"""What the options for the words stand at where a task has no use for them."""


def _common(words: Mapping[str, bool]) -> Iterator[Callable[..., Any]]:
    """Yield the argument and the options that a command has before those of its task."""
    if "model" in words:
        yield click.argument("model")
    yield click.option("--data", help="Name of a data set; see `featlab data list`.")
    yield options.ROOT
    yield click.option("--count", default=8, show_default=True, type=click.IntRange(min=1), help="So many images.")
    for word in (word for word in words if word != "model"):
        yield from (GIVEN[key] for key in NEEDS.get(word, (word,)))
    yield click.option(
        "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="A new folder for the pictures."
    )
    yield click.option("--animate", is_flag=True, help="Write the path as an animated WebP too.")
    yield options.BATCH_SIZE
    yield options.DEVICE
    yield options.SEED
    yield options.JSON


def _flag(field: Field) -> Callable[..., Any]:
    """Return the option of a field; what is not given is left to the task."""
    name = field.name.replace("_", "-")
    default = "" if field.default in (None, "") or field.required else f"  [default: {_shown(field.default)}]"
    kinds: dict[str, Any] = {
        "number": options.NUMBER,
        "integer": int,
        "text": str,
        "pair": str,
        "threat_model": options.SPEC,
        "choice": click.Choice(field.choices) if field.choices else str,
    }
    flag = field.kind == "flag"
    # A task may have an option that is called like one of every command.
    name = f"task-{name}" if name in CLASHING else name
    spelt = f"--{name}/--no-{name}" if flag else f"--{name}"
    told = {} if flag else {"type": kinds[field.kind], "metavar": field.kind.replace("_", "-").upper()}
    if field.choices:
        del told["metavar"]
    return click.option(
        spelt, f"task_{field.name}", default=None, required=field.required, help=field.help + default, **told
    )


CLASHING = {
    "count",
    "index",
    "out",
    "animate",
    "batch-size",
    "device",
    "json",
    "help",
    "start",
    "spoil",
    "as-is",
    "class",
}
"""Options of every command but the shared ones; a task's own option of such a name is called --task-NAME."""


def _shown(value: object) -> str:
    return ":".join(map(str, value)) if isinstance(value, list) else str(value)


def _run(
    errand: Errand,
    *,
    model: str | None = None,
    out: Path,
    animate: bool,
    batch_size: int,
    device: str,
    as_json: bool,
) -> None:
    """Do a task, and write its pictures when all is done."""
    import featlab as fl
    from featlab.cli.errands import done
    from featlab.runs import Run

    net = None if model is None else fl.load(model, device=device)
    material, data = gather(errand.asked, errand.words, net)
    terms = {
        "command": errand.name,
        "models": {} if net is None else {model: net.hash()},
        "data": None if data is None else {"name": data.name, "sha256": data.sha256},
        "options": {key: str(value) for key, value in errand.chosen.items() if key not in SHARED},
        **errand.asked.record(),
        "animate": animate,
        "device": "cpu" if net is None else net.device.type,
        "versions": {"featlab": fl.__version__},
    }
    known = Run.open(out, terms).result if out.exists() and any(out.iterdir()) else None
    result = known or done(errand, net, material, animate=animate, batch_size=batch_size).write(out, terms)
    click.echo(json.dumps({**result, "out": str(out)}) if as_json else _sentence(result, out))


def _sentence(result: Mapping[str, Any], out: Path) -> str:
    """Say what came out."""
    score, odds = result["score"], result.get("probability")
    said = f"{result['task']}: {result['count']} images, score {score['start']:.4g} -> {score['end']:.4g}"
    said += f", probability {odds['start']:.3f} -> {odds['end']:.3f}" if odds else ""
    return f"{said}; {out / result['grid']}"


class Tasks(click.Group):
    """The tasks of all plugins, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the tasks."""
        from featlab.plugins import registry

        del ctx
        return registry().names("tasks")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a task; an unknown one is an error that names the nearest."""
        from featlab.plugins import registry

        try:
            registry().find("tasks", cmd_name)
        except ValueError as error:
            raise click.UsageError(str(error), ctx=ctx) from error
        return command_of(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of tasks from their summaries, which import nothing."""
        from featlab.plugins import registry

        del ctx
        with formatter.section("Tasks"):
            offers = sorted((o for o in registry().offers if o.kind == "tasks"), key=lambda offer: offer.entry.name)
            formatter.write_dl([(offer.entry.name, offer.entry.summary) for offer in offers])


@click.group(cls=Tasks)
def task() -> None:
    """Run any task, a plugin's too; its options are those of its signature."""
