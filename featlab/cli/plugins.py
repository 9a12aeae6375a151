"""`featlab plugins`: what is installed, who provides it, and what could not be loaded."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from featlab.plugins import KINDS, Registry, options_of, registry


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--options", is_flag=True, help="Also show every entry's options (imports the plugins).")
def plugins(*, as_json: bool, options: bool) -> None:
    """List every plugin: its entries, and whether it was loaded, blocked (FEATLAB_BLOCK) or failed."""
    found = registry()
    if as_json:
        entries = [_row(found, index, options=options) for index in range(len(found.offers))]
        click.echo(json.dumps({"providers": [asdict(each) for each in found.providers], "entries": entries}))
        return
    for kind in KINDS:
        offers = [index for index, offer in enumerate(found.offers) if offer.kind == kind]
        if offers:
            click.echo(kind.replace("_", " "))
        for index in offers:
            row = _row(found, index, options=options)
            click.echo(f"  {row['name']:14}{row['summary']}  [{row['provider']}]")
            if options:
                click.echo(f"  {'':14}{row['options']}")
    for provider in found.providers:
        if provider.state != "loaded":
            click.echo(f"{provider.state}: {provider}: {provider.reason}")


def _row(found: Registry, index: int, *, options: bool) -> dict[str, object]:
    offer = found.offers[index]
    row: dict[str, object] = {
        "kind": offer.kind,
        "name": offer.entry.name,
        "summary": offer.entry.summary,
        "provider": offer.provider.name,
        "distribution": offer.provider.distribution,
        "version": offer.provider.version,
    }
    if options:
        row["options"] = ", ".join(str(option) for option in options_of(offer.entry.resolve()).values())
    return row
