"""The page of the central experiment: what was done, what was seen, and every number of the result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from featlab.evaluation import Accuracy
from featlab.report.charts import Dot, Dots, Lines, Series
from featlab.report.conditions import conditions
from featlab.report.found import CentralFound, NetFound, PerturbedFound, read
from featlab.report.page import (
    Block,
    Chart,
    Column,
    Folded,
    Page,
    Paragraph,
    Section,
    Strong,
    Table,
    TableRow,
    Terms,
    Verdict,
    Verdicts,
    paragraph,
)
from featlab.report.papers import ILYAS, MADRY
from featlab.report.pictures import Picture
from featlab.report.svg import BLUE, GREEN, GREY, PURPLE, VERMILION
from featlab.report.wording import count, duration, measured, memory, percent, plain

SETS: Mapping[str, str] = {"d_rand": "D_rand", "d_det": "D_det", "d_r": "D_R", "d_nr": "D_NR"}
"""The constructed sets, as the paper writes them."""

_SECTION, _NEXT = "section\N{NO-BREAK SPACE}", "y\N{NO-BREAK SPACE}+\N{NO-BREAK SPACE}1"
"""Words that stay on one line."""


MEASURED = (
    ("test", "Fresh net, original test images", GREEN),
    ("second_seed", "The same with a second seed", GREEN),
    ("noise_control", "Control: noise of equal length", GREY),
    ("mislabel_control", "Control: the new labels alone", GREY),
    ("shifted", f"Fresh net, counted as {_NEXT}", PURPLE),
)
"""What is measured on the test images for D_rand and D_det: its key, its words and its colour."""


def central_page(result: Mapping[str, Any], pictures: Sequence[Picture]) -> Page:
    """Return the page of a result of the central experiment, the object that `featlab demo --json` writes.

    Every number on the page comes from the result. Raises ValueError, naming the place, for an incomplete result.
    Source: Ilyas et al. 2019, sections 3.1 and 3.2.
    """
    found = read(result)
    drawn = (Section("Pictures", tuple(pictures)),) if pictures else ()
    return Page(
        title="Do adversarial perturbations carry features?",
        lead=(
            "The central experiment of \N{LEFT DOUBLE QUOTATION MARK}Adversarial Examples Are Not Bugs, They Are "
            f"Features\N{RIGHT DOUBLE QUOTATION MARK}, run from scratch on {plain(found.data.get('name'))}, with its "
            "controls and its intervals."
        ),
        facts=_facts(found),
        sections=(
            _what_was_seen(found),
            _what_was_done(found),
            _under_attack(found),
            _perturbed(found),
            _represented(found),
            *drawn,
            Section("Recipe and conditions", (*conditions(found), _whole(result))),
        ),
    )


def _facts(found: CentralFound) -> tuple[tuple[str, str], ...]:
    seen = sum(check.seen for check in found.checks)
    parts = (("train", "Training images"), ("test", "Test images"))
    counts = [(title, count(int(found.data[part]))) for part, title in parts if part in found.data]
    return (
        ("Claims seen", f"{seen} of {len(found.checks)}"),
        ("Data", plain(found.data.get("name"))),
        *counts,
        ("Threat model", _ball(found)),
        ("Device", found.device),
        ("Time", duration(found.seconds)),
        ("Peak memory", memory(found.peak_rss_bytes)),
    )


def _ball(found: CentralFound) -> str:
    return f"{found.threat_model}, eps {plain(found.eps)}"


def _what_was_seen(found: CentralFound) -> Section:
    seen, total = sum(check.seen for check in found.checks), len(found.checks)
    return Section(
        "What was seen and what was not",
        (
            paragraph(
                Strong(f"{seen} of {total} claims were seen in this run. "),
                "A claim counts as seen where the numbers that it compares differ by more than their 95% intervals. "
                "These are Wilson intervals over the draw of the test images; how much another training seed would "
                "change is shown only where a second seed was run.",
            ),
            Verdicts(tuple(Verdict(check.claim, check.seen, check.text) for check in found.checks)),
        ),
    )


def _what_was_done(found: CentralFound) -> Section:
    return Section(
        "What was done",
        (
            paragraph(
                "A classifier uses whatever predicts the label. Some of these patterns survive a small change of the "
                "image that is made to mislead; others do not, and people cannot see them. Are such fragile patterns "
                "mere accidents of training, or do they belong to the data? ",
                ILYAS,
                " answer with data sets: keep one kind of pattern, remove the other, train a fresh net on what is left "
                "and test it on ordinary images.",
            ),
            paragraph(
                "Two nets were trained on the original training images: a standard one, and a robust one that was "
                f"trained on the worst images found within {_ball(found)} (",
                MADRY,
                "). With them four data sets were built, and fresh nets were trained on each. No fresh net was given "
                "the original training set, and all were tested on the original test images.",
            ),
            Terms(
                (
                    (
                        "D_rand",
                        f"Each image is moved within {_ball(found)} until the standard net takes it for a random "
                        "class, and it is labelled as that class. To people most labels are wrong; only the "
                        f"perturbation fits them ({_SECTION}3.2 of the paper).",
                    ),
                    (
                        "D_det",
                        f"The same, with the next class, {_NEXT}, in place of a random one ({_SECTION}3.2).",
                    ),
                    (
                        "D_R",
                        "Each image is replaced by an unrelated one that is moved, anywhere within the range of "
                        "pixels, until the robust net represents it as it represents the original. The label stays. "
                        f"What such a set can teach is what the robust net uses ({_SECTION}3.1).",
                    ),
                    ("D_NR", f"The same with the standard net, which uses fragile features too ({_SECTION}3.1)."),
                )
            ),
        ),
    )


def _under_attack(found: CentralFound) -> Section:
    nets = {"standard net": found.standard, "robust net": found.robust}
    series = tuple(_series(label, net, tone) for (label, net), tone in zip(nets.items(), (VERMILION, BLUE)))
    return Section(
        "Accuracy under attack",
        (
            paragraph(
                "How many test images does each net still answer correctly when each image may be changed within eps? "
                f"An image counts as lost at an eps as soon as one attack succeeds{_suite(found)}. A stronger attack "
                "can only lower a curve."
            ),
            Chart(_lines(found, "attack", "Accuracy of the standard and the robust net under attack", series), _BANDS),
            _curves(found, "Accuracy under attack, with 95% intervals", nets),
        ),
    )


_BANDS = "Bands are 95% intervals. The dotted line marks the eps within which the robust net was trained."


def _suite(found: CentralFound) -> str:
    name = found.recipe.get("suite")
    return "" if name is None else f" (suite {plain(name)})"


def _lines(found: CentralFound, name: str, title: str, series: tuple[Series, ...]) -> Lines:
    said = "; ".join(
        f"{each.label}: " + ", ".join(f"{percent(left.accuracy)} at eps {plain(eps)}" for eps, left in each.points)
        for each in series
    )
    mark = (found.eps, f"training eps {plain(found.eps)}")
    return Lines(name, title, f"{said}.", series, f"eps ({found.threat_model})", (mark,))


def _series(label: str, net: NetFound, colour: int, *, faint: bool = False) -> Series:
    return Series(label, tuple((point.eps, point.left) for point in net.points()), colour, faint)


def _curves(found: CentralFound, caption: str, nets: Mapping[str, NetFound]) -> Table:
    """Return the curves as a table: the accuracy without attack, unless it stands at eps 0, and a row for each eps."""
    at = {label: {point.eps: point.left for point in net.curve} for label, net in nets.items()}
    rows = []
    if any(points.get(0.0) != net.clean for points, net in zip(at.values(), nets.values())):
        rows.append(TableRow(("no attack", *(measured(net.clean) for net in nets.values()))))
    for eps in sorted({eps for points in at.values() for eps in points}):
        cells = (measured(points[eps]) if eps in points else "" for points in at.values())
        rows.append(TableRow((plain(eps), *cells), lead=eps == found.eps))
    columns = (Column(f"eps ({found.threat_model})"), *(Column(label, numeric=True) for label in nets))
    tested = _tested(each for net in nets.values() for each in (net.clean, *(point.left for point in net.curve)))
    return Table(f"{caption}; {tested}", columns, (("", tuple(rows)),))


def _tested(shares: Iterable[Accuracy]) -> str:
    numbers = sorted({each.n for each in shares})
    return " or ".join(count(number) for number in numbers) + " test images"


def _perturbed(found: CentralFound) -> Section:
    made = found.perturbed
    dots = tuple(
        (
            SETS[name],
            tuple(Dot(label, getattr(row, key), tone, hollow=tone != GREEN) for key, label, tone in MEASURED),
        )
        for name, row in made.items()
    )
    said = "; ".join(f"{SETS[name]}: fresh net {measured(row.test)}" for name, row in made.items())
    title = "Accuracy of nets trained on D_rand and D_det, beside their controls"
    chart = Dots("perturbed", title, f"{said}.", dots, "accuracy on the original test images", found.chance)
    return Section(
        "Trained on perturbations: D_rand and D_det",
        (
            paragraph(
                "In these sets image and label disagree to the eye. If the perturbations were meaningless, a net "
                "trained on them would do no better on original images than its controls. What it gets beyond them it "
                "learned from perturbations that people take for noise."
            ),
            Chart(
                chart,
                f"Whiskers are 95% intervals; hollow marks are controls and the {_NEXT} count.",
            ),
            _perturbed_table(found),
            _controls(found),
        ),
    )


def _perturbed_table(found: CentralFound) -> Table:
    columns = (Column("Measured"), Column("Accuracy (95% interval)", True), Column("Images", True))
    return Table(
        "Every measurement of D_rand and D_det",
        columns,
        tuple((SETS[name], tuple(_perturbed_rows(row))) for name, row in found.perturbed.items()),
    )


def _perturbed_rows(row: PerturbedFound) -> Iterable[TableRow]:
    for key, label, _ in MEASURED:
        each: Accuracy = getattr(row, key)
        yield TableRow((label, measured(each), count(each.n)), lead=key == "test")
    reached = row.attack_success
    yield TableRow(("Training images that reached their new class", measured(reached), count(reached.n)))


def _controls(found: CentralFound) -> Terms:
    lengths = "; ".join(
        f"{SETS[name]} {row.mean_norm:.3f}"
        + ("" if row.noise_mean_norm is None else f", its noise {row.noise_mean_norm:.3f}")
        for name, row in found.perturbed.items()
    )
    level = "" if found.chance is None else f" Chance is {percent(found.chance)}."
    return Terms(
        (
            (
                "Noise of equal length",
                "The same images and new labels, with Gaussian noise in place of each perturbation, as long as that "
                "perturbation in the Euclidean norm. If the fresh net beats this one, the direction of the "
                f"perturbations did it and not their size. Mean lengths: {lengths}.",
            ),
            (
                "New labels alone",
                "The unchanged images under the new labels. It shows what the labels teach by themselves."
                + level
                + " A control may stray from chance by more than its interval, because nets that learn nothing still "
                "answer whole classes alike.",
            ),
            (
                f"Counted as {_NEXT}",
                "The fresh net again, with an answer counted as right where it is the class after the true one. A net "
                "that reads D_det as people do learns just this, and is then wrong on nearly every original label. So "
                "on D_det the two kinds of features compete, and its measure is its controls rather than chance.",
            ),
            ("Second seed", "Another fresh net on the same set: how much the result hangs on one training run."),
            (
                "Reached their new class",
                "The share of training images that the standard net takes for their new class once they are "
                "perturbed. The others carry a new label with too little of that class.",
            ),
        )
    )


def _represented(found: CentralFound) -> Section:
    nets = {f"trained on {SETS[name]}": net for name, net in found.represented.items()}
    series = (
        *(_series(label, net, tone) for (label, net), tone in zip(nets.items(), (GREEN, PURPLE))),
        _series("robust net", found.robust, BLUE, faint=True),
        _series("standard net", found.standard, VERMILION, faint=True),
    )
    title = "Accuracy under attack of nets trained on D_R and D_NR"
    blocks: tuple[Block, ...] = (
        paragraph(
            "Both fresh nets were trained in the standard way, without any attack. If robustness came from the way of "
            "training alone, they would be equally fragile. Where the net trained on D_R holds better than the one "
            "trained on D_NR, the difference lies in the features that the data offer."
        ),
        _level(found),
        Chart(_lines(found, "represented", title, series), f"{_BANDS} Dashed: the two nets above, for comparison."),
        _curves(found, "Nets trained on D_R and D_NR under attack, with 95% intervals", nets),
    )
    return Section("Trained on robust or fragile features: D_R and D_NR", blocks)


def _level(found: CentralFound) -> Paragraph:
    said = " and ".join(f"{measured(net.clean)} with {SETS[name]}" for name, net in found.represented.items())
    level = "" if found.chance is None else f"; chance is {percent(found.chance)}"
    return paragraph(f"Without attack the fresh nets get {said}{level}.")


def _whole(result: Mapping[str, Any]) -> Folded:
    return Folded("The whole result as JSON", json.dumps(result, indent=2, default=str))
