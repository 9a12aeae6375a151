"""The result of the central experiment as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from featlab.evaluation import Accuracy
from featlab.report.found import CentralFound, PerturbedFound, read
from featlab.report.wording import duration, memory, percent, plain


def central_table(result: Mapping[str, Any]) -> Group:
    """Return accuracies with their 95 % intervals, and the claims that were and were not seen, to print with rich.

    Raises ValueError, naming the place, for an incomplete result.
    """
    found = read(result)
    seen, total = sum(check.seen for check in found.checks), len(found.checks)
    chance = "" if found.chance is None else f"; chance is {percent(found.chance)}"
    spent = f"{duration(found.seconds)} on {found.device} with at most {memory(found.peak_rss_bytes)}"
    return Group(
        Text(f"Accuracy under attack ({found.threat_model}), 95% intervals below", style="bold"),
        _curves(found),
        Text(f"Nets trained on perturbations, beside their controls{chance}", style="bold"),
        _perturbed(found),
        Text(f"{seen} of {total} claims seen, in {spent}", style="bold"),
        _claims(found),
    )


def table(columns: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]]) -> Table:
    """Return a table of a name and numbers in each row."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(Text(column), justify="right" if place else "left", no_wrap=bool(place))
    for name, cells in rows:
        table.add_row(Text(name), *(Text(cell) for cell in cells))
    return table


def cell(found: Accuracy | None) -> str:
    """Return an accuracy over its interval, narrow enough for seven columns."""
    return "" if found is None else f"{percent(found.accuracy)}\n{100 * found.low:.1f}-{100 * found.high:.1f}"


def _curves(found: CentralFound) -> Table:
    nets = {
        "standard": found.standard,
        "robust": found.robust,
        "on D_R": found.represented["d_r"],
        "on D_NR": found.represented["d_nr"],
    }
    left = {name: {point.eps: point.left for point in net.points()} for name, net in nets.items()}
    steps = sorted({eps for points in left.values() for eps in points})
    rows = ((name, [cell(points.get(eps)) for eps in steps]) for name, points in left.items())
    return table(("net", *(f"eps {plain(eps)}" for eps in steps)), rows)


SETS = (("d_rand", "D_rand"), ("d_det", "D_det"))


def _measured(row: PerturbedFound) -> tuple[Accuracy, ...]:
    return row.test, row.second_seed, row.noise_control, row.mislabel_control, row.shifted, row.attack_success


def _perturbed(found: CentralFound) -> Table:
    rows = ((title, list(map(cell, _measured(found.perturbed[name])))) for name, title in SETS)
    columns = ("net on", "test", "2nd seed", "noise", "labels", "as y + 1", "reached")
    return table(columns, rows)


def _claims(found: CentralFound) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 1))
    for check in found.checks:
        verdict = Text("seen", style="green") if check.seen else Text("not seen", style="red")
        table.add_row(verdict, Text(check.claim))
    return table
