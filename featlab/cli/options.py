"""Options that several commands share, so that each is spelt, checked and explained in one way."""

from __future__ import annotations

from pathlib import Path

import click


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


SPEC = Spec()
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
