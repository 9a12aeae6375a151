"""The page of `featlab bug-or-feature`: two numbers for each attack, beside their controls."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.text import Text

from featlab.report.charts import Dot, Dots
from featlab.report.page import (
    Block,
    Chart,
    Column,
    Page,
    Section,
    Table,
    TableRow,
    Terms,
    Verdict,
    Verdicts,
    paragraph,
)
from featlab.report.papers import ILYAS, NAKKIRAN
from featlab.report.perturbing import Row, accuracy, conditions, facts, points
from featlab.report.svg import GREEN, GREY, PURPLE, VERMILION
from featlab.report.terminal import cell, table
from featlab.report.wording import measured

NAMES = {"pgd": "PGD", "non_transferable": "non-transferable attack"}
SAID = {
    "features": "features of the data",
    "between": "features by one number and bugs by the other",
    "bugs": "bugs of this net",
}
TRANSFER = (
    ("reached", "The source answers the target", PURPLE),
    ("transfer", "Other nets answer the target", GREEN),
    ("transfer_noise", "Control: noise of equal length", GREY),
    ("transfer_clean", "Control: no perturbation", GREY),
    ("bystanders", "Nets that it was to spare", VERMILION),
)
LEARNED = (
    ("test", "Fresh net, true test labels", GREEN),
    ("noise_control", "Control: noise of equal length", GREY),
    ("mislabel_control", "Control: the new labels alone", GREY),
    ("shifted", "Fresh net, counted as y + 1", PURPLE),
)


def bugs_table(result: Row) -> Group:
    """Return both numbers of each attack, to print with rich."""
    attacks = result["attacks"]
    keys = {key: label for key, label, _ in (*TRANSFER[:4], *LEARNED)}
    keys |= {"noise_control": "Control of that: noise", "mislabel_control": "Control of that: labels alone"}
    rows = [(label, [cell(accuracy(found[key])) for found in attacks]) for key, label in keys.items()]
    rows.append(("Bugs or features", [found["verdict"] for found in attacks]))
    return Group(
        Text("Bug or feature? In %, 95% intervals below", style="bold"),
        table(("measured", *(NAMES[found["attack"]] for found in attacks)), rows),
    )


def bugs_page(result: Row) -> Page:
    """Return the page of a result of `featlab bug-or-feature`: every number on it comes from the result."""
    attacks = result["attacks"]
    return Page(
        title="Bugs or features?",
        lead=(
            "A perturbation that makes use of the data's features works on other nets too, and a fresh net can learn "
            "the real classes from it. One that makes use of a flaw of one net does neither. Both are measured here, "
            "each beside its controls."
        ),
        facts=facts(result),
        sections=(
            Section("What was seen", (Verdicts(tuple(map(_verdict, attacks))), _indices(attacks))),
            Section(
                "Do they transfer?", (_transfer_words(result), _dots("transfer", attacks, TRANSFER), _fooled(attacks))
            ),
            Section("Can a net learn from them?", (*_learn_words(result), _dots("learned", attacks, LEARNED))),
            Section("Every number", (_numbers(attacks),)),
            conditions(result),
        ),
    )


CLAIMS = {
    "pgd": ("features", "PGD's perturbations are made of features of the data."),
    "non_transferable": ("bugs", "The attack that other nets withstand finds mere bugs of this net."),
}
"""What the papers say of each attack."""


def _verdict(found: Row) -> Verdict:
    expected, claim = CLAIMS[found["attack"]]
    text = (
        f"Independent nets answer the target on {measured(accuracy(found['transfer']))} of the perturbed images, "
        f"{points(found['transfer_index'])} points more than in the stronger control. A fresh net trained on them gets "
        f"{measured(accuracy(found['test']))} of the true test images, {points(found['learning_index'])} points more "
        f"than in the stronger control. So what it finds are, by both numbers, {SAID[found['verdict']]}."
    )
    return Verdict(claim, found["verdict"] == expected, text)


def _indices(attacks: Sequence[Row]) -> Table:
    rows = tuple(
        TableRow(
            (
                NAMES[found["attack"]],
                points(found["transfer_index"]),
                points(found["learning_index"]),
                f"{found['mean_norm']:.3f}",
                SAID[found["verdict"]],
            )
        )
        for found in attacks
    )
    columns = (
        Column("Attack"),
        Column("Transfer", True),
        Column("Learnability", True),
        Column("Mean length", True),
        Column("What it finds"),
    )
    caption = (
        "Bug-or-feature index: percentage points above the stronger control, with 95% intervals. Features where both "
        "intervals lie above 0, bugs where neither does"
    )
    return Table(caption, columns, (("", rows),))


def _transfer_words(result: Row) -> Block:
    number = result["conditions"]["recipe"]["peers"]
    towards = "the class after their own" if result["targets"] == "next" else "a random class"
    return paragraph(
        f"Test images are moved towards {towards} for the source, and shown to {number} nets that were trained on the "
        "same data from other random weights, which have "
        f"{measured(accuracy(result['peer_accuracy']))} of the unchanged ones. The non-transferable attack also holds "
        f"{result['conditions']['recipe']['bystanders']} further nets to the true label (",
        NAKKIRAN,
        ").",
    )


def _learn_words(result: Row) -> tuple[Block, ...]:
    words = paragraph(
        "Fresh nets are trained on perturbed training images under their targets, which look wrong to people, and are "
        "judged on unchanged test images under their true labels (",
        ILYAS,
        "). What counts is what they get beyond both controls.",
    )
    shifted = (
        "A net that reads the images as people do learns the shift of the labels, and answers y + 1. So with these "
        "targets the features of image and perturbation compete, and a control is below chance."
    )
    terms = Terms((("Counted as y + 1", shifted),))
    return (words, terms) if result["targets"] == "next" else (words,)


def _dots(name: str, attacks: Sequence[Row], rows: Sequence[tuple[str, str, int]]) -> Chart:
    groups = tuple(
        (
            NAMES[found["attack"]],
            tuple(
                Dot(label, accuracy(found[key]), tone, hollow=tone == GREY) for key, label, tone in rows if key in found
            ),
        )
        for found in attacks
    )
    said = "; ".join(f"{NAMES[found['attack']]}: {measured(accuracy(found[rows[1][0]]))}" for found in attacks)
    titles = {"transfer": "share of the perturbed test images", "learned": "accuracy on the true test images"}
    drawing = Dots(name, titles[name].capitalize(), f"{said}.", groups, titles[name])
    return Chart(drawing, "Whiskers are 95% intervals over the images; hollow marks are controls.")


def _fooled(attacks: Sequence[Row]) -> Block:
    said = "; ".join(
        f"{NAMES[found['attack']]} {measured(accuracy(found['fooled']))}, noise of equal length "
        f"{measured(accuracy(found['fooled_noise']))}"
        for found in attacks
    )
    return paragraph(f"Answers of the independent nets that are wrong in any way: {said}.")


def _numbers(attacks: Sequence[Row]) -> Table:
    titles = {key: label for key, label, _ in (*TRANSFER, *LEARNED)} | {
        "transfer_noise": "Transfer, noise of equal length",
        "transfer_clean": "Transfer, no perturbation",
        "noise_control": "Fresh net, noise of equal length",
        "mislabel_control": "Fresh net, the new labels alone",
        "fooled": "Independent nets are wrong",
        "fooled_noise": "The same, noise of equal length",
    }
    rows = tuple(
        TableRow((title, *(measured(accuracy(found[key])) if key in found else "" for found in attacks)))
        for key, title in titles.items()
    )
    columns = (Column("Measured"), *(Column(NAMES[found["attack"]], True) for found in attacks))
    return Table("Shares with 95% intervals over the test images", columns, (("", rows),))
