"""The page of `featlab leakage`: what robust features alone learn from D_rand and D_det."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group
from rich.text import Text

from featlab.report.charts import Dot, Dots
from featlab.report.page import Block, Chart, Column, Page, Section, Table, TableRow, Verdict, Verdicts, paragraph
from featlab.report.papers import GOH_LEAKAGE
from featlab.report.perturbing import Row, accuracy, conditions, facts, points
from featlab.report.svg import BLUE, GREEN, GREY, PURPLE
from featlab.report.terminal import cell, table
from featlab.report.wording import measured, percent

SETS = {"d_rand": "D_rand", "d_det": "D_det"}
TRAINED = {
    "data": "the data",
    "d_rand": "D_rand",
    "d_rand_noise": "D_rand's noise",
    "d_det": "D_det",
    "d_det_noise": "D_det's noise",
}
"""What probes are trained on."""


def leakage_table(result: Row) -> Group:
    """Return the accuracy of every probe, to print with rich."""

    def cells(name: str) -> list[str]:
        return [*(cell(accuracy(row["probes"][name]["test"])) for row in _judged(result)), _fresh(result, name)]

    rows = [(f"on {title}", cells(name)) for name, title in TRAINED.items()]
    titles = [f"{row['features']} {row['group'].partition(' of')[0].partition(',')[0]}" for row in _judged(result)]
    return Group(
        Text("Probes on some features, on true test images, in %", style="bold"),
        table(("trained", *titles, "fresh net"), rows),
    )


def _fresh(result: Row, name: str) -> str:
    return cell(accuracy(result["students"][name])) if name in SETS else ""


def _judged(result: Row) -> list[Row]:
    return [row for row in result["groups"] if row["probes"] is not None]


def leakage_page(result: Row) -> Page:
    """Return the page of a result of `featlab leakage`: every number on it comes from the result."""
    return Page(
        title="Do robust features leak?",
        lead=(
            "D_rand and D_det are to teach non-robust features alone. If a linear classifier that sees only robust "
            "features learns from them too, part of what they teach is leaked by these."
        ),
        facts=facts(result),
        sections=(
            Section("What was seen", (*_seen(result), _dots(result))),
            Section("Every probe", (_features(result), *_numbers(result))),
            conditions(result),
        ),
    )


def _seen(result: Row) -> tuple[Block, ...]:
    items = tuple(each for row in _judged(result) if "non-robust" not in row["group"] for each in _claims(row, result))
    words = paragraph(
        "A probe is a logistic regression on some features. It is trained on images and labels of a set and judged on "
        "unchanged test images under their true labels, beside the same probe trained on noise of equal length in "
        "place of the perturbations (",
        GOH_LEAKAGE,
        "). The claim counts as seen where the interval of the difference lies above 0. A fresh net, which sees "
        "everything, gets "
        + " and ".join(f"{measured(accuracy(result['students'][name]))} from {title}" for name, title in SETS.items())
        + ".",
    )
    return (Verdicts(items), words) if items else (paragraph("No feature was robust, so none can leak."), words)


def _claims(row: Row, result: Row) -> Iterator[Verdict]:
    for name, title in SETS.items():
        leak, found = row["leaks"][name], accuracy(row["probes"][name]["test"])
        student = accuracy(result["students"][name])
        yield Verdict(
            f"{title} leaks through {row['group']}.",
            leak["low"] > 0,
            f"{row['features']} features get {measured(found)} of the true test images, {points(leak)} points more "
            f"than with noise; a fresh net gets {percent(student.accuracy)}.",
        )


def _dots(result: Row) -> Chart:
    groups = tuple((row["group"], tuple(_dot(row, name) for name in TRAINED)) for row in _judged(result))
    fresh = tuple(Dot(f"on {title}", accuracy(result["students"][name]), PURPLE) for name, title in SETS.items())
    said = "; ".join(
        f"{row['group']}: D_rand {percent(row['probes']['d_rand']['test']['accuracy'])}" for row in _judged(result)
    )
    chance = 1 / result["conditions"]["classes"]
    drawing = Dots(
        "probes",
        "Accuracy of probes on some features",
        f"{said}.",
        (*groups, ("a fresh net", fresh)),
        "accuracy on true test images",
        chance,
    )
    return Chart(drawing, "Whiskers are 95% intervals; hollow marks are controls.")


def _dot(row: Row, name: str) -> Dot:
    control = name.endswith("noise")
    tone = BLUE if name == "data" else GREY if control else GREEN
    set_name = SETS.get(name.removesuffix("_noise"), "the data")
    label = f"noise in place of {set_name}" if control else f"on {set_name}"
    return Dot(label, accuracy(row["probes"][name]["test"]), tone, hollow=control)


def _features(result: Row) -> Table:
    rows = []
    for row in result["groups"]:
        chosen = f"{row['features']} of {row['of']}"
        rows.append(TableRow((row["group"], chosen, measured(accuracy(row["accuracy"])), _radii(row))))
    titles = ("So many", "Accuracy of their net", "eps at which gamma is 0")
    columns = (Column("Features"), *(Column(title, True) for title in titles))
    caption = (
        "Features of a linear net are robust by a formula, units of a robust net as far as ascent found inside "
        f"{result['conditions']['threat_model']}; both on training images"
    )
    return Table(caption, columns, (("", tuple(rows)),))


def _radii(row: Row) -> str:
    """Return from where to where the certified radii of linear features reach."""
    radii: Sequence[float] = row.get("radii") or ()
    return f"{min(radii):.2f} to {max(radii):.2f}" if radii else ""


def _numbers(result: Row) -> tuple[Table, ...]:
    columns = (Column("Trained on"), Column("True labels", True), Column("Counted as y + 1", True))
    groups = tuple(
        (
            row["group"],
            tuple(
                TableRow(
                    (
                        f"{SETS.get(name.removesuffix('_noise'), 'the data')}{', noise' if 'noise' in name else ''}",
                        measured(accuracy(found["test"])),
                        measured(accuracy(found["shifted"])),
                    ),
                    lead=name in SETS,
                )
                for name, found in row["probes"].items()
            ),
        )
        for row in _judged(result)
    )
    empty = [row["group"] for row in result["groups"] if row["probes"] is None]
    caption = "Accuracy of probes on the test images, with 95% intervals"
    if empty:
        caption += f". There are no {' and no '.join(empty)}"
    return (Table(caption, columns, groups),) if groups else ()
