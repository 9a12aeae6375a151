"""Sections of an audit's page: the scatter of usefulness, the verdicts, and the features in pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from featlab.audit.findings import Audit, Feature, Shown
from featlab.report.audit_radii import COLOURS, cell, radii
from featlab.report.audit_words import Audits, listed, many, number, ranged, speaks, subject, titled
from featlab.report.page import Beside, Block, Chart, Column, Section, Strong, Table, TableRow, Words, paragraph
from featlab.report.papers import ILYAS, OLAH
from featlab.report.pictures import Picture
from featlab.report.scatter import Group, Scatter, Spot
from featlab.report.wording import count


def features(audits: Audits) -> Section:
    """Return usefulness and robust usefulness as words, scatter and tables."""
    blocks: list[Block] = [
        paragraph(
            "A feature is useful for a class if it goes with it: rho is the mean of the standardised feature over the "
            "class, less that over the rest, each weighted by its share. Gamma is what is left of it if every image is "
            "changed against this very feature. Above 0 the feature still tells the class apart; below 0 the attack "
            "turned it round (",
            ILYAS,
            ").",
        )
    ]
    blocks += [paragraph(*_said(audit, audits)) for audit in audits]
    blocks += [paragraph(words) for words in _kinds(audits[0])]
    charts = tuple(_scatter(audit, audits) for audit in audits)
    blocks.append(charts[0] if len(charts) == 1 else Beside(charts))
    blocks.append(_counts(audits))
    blocks += radii(audits)
    if any(audit.features.others for audit in audits):
        blocks += [_elsewhere(audit) for audit in audits]
    blocks += [_best(audit) for audit in audits]
    return Section("Features: useful, and robustly so?", tuple(blocks))


def _said(audit: Audit, audits: Audits) -> list[Words]:
    found = audit.features
    kinds = [f"{many_of} {name}" for name, many_of in found.counts.items() if many_of]
    spec = audit.conditions["threat_models"][0]
    words: list[Words] = [
        subject(audit, audits),
        Strong(f"Of {many(len(found.rows), 'unit')} there are {listed(kinds)}"),
        f" at {spec}. They are the most useful of the {count(found.total)} of layer {found.layer}, the classes taking "
        "turns"
        f"{_picked(audit)}. Mean rho is {ranged(found.rho)}, mean gamma {ranged(found.gamma)}. ",
    ]
    if found.gamma.high < 0:
        words.append(
            "On average the attack turns these features against their classes: what the net reads can be rewritten."
        )
    elif found.gamma.low > 0:
        words.append("On average these features keep telling their classes apart under attack.")
    else:
        words.append(
            "Whether these features keep telling classes apart under attack cannot be said from so few images."
        )
    words.append(" Gamma is found by ascent, so the truth may be lower.")
    return words


FEW = 5
"""With fewer images of a kind no interval can say that a unit tells it apart."""


def _kinds(audit: Audit) -> list[str]:
    """Say what the features are to tell apart, where it is not each class, and where it cannot be told."""
    found = audit.features
    said = []
    if found.grouped:
        said.append(
            "The data name groups of classes, as they have too few images of each class: features are asked to tell "
            f"{found.kinds[0]} from {listed(found.kinds[1:])}."
        )
    if found.middle < FEW:
        what = "group" if found.grouped else "class"
        said.append(
            f"Half of the {what}{'s' if found.grouped else 'es'} have no more than {many(found.middle, 'image')} among "
            f"those that were attacked. From so few, hardly any unit can be shown to be useful: more images of each "
            f"{what} would tell."
        )
    return said


def _picked(audit: Audit) -> str:
    """Say on which images the units were picked and measured."""
    found, known = audit.features, audit.conditions
    idle = f"; {many(found.idle, 'unit')} never changed" if found.idle else ""
    if known["split"] == "all":
        return f", measured on {found.n} of the images on which they were picked, which flatters them{idle}"
    training = min(known["limits"]["train"], known["train_images"])
    return f", picked on {count(training)} training images and measured on {found.n} test images{idle}"


def _scatter(audit: Audit, audits: Audits) -> Chart:
    groups = tuple(
        Group(kind, tuple(_spot(row, audit) for row in audit.features.rows if row.verdict == kind), colour)
        for kind, colour in COLOURS.items()
        if any(each.features.counts.get(kind) for each in audits)
    )
    said = "; ".join(f"{group.label}: {len(group.spots)}" for group in groups)
    every = tuple((row.rho.value, row.gamma.value) for each in audits for row in each.features.rows)
    drawing = Scatter(
        f"scatter-{audits.index(audit)}",
        titled("Usefulness and robust usefulness", audit, audits),
        f"{said}.",
        groups,
        "rho, usefulness",
        "gamma, robust usefulness",
        diagonal=True,
        reach=every,
    )
    caption = titled("Each mark is a unit at the class that it is most useful for", audit, audits)
    return Chart(drawing, f"{caption}. On the dotted line the attack would change nothing.")


def _spot(row: Feature, audit: Audit) -> Spot:
    tip = f"unit {row.unit}, {speaks(row, audit.features.kinds)}: rho {ranged(row.rho)}, gamma {ranged(row.gamma)}"
    return Spot(row.rho.value, row.gamma.value, tip)


def _counts(audits: Audits) -> Table:
    columns = (Column("Verdict"), *(Column(audit.label, numeric=True) for audit in audits))
    kinds = {
        "robust": "robust: gamma above 0",
        "non-robust": "non-robust: useful, gamma not above 0",
        "unclear": "unclear: the interval of gamma holds 0",
        "useless": f"useless: rho not clearly above {audits[0].features.least:g}",
    }
    rows = [
        TableRow((words, *(str(each.features.counts.get(kind, 0)) for each in audits))) for kind, words in kinds.items()
    ]
    rows += [
        TableRow((f"mean {name}", *(ranged(getattr(each.features, name)) for each in audits)))
        for name in ("rho", "gamma")
    ]
    return Table("Verdicts by 95% intervals", columns, (("", tuple(rows)),))


def _elsewhere(audit: Audit) -> Table:
    columns = tuple(
        Column(title, numeric=place > 0)
        for place, title in enumerate(
            (
                "Threat model",
                "Robust",
                "Non-robust",
                "Unclear",
                "Mean gamma",
                "Same non-robust ones",
                "Rank correlation",
            )
        )
    )
    found = audit.features
    first = (audit.conditions["threat_models"][0], *_three(found.counts), ranged(found.gamma), "", "")
    rows = [TableRow(first, lead=True)]
    rows += [
        TableRow(
            (
                each.spec,
                *_three(each.counts),
                ranged(each.gamma),
                f"{each.jaccard:.0%}",
                number(each.spearman),
            )
        )
        for each in found.others
    ]
    return Table(
        f"The same units of {audit.label} in other threat models: how many of the units that either calls non-robust "
        "both do "
        "(Jaccard index), and the rank correlation (Spearman) of gamma with the first",
        columns,
        (("", tuple(rows)),),
    )


def _three(counts: object) -> tuple[str, ...]:
    assert isinstance(counts, dict)
    return tuple(str(counts.get(kind, 0)) for kind in ("robust", "non-robust", "unclear"))


def _best(audit: Audit) -> Table:
    """Return the numbers of the most useful units of each verdict."""
    groups = []
    sized = audit.features.radii is not None

    def lost(row: Feature) -> tuple[str, ...]:
        return (cell(audit, row.unit),) if sized else ()

    for kind in ("robust", "non-robust", "unclear"):
        rows = [row for row in audit.features.rows if row.verdict == kind][:6]
        cells = tuple(
            TableRow(
                (f"unit {row.unit}", speaks(row, audit.features.kinds), ranged(row.rho), ranged(row.gamma), *lost(row))
            )
            for row in rows
        )
        if cells:
            groups.append((kind, cells))
    titles = ("rho", "gamma", *(["gamma is 0 at eps"] if sized else []))
    columns = (Column("Unit"), Column("Speaks"), *(Column(title, True) for title in titles))
    return Table(f"The most useful units of {audit.label}, with 95% intervals", columns, tuple(groups))


def seen(audits: Audits) -> Section:
    """Return the most useful robust and non-robust units in pictures."""
    blocks: list[Block] = [
        paragraph(
            "What do these units respond to? Beside the test images that drive each most, and least, stand images made "
            "for it, from grey: one moved pixel by pixel, one as a spectrum with the proportions of natural images, "
            "which favours what is large, and another of these that is kept unlike the first (",
            OLAH,
            "). Where a made image shows something of the class, the unit reads what people see too; where it shows a "
            "texture that no test image has, the unit answers to more than the pictures beside it tell.",
        )
    ]
    for audit in audits:
        for kind, units in (("robust", audit.seen.robust), ("non-robust", audit.seen.fragile)):
            if units:
                blocks.append(_pictures(titled(f"Most useful {kind} units", audit, audits), units, audit))
        blocks += _instead(audit, audits)
    return Section("What the features look like", tuple(blocks))


def _instead(audit: Audit, audits: Audits) -> list[Block]:
    """Return the most useful of the other units, where there are no robust or no non-robust ones to show."""
    found = audit.seen
    lacking = [kind for kind, units in (("robust", found.robust), ("non-robust", found.fragile)) if not units]
    if not lacking:
        return []
    said = f"{subject(audit, audits)}None of the measured units is {' and none '.join(lacking)}"
    if not found.others:
        return [paragraph(f"{said}, so there is none of these to show.")]
    title = titled("Most useful of the other units", audit, audits)
    return [
        paragraph(f"{said}; instead, here are the most useful of those that are neither."),
        _pictures(title, found.others, audit, judged=True),
    ]


def _pictures(title: str, units: tuple[Shown, ...], audit: Audit, *, judged: bool = False) -> Picture:
    top = len(units[0].top_labels)
    low = len(units[0].bottom_labels)
    columns = (*(f"most {place + 1}" for place in range(top)), *(f"least {place + 1}" for place in range(low)))
    rows = tuple((_row_title(each.feature, audit, judged=judged), drawable(_row(each))) for each in units)
    notes = tuple(
        (*(audit.classes[label] for label in (*each.top_labels, *each.bottom_labels)), *[""] * len(each.made))
        for each in units
    )
    caption = (
        "Test images that the unit responds to most and least, with their labels, and images made to drive it up. "
        "Numbers with intervals stand in the tables above."
    )
    return Picture(title, caption, rows, (*columns, *audit.seen.made), notes)


def _row_title(row: Feature, audit: Audit, *, judged: bool) -> str:
    verdict = f"{row.verdict}, " if judged else ""
    numbers = f"rho {number(row.rho.value)}, gamma {number(row.gamma.value)}"
    return f"unit {row.unit}, {verdict}{speaks(row, audit.features.kinds)}; {numbers}"


def _row(each: Shown) -> Tensor:
    return torch.cat([each.top, each.bottom, each.made])


def drawable(images: Tensor) -> Tensor:
    """Return images as they can be drawn: those of other than one or three channels by their mean."""
    return images if images.shape[1] in (1, 3) else images.mean(dim=1, keepdim=True)
