"""The page of `featlab transfer`: what architectures learn from perturbations, against how attacks transfer to them."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from featlab.report.audit_words import NARROW_TO, listed, many, number
from featlab.report.page import (
    Block,
    Chart,
    Column,
    Page,
    Section,
    Strong,
    Table,
    TableRow,
    Verdict,
    Verdicts,
    paragraph,
)
from featlab.report.papers import ILYAS
from featlab.report.perturbing import Row, accuracy, conditions, facts
from featlab.report.scatter import Group as Spots
from featlab.report.scatter import Scatter, Spot
from featlab.report.terminal import cell, table
from featlab.report.wording import measured, plain

CLAIM = "Architectures that learn more from a net's perturbations are those that its attacks transfer to."
SAID = {
    "holds": "The relation of the paper holds here.",
    "undecided": "The order points the paper's way, but may be chance.",
    "does not hold": "The relation of the paper does not hold here.",
}


def transfer_table(result: Row) -> Group:
    """Return both numbers of every architecture, and the rank correlation, to print with rich."""
    keys = ("clean", "learned", "shifted", "transfer", "transfer_noise", "fooled")
    rows = ((row["name"], [cell(accuracy(row[key])) for key in keys]) for row in result["architectures"])
    columns = ("architecture", "clean", "on D_det", "as y + 1", "transfer", "noise", "wrong")
    return Group(
        Text("Architectures, in %, 95% intervals below", style="bold"),
        table(columns, rows),
        Text(f"{_rho(result)}. {SAID[result['verdict']]}"),
    )


def _rho(result: Row) -> str:
    found = result["spearman"]
    ends = f"{number(found['low'])}{NARROW_TO}{number(found['high'])}"
    return (
        f"Spearman's rho is {number(found['value'])} ({ends}), by chance as high with probability {found['chance']:.1%}"
    )


def transfer_page(result: Row) -> Page:
    """Return the page of a result of `featlab transfer`: every number on it comes from the result."""
    return Page(
        title="Why do attacks transfer?",
        lead=(
            "If adversarial examples transfer because nets learn the same non-robust features, then architectures that "
            "learn those of one net better should be fooled by its attacks more often."
        ),
        facts=facts(result),
        sections=(
            Section("What was seen", _seen(result)),
            Section("Every architecture", (_learned(result), _fooled(result), _nets(result))),
            conditions(result),
        ),
    )


def _seen(result: Row) -> tuple[Block, ...]:
    rows = result["architectures"]
    students, alone = result["conditions"]["recipe"]["students"], result["spearman"]["each"]
    return (
        Verdicts((Verdict(CLAIM, result["verdict"] == "holds", f"{SAID[result['verdict']]} {_rho(result)}."),)),
        paragraph(
            Strong(f"{len(rows)} architectures"),
            f" were trained on the source's D_det, {many(students, 'net')} of each, and judged on unchanged test "
            "images; another net of each was trained on the data themselves and shown test images that were moved "
            f"towards the next class for the source, which answers it on {measured(accuracy(result['reached']))} of "
            "them (",
            ILYAS,
            ", figure 3). The interval of rho is over the draw of the test images, not over training seeds; the "
            "probability by chance is the share of all orders of the architectures with so high a rho. The relation "
            "counts as held where the interval lies above 0 and that probability is 5% or less. "
            f"With one net of each architecture alone rho would be {listed([number(each) for each in alone])}.",
        ),
        _scatter(result),
    )


def _scatter(result: Row) -> Chart:
    groups = tuple(Spots(row["name"], (_spot(row),), place % 5) for place, row in enumerate(result["architectures"]))
    said = "; ".join(spot.tip for group in groups for spot in group.spots)
    drawing = Scatter(
        "architectures",
        "Learned from D_det, and transfer of attacks",
        f"{said}.",
        groups,
        "accuracy on true test images after training on D_det, %",
        "attacks that reach their target, %",
        size=7,
        counted=False,
    )
    return Chart(drawing, f"Each mark is an architecture. {_rho(result)}.")


def _spot(row: Row) -> Spot:
    learned, reached = accuracy(row["learned"]), accuracy(row["transfer"])
    tip = f"{row['name']}: learned {measured(learned)}, transfer {measured(reached)}"
    return Spot(100 * learned.accuracy, 100 * reached.accuracy, tip)


def _learned(result: Row) -> Table:
    titles = ("Trained on the data", "Trained on D_det", "Each net of these", "Counted as y + 1")
    rows = tuple(
        TableRow(
            (
                row["name"],
                measured(accuracy(row["clean"])),
                measured(accuracy(row["learned"])),
                ", ".join(f"{each['accuracy']:.1%}" for each in row["learned_each"]),
                measured(accuracy(row["shifted"])),
            )
        )
        for row in sorted(result["architectures"], key=lambda row: -row["learned"]["accuracy"])
    )
    columns = (Column("Architecture"), *(Column(title, True) for title in titles))
    return Table("Accuracy on the test images with 95% intervals, the best learner first", columns, (("", rows),))


def _fooled(result: Row) -> Table:
    titles = {
        "transfer": "Answers the target",
        "transfer_noise": "With noise of equal length",
        "fooled": "Wrong in any way",
    }
    rows = tuple(
        TableRow((row["name"], *(measured(accuracy(row[key])) for key in titles)))
        for row in sorted(result["architectures"], key=lambda row: -row["transfer"]["accuracy"])
    )
    columns = (Column("Architecture"), *(Column(title, True) for title in titles.values()))
    caption = "The source's adversarial examples with 95% intervals, the most fooled first"
    return Table(caption, columns, (("", rows),))


def _nets(result: Row) -> Table:
    rows = tuple(
        TableRow((row["name"], row["net"]["architecture"], plain(row["net"]["arguments"])))
        for row in result["architectures"]
    )
    return Table("The architectures", (Column("Name"), Column("Kind"), Column("Arguments")), (("", rows),))
