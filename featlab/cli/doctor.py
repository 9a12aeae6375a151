"""`featlab doctor`: what is installed, what was built, what runs native, and why not."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from typing import Any

import click

from featlab.cli.options import JSON


@click.command("doctor")
@JSON
def doctor(as_json: bool) -> None:
    """Say what is installed, which operators run native, and why the others do not.

    The exit code is 1 where FEATLAB_EXT=require is set and a library that this machine needs is not loaded.
    """
    from featlab import ops

    facts = {"system": system(), **ops.status()}
    if as_json:
        click.echo(json.dumps(facts))
    else:
        write(facts)
    if not facts["ok"]:
        click.echo("FEATLAB_EXT=require is set, but a library that this machine needs is not loaded.", err=True)
        sys.exit(1)


def system() -> dict[str, Any]:
    """Return the versions, and the device that computations go to."""
    import torch

    import featlab

    found = torch.cuda.is_available()
    return {
        "featlab": featlab.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": str(torch.__version__),
        "torch_cuda": torch.version.cuda,
        "device": torch.cuda.get_device_name() if found else "cpu",
        "capability": ".".join(map(str, torch.cuda.get_device_capability())) if found else None,
        "threads": torch.get_num_threads(),
    }


def write(facts: Mapping[str, Any]) -> None:
    """Write the facts as tables on stdout."""
    from rich.console import Console

    console = Console()
    console.print(two_columns("system", {**facts["system"], "FEATLAB_EXT": facts["mode"]}))
    console.print(two_columns("host", flat(facts["host"])))
    console.print(two_columns("build", flat(facts["build"]) or {"": "nothing was built: pure PyTorch serves"}))
    console.print(operators(facts))


def two_columns(title: str, rows: Mapping[str, Any]) -> Any:
    """Return a rich table of names and values."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(name, "-" if value is None else str(value))
    return table


def operators(facts: Mapping[str, Any]) -> Any:
    """Return a rich table of the operators and what serves each on each device."""
    from rich.table import Table

    devices = list(facts["libraries"])
    table = Table("operator", *devices, title="operators", title_justify="left")
    for name, served in facts["ops"].items():
        table.add_row(name, *(served[device] for device in devices))
    return table


def flat(values: Mapping[str, Any]) -> dict[str, str]:
    """Return nested values as one line each."""
    rows = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows[name] = ", ".join(f"{key} {item}" for key, item in value.items()) or "none"
        elif isinstance(value, list):
            rows[name] = ", ".join(map(str, value)) or "none"
        else:
            rows[name] = str(value)
    return rows
