"""Sections of an audit's page: saliency with its quality, spectra, and the worst mistakes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from featlab.audit.findings import Audit, Mistake
from featlab.features.saliency_table import QUALITIES
from featlab.intervals import Mean
from featlab.report.audit_features import drawable
from featlab.report.audit_words import TONES, Audits, as_share, listed, many, number, ranged, subject, titled
from featlab.report.charts import Lines, Series
from featlab.report.page import Block, Chart, Column, Section, Table, TableRow, paragraph
from featlab.report.papers import ADEBAYO, ELHAGE, ENGSTROM, YIN
from featlab.report.pictures import Picture, saliency_images, saliency_scale
from featlab.report.svg import GREEN, GREY
from featlab.report.wording import count, percent

BASELINES = ("random", "edges")
CUT = 0.99
"""The share of the values that the colours of a method reach; what is beyond is drawn as if at the end."""


def saliency(audits: Audits) -> Section:
    """Return maps on one scale for each method, and the table of their quality."""
    blocks: list[Block] = [
        paragraph(
            "Which pixels speak for the label? Two of the rows know no model: random numbers, and an edge detector. A "
            "method "
            "that does no better than these says nothing about the model (",
            ADEBAYO,
            ").",
        )
    ]
    for audit in audits:
        blocks.append(
            paragraph(f"{subject(audit, audits)}{_judged(audit)}", *(f" {note}" for note in audit.saliency.notes))
        )
    blocks += [_maps(audit, audits, audits) for audit in audits]
    blocks += [_maps(audit, audits, [audit]) for audit in audits if _pale(audit, audits)]
    blocks += [_qualities(audit) for audit in audits]
    return Section("Saliency", tuple(blocks))


def _judged(audit: Audit) -> str:
    """Say which methods are clearly better than both baselines, and by which measures."""
    table, said = audit.saliency.table, []
    for method in (name for name in table if name not in BASELINES):
        better = [name for name in ("deletion", "insertion", "road", "infidelity") if _beats(audit, method, name)]
        if better:
            said.append(f"{method} by {listed(better)}")
    verdict = (
        f"clearly better than both baselines, with intervals apart: {'; '.join(said)}."
        if said
        else "no method is clearly better than both baselines by deletion, insertion, road or infidelity."
    )
    text = f"{verdict} Measured on {audit.saliency.n} images, so small differences are not seen."
    return text[:1].upper() + text[1:]


def _beats(audit: Audit, method: str, quality: str) -> bool:
    table = audit.saliency.table
    own, others = table[method][quality], [table[name][quality] for name in BASELINES if name in table]
    if QUALITIES[quality] == "high":
        return all(own.low > other.high for other in others)
    return all(own.high < other.low for other in others)


def _scale(audits: Audits, method: str) -> float:
    """Return the one scale on which a method's maps are drawn."""
    known = [each.saliency.maps[method] for each in audits if method in each.saliency.maps]
    return max(saliency_scale(maps, quantile=CUT) for maps in known)


def _pale(audit: Audit, audits: Audits) -> bool:
    """Return whether the model's gradients are too small to be seen on the scale of both."""
    return len(audits) > 1 and _scale([audit], "gradient") < _scale(audits, "gradient") / 3


def _maps(audit: Audit, audits: Audits, scaled: Audits) -> Picture:
    """Return the maps of a model, on scales shared by the models `scaled`."""
    found, own = audit.saliency, len(scaled) < len(audits)
    rows: list[tuple[str, Tensor]] = [("image", drawable(found.images))]
    said = []
    for method, maps in found.maps.items():
        scale = _scale(scaled, method)
        rows.append((method, saliency_images(maps, scale=scale or None)))
        said.append(f"{method} {scale:.2g}")
    shared = ", the same for both models" if len(scaled) > 1 else ", of this model alone" if own else ""
    caption = (
        f"Red speaks for the label, blue against it, white is zero. One scale for each method{shared}: full colour "
        "stands "
        f"at {'; '.join(said)} ({CUT:.0%} of the values lie within)."
    )
    title = titled("Maps of the label's logit, on its own scale" if own else "Maps of the label's logit", audit, audits)
    return Picture(title, caption, tuple(rows), tuple(audit.classes[label] for label in found.labels))


def _qualities(audit: Audit) -> Table:
    table = audit.saliency.table
    known = [name for name in QUALITIES if any(name in row for row in table.values())]
    columns = (Column("Method"), *(Column(f"{name} ({QUALITIES[name]})", True) for name in known))
    parts = (("Methods", [m for m in table if m not in BASELINES]), ("Baselines", [m for m in table if m in BASELINES]))
    groups = tuple(
        (title, tuple(TableRow((method, *(_cell(table[method].get(name)) for name in known))) for method in methods))
        for title, methods in parts
    )
    return Table(
        f"Quality of the maps of {audit.label}; in brackets which values are good, after \N{PLUS-MINUS SIGN} half of "
        "the 95% "
        "interval",
        columns,
        groups,
    )


def _cell(found: Mean | None) -> str:
    if found is None or math.isnan(found.value):
        return "unknown"
    half = "" if math.isnan(found.high) else f"\N{NO-BREAK SPACE}\N{PLUS-MINUS SIGN}{found.high - found.value:.2f}"
    return f"{found.value:.2f}{half}".replace("-", "\N{MINUS SIGN}")


def spectrum(audits: Audits) -> Section:
    """Return where in the spectrum the changes lie, and how far the classes' directions interfere."""
    blocks: list[Block] = [paragraph(subject(audit, audits), _pitch(audit), " (", YIN, ").") for audit in audits]
    blocks.append(_bands(audits))
    for audit in audits:
        if audit.spectrum.overlap is not None:
            blocks.append(paragraph(subject(audit, audits), _overlap(audit), " (", ELHAGE, ")."))
    return Section("Spectrum and interference", tuple(blocks))


def _pitch(audit: Audit) -> str:
    found = audit.spectrum
    if not found.pitch.n:
        return "The attack changed none of the images, so there is no spectrum of its changes"
    if found.pitch.low > found.flat_pitch:
        place = "higher than white noise, so what the attack adds is mostly fine"
    elif found.pitch.low > found.images_pitch.high and found.pitch.high < found.flat_pitch:
        place = "between the images and white noise"
    elif found.pitch.high < found.images_pitch.low:
        place = "lower than the images themselves"
    else:
        place = "close to one of the two, as far as these images tell"
    return (
        f"The changes that the attack makes have the mean frequency {ranged(found.pitch)} cycles per pixel, the "
        "images (less "
        f"their mean) {ranged(found.images_pitch)}, and white noise {number(found.flat_pitch)}: {place}"
    )


def _bands(audits: Audits) -> Chart:
    first = audits[0].spectrum
    flat = tuple(Mean(part, part, part, first.images[0].n) for part in first.flat)
    series = [
        *(
            _band_line(f"changes, {each.label}", each.spectrum.change, each, tone)
            for each, tone in zip(audits, TONES)
            if each.spectrum.pitch.n
        ),
        _band_line("images", first.images, audits[0], GREEN, faint=True),
        _band_line("white noise", flat, audits[0], GREY, faint=True),
    ]
    said = "; ".join(
        f"{each.label}: " + ", ".join(percent(part.accuracy) for _, part in each.points) for each in series
    )
    lines = Lines("spectrum", "Share of energy by frequency", f"{said}.", tuple(series), "cycles per pixel")
    return Chart(lines, "Share of the energy in rings of equal width about frequency 0; bands are 95% intervals.")


def _band_line(label: str, energy: tuple[Mean, ...], audit: Audit, tone: int, *, faint: bool = False) -> Series:
    centers = (round(center, 3) for center in audit.spectrum.centers)
    return Series(label, tuple(zip(centers, map(as_share, energy))), tone, faint)


def _overlap(audit: Audit) -> str:
    found = audit.spectrum.overlap or {}
    cosine, chance = found["mean_squared_cosine"], found["random"]
    return (
        "In the representation the directions of two different classes have the mean squared cosine "
        f"{number(cosine)}, where random directions have {number(chance)}; each has "
        f"{number(found['dimensions_per_feature'])} of a dimension to itself, 1 where none gets into another's way"
    )


def mistakes(audits: Audits) -> Section:
    """Return the wrong answers that the model was surest of, with their reasons."""
    blocks: list[Block] = []
    for audit in audits:
        blocks.append(paragraph(f"{subject(audit, audits)}{_wrong(audit)}"))
        if audit.mistakes.rows:
            blocks += [_mistakes(audit, audits), _reasons(audit)]
    blocks.append(
        paragraph(
            "Rationalised means: the image moved, anywhere within [0, 1], until the unit that added most to the answer "
            "responds strongly. Where the answer's class appears, the model was wrong for a reason that people can "
            "see; "
            "where noise appears, its reason is not one of ours (",
            ENGSTROM,
            ").",
        )
    )
    return Section("The worst mistakes", tuple(blocks))


def _wrong(audit: Audit) -> str:
    found = audit.mistakes
    if not found.wrong:
        return f"All {count(found.total)} test images are answered rightly, so there is no mistake to look into."
    near = [label == row.answer for row in found.rows for label in row.nearest_labels]
    true = [label == row.label for row in found.rows for label in row.nearest_labels]
    return (
        f"{count(found.wrong)} of {count(found.total)} test images are answered wrongly, with the mean confidence "
        f"{ranged(found.sure)}; right answers have {ranged(found.sure_right)}. Below are the {len(found.rows)} that "
        "it was "
        f"surest of. Of the {many(len(near), 'training image')} that the model sees as most alike to these, "
        f"{sum(near)} have "
        f"the class that it answered and {sum(true)} the class of the label; where the neighbours look like the image "
        "and have the answer's class, the label may be at fault."
    )


def _mistakes(audit: Audit, audits: Audits) -> Picture:
    found = audit.mistakes
    shown = found.rows[0].rationalized is not None
    near = len(found.rows[0].nearest_labels)
    columns = ("image", *(["rationalised"] if shown else []), *(f"neighbour {place + 1}" for place in range(near)))
    rows = tuple((_title(row, audit), drawable(_row(row))) for row in found.rows)
    notes = tuple(
        (
            audit.classes[row.label],
            *([f"towards {audit.classes[row.answer]}"] if shown else []),
            *(audit.classes[label] for label in row.nearest_labels),
        )
        for row in found.rows
    )
    caption = "Under the image and its neighbours, which are training images, stand their labels."
    return Picture(titled("Most confident wrong answers", audit, audits), caption, rows, columns, notes)


def _title(row: Mistake, audit: Audit) -> str:
    return f"{audit.classes[row.answer]}, {percent(row.sure)} sure"


def _row(row: Mistake) -> Tensor:
    parts = [row.image[None], *([] if row.rationalized is None else [row.rationalized[None]]), row.nearest]
    return torch.cat(parts)


def _reasons(audit: Audit) -> Table:
    rows = tuple(
        TableRow(
            (
                f"test image {row.index}",
                audit.classes[row.label],
                f"{percent(row.truth)}",
                f"{audit.classes[row.answer]}, {percent(row.sure)}",
                "; ".join(
                    f"unit {each.unit}{f' ({each.verdict})' if each.verdict else ''} +{each.added:.2f}"
                    for each in row.reasons
                )
                or "the answer is no sum over units",
            )
        )
        for row in audit.mistakes.rows
    )
    columns = (
        Column("Image"),
        Column("Label"),
        Column("Probability of it", True),
        Column("Answer"),
        Column("Units that added most to the answer's logit"),
    )
    return Table(f"The worst mistakes of {audit.label}, with the units responsible", columns, (("", rows),))
