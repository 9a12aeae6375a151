"""Options that several commands share, so that each is spelt, checked and explained in one way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from featlab.datasets import Dataset
    from featlab.models import Classifier
    from featlab.runs import Run


class Spec(click.ParamType):  # type: ignore[type-arg]  # Not generic before click 8.5.
    """The text of a threat model, such as l2:eps=1/2: checked before the command begins, and handed on as text."""

    name = "spec"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text as it is; what no plugin makes a threat model of is an error that says why."""
        from featlab.plugins import threat_model

        try:
            threat_model(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return value


class Number(click.ParamType):  # type: ignore[type-arg]
    """A number, which may be a fraction such as 8/255."""

    name = "number"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        from featlab.specs import read_value

        if isinstance(value, float):
            return value
        try:
            return float(read_value(str(value), float, what="the value"))
        except ValueError as error:
            self.fail(str(error), param, ctx)


SPEC = Spec()
NUMBER = Number()
THREAT_MODELS = click.option(
    "--threat-model", "specs", multiple=True, type=SPEC, help="For example l2:eps=1/2; may be repeated."
)
COUNT = click.option("--count", type=click.IntRange(min=1), help="So many test images, balanced; all by default.")
OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder for the run, which goes on from there when it was stopped.",
)
DATA = click.option("--data", required=True, help="Name of a data set; see `featlab data list`.")
ROOT = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where fetched data live; otherwise $FEATLAB_DATA, or featlab in the cache folder.",
)
BATCH_SIZE = click.option(
    "--batch-size", default=256, show_default=True, type=click.IntRange(min=1), help="So many images at a time."
)
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
SEED = click.option("--seed", default=0, show_default=True, help="Seed of every random number of the run.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


class Safetensors(click.ParamType):  # type: ignore[type-arg]
    """A path to write tensors to."""

    name = "name.safetensors"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; another suffix would promise another format."""
        if Path(value).suffix != ".safetensors":
            self.fail(f"the file must be called NAME.safetensors; got {value!r}", param, ctx)
        return Path(value)


SAFETENSORS = Safetensors()


@dataclass
class Kept:
    """What a command keeps of its work in the folder of its run; nothing where it was given none."""

    run: Run | None
    result: Mapping[str, Any] | None = None

    @property
    def folder(self) -> Path | None:
        """The folder for the parts of the work."""
        return None if self.run is None else self.run.folder / "parts"

    def file(self, name: str) -> Path | None:
        """Return the file for a part of the work."""
        from featlab.report.pictures import slug

        unique = hashlib.sha256(name.encode()).hexdigest()[:8]  # eps=1/2 and eps=1.2 are one slug.
        return None if self.folder is None else self.folder / f"{slug(name)}-{unique}.safetensors"

    def log(self, row: Mapping[str, object]) -> None:
        """Note that a part is finished."""
        if self.run is not None:
            self.run.log(row)

    def finish(self, result: Mapping[str, object]) -> None:
        """Keep the result."""
        self.result = result
        if self.run is not None:
            self.run.finish(result)


@contextmanager
def run(
    out: Path | None, command: str, nets: Mapping[str, Classifier], data: Dataset, chosen: Mapping[str, object]
) -> Iterator[Kept]:
    """Begin or go on with a run in a folder; one of another command, other models, data or arguments is refused."""
    if out is None:
        yield Kept(None)
        return
    import torch

    from featlab import __version__
    from featlab.runs import Run

    terms = {
        "command": command,
        "models": {spec: net.hash() for spec, net in nets.items()},
        "data": {"name": data.name, "images": len(data), "sha256": data.sha256},
        **chosen,
        "device": next(iter(nets.values())).device.type,
        "versions": {"featlab": __version__, "torch": torch.__version__},
    }
    opened = Run.open(out, terms)
    yield Kept(opened, opened.result)
