"""What the pages of experiments about perturbations share: facts, conditions, and how shares and indices are said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from featlab.evaluation import Accuracy
from featlab.intervals import Estimate
from featlab.report.audit_words import share
from featlab.report.page import Column, Folded, Section, Table, TableRow
from featlab.report.wording import count, duration, percent, plain

Row = Mapping[str, Any]


def accuracy(found: Row) -> Accuracy:
    """Return a share of the result with its interval."""
    return Accuracy(**found)


def points(found: Row) -> str:
    """Return a difference of two shares with its interval, in percentage points."""
    return share(Estimate(**found)).replace("%", "")


def facts(result: Row) -> tuple[tuple[str, str], ...]:
    """Return what everything else depends on."""
    known = result["conditions"]
    return (
        ("Source", known["source"]),
        ("Its accuracy", percent(result["source_accuracy"]["accuracy"])),
        ("Data", plain(known["data"]["name"])),
        ("Training images", count(known["data"]["train"])),
        ("Test images", count(known["data"]["test"])),
        ("Threat model", known["threat_model"]),
        ("Seed", str(known["seed"])),
        ("Time", duration(result["seconds"])),
    )


def conditions(result: Row) -> Section:
    """Return everything that is needed to get the same numbers again."""
    known = result["conditions"]
    flat = {name: value for name, value in known.items() if not isinstance(value, Mapping)}
    tables = [("The run", flat), ("The data", known["data"]), ("Versions", known["versions"])]
    recipe = {name: value for name, value in known["recipe"].items() if name != "contenders"}
    blocks = [_pairs(title, values) for title, values in [*tables, ("The recipe", recipe)]]
    return Section("Conditions", (*blocks, Folded("The whole result as JSON", json.dumps(result, indent=2))))


def _pairs(title: str, values: Row) -> Table:
    rows = tuple(TableRow((name.replace("_", " "), plain(value))) for name, value in values.items())
    return Table(title, (Column("Name"), Column("Value")), (("", rows),))
