"""`featlab plugins`: what is installed, who provides it, and what could not be loaded."""

from __future__ import annotations

import inspect
import json
from dataclasses import asdict
from typing import Any

import click

from featlab.cli.options import JSON
from featlab.plugins import KINDS, NOUNS, Offer, Registry, registry
from featlab.specs import options_of


@click.command()
@JSON
@click.option("--options", is_flag=True, help="Also show every entry's options (imports the plugins).")
def plugins(*, as_json: bool, options: bool) -> None:
    """List every plugin: its entries, and whether it was loaded, blocked (FEATLAB_BLOCK) or failed."""
    found = registry()
    rows = [_row(found, offer, options=options) for offer in found.offers]
    blocked = [_row(found, offer, options=False) for offer in found.blocked]
    if as_json:
        providers = [asdict(each) for each in found.providers]
        click.echo(json.dumps({"providers": providers, "entries": rows, "blocked": blocked}))
        return
    for kind in KINDS:
        _write(kind, [row for row in rows if row["kind"] == kind])
    for row in blocked:
        click.echo(f"blocked: {NOUNS[row['kind']]} {row['name']} of {row['provider']}: named in FEATLAB_BLOCK")
    for provider in found.providers:
        if provider.state != "loaded":
            click.echo(f"{provider.state}: {provider}: {provider.reason}")


def _write(kind: str, rows: list[dict[str, Any]]) -> None:
    """Print the entries of one kind, each with its provider, and its options where they were asked for."""
    if rows:
        click.echo(kind.replace("_", " "))
    for row in rows:
        click.echo(f"  {row['name']:13} {row['summary']}  [{row['provider']}, {row['distribution']} {row['version']}]")
        for option in row.get("options", ()):
            default = "" if option["required"] else f" = {option['default']}"
            click.echo(f"  {'':13}   {option['name']}: {option['type']}{default}")
        if "reason" in row:
            click.echo(f"  {'':13}   {row['reason']}")


def _row(found: Registry, offer: Offer, *, options: bool) -> dict[str, Any]:
    """Return what is known of an entry; its options are read off its signature, so it must be imported for them."""
    provider = offer.provider
    row = {
        "kind": offer.kind,
        "name": offer.entry.name,
        "summary": offer.entry.summary,
        "provider": provider.name,
        "distribution": provider.distribution,
        "version": provider.version,
    }
    if not options:
        return row
    try:
        return {**row, "options": [_option(each) for each in options_of(found.imported(offer)).values()]}
    except ValueError as error:
        return {**row, "options": [], "reason": str(error)}


def _option(option: inspect.Parameter) -> dict[str, Any]:
    """Return an option's name, annotation and default as text."""
    required = option.default is option.empty
    kind = option.annotation
    return {
        "name": option.name,
        "type": "any" if kind is option.empty else kind if isinstance(kind, str) else inspect.formatannotation(kind),
        "required": required,
        "default": None if required else repr(option.default),
    }
