"""The section of an audit's page on inversion: images made from representations alone, beside their sources."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from featlab.audit.findings import Audit, Nearness
from featlab.report.audit_features import drawable
from featlab.report.audit_words import Audits, listed, ranged, subject
from featlab.report.page import Block, Column, Section, Strong, Table, TableRow, Words, paragraph
from featlab.report.papers import ENGSTROM
from featlab.report.pictures import Picture

NAMES: Mapping[str, str] = {
    "representation": "distance in representation, of its length",
    "haarpsi": "HaarPSI",
    "ssim": "SSIM",
    "psnr": "PSNR",
}


def inverted(audits: Audits) -> Section:
    """Return inversions beside their sources, and how near they come, in words, pictures and a table."""
    blocks: list[Block] = [
        paragraph(
            "What does the representation keep of an image? Another image was changed, anywhere within [0, 1], until "
            f"layer {audits[0].inverted.layer} sees in it what it sees in the source (",
            ENGSTROM,
            "). If people see the source in the result too, the net reads what they read; if not, it reads something "
            "else, however well the representations agree.",
        )
    ]
    blocks += [paragraph(*_said(audit, audits)) for audit in audits]
    if len(audits) > 1:
        blocks.append(paragraph(_compared(audits[0], audits[1])))
    blocks += [_pictures(audits), _numbers(audits)]
    return Section("Images made from what the model sees", tuple(blocks))


def nearer(one: Nearness, other: Nearness) -> bool:
    """Return whether the first one's inversions are clearly nearer than the other's: their intervals are apart."""
    return _above(one.good, one.found.low, one.found.high, other.found.low, other.found.high)


def _above(good: str, low: float, high: float, other_low: float, other_high: float) -> bool:
    return low > other_high if good == "high" else high < other_low


def _beats(each: Nearness) -> bool:
    """Return whether inversions are clearly nearer to their sources than other images are."""
    return _above(each.good, each.found.low, each.found.high, each.baseline.low, each.baseline.high)


def _said(audit: Audit, audits: Audits) -> list[Words]:
    """Say how much of the way was gone, and whether it can be seen."""
    found = audit.inverted
    away, *looks = found.measures
    words: list[Words] = [
        subject(audit, audits),
        f"Of the distance in representation {ranged(away.found)} is left after {found.steps} steps, from "
        f"{ranged(away.baseline)} between two images, on {found.n} test images. ",
    ]
    if not looks:
        return [*words, "Images of this shape have no measure of likeness, so judge by the pictures."]
    seen = [NAMES[each.name] for each in looks if _beats(each)]
    if len(seen) == len(looks):
        words.append(
            Strong(f"The inversions look clearly more like their sources than other images do, by {listed(seen)}.")
        )
    elif seen:
        words.append(f"They look clearly more like their sources than other images do by {listed(seen)} alone.")
    else:
        words.append(Strong("The inversions look no more like their sources than other images do"))
        words.append(
            f", as far as these tell, by {listed([NAMES[each.name] for each in looks])}: what this layer reads is not "
            "what people see."
        )
    return words


def _compared(first: Audit, second: Audit) -> str:
    """Say whose inversions look more like the sources, where the intervals are apart."""
    pairs = list(zip(first.inverted.measures[1:], second.inverted.measures[1:], strict=True))
    said = []
    for audit, wins in ((first, [nearer(a, b) for a, b in pairs]), (second, [nearer(b, a) for a, b in pairs])):
        names = [NAMES[each.name] for (each, _), won in zip(pairs, wins, strict=True) if won]
        if names:
            said.append(f"the inversions of {audit.label} look clearly more like the sources by {listed(names)}")
    if not said:
        return "Whose inversions look more like the sources cannot be told from so few images."
    text = f"{'; '.join(said)}, with intervals apart."
    return text[:1].upper() + text[1:]


def _pictures(audits: Audits) -> Picture:
    """Return sources, where the ascents began, and where they ended; both models began at the same images."""
    first = audits[0].inverted
    rows: list[tuple[str, Tensor]] = [("source", drawable(first.source)), ("begun at", drawable(first.start))]
    rows += [
        (f"inversion, {each.label}" if len(audits) > 1 else "inversion", drawable(each.inverted.found))
        for each in audits
    ]
    caption = "Each inversion has nearly the representation of the source above it, and was made without seeing it."
    notes = tuple(audits[0].classes[label] for label in first.labels)
    return Picture("Sources and inversions", caption, tuple(rows), notes)


def _numbers(audits: Audits) -> Table:
    columns: list[Column] = [Column("Measure")]
    for audit in audits:
        columns += [Column(f"inversions{f', {audit.label}' if len(audits) > 1 else ''}", True)]
    columns.append(Column("another image" if len(audits) == 1 else f"another image, {audits[0].label}", True))
    if len(audits) > 1:
        columns.append(Column(f"another image, {audits[1].label}", True))
    rows = []
    for place, each in enumerate(audits[0].inverted.measures):
        both = [audit.inverted.measures[place] for audit in audits]
        cells = (*(ranged(one.found) for one in both), *(ranged(one.baseline) for one in both))
        rows.append(
            TableRow((f"{NAMES[each.name]}{' in dB' if each.name == 'psnr' else ''} ({each.good} is near)", *cells))
        )
    return Table(
        "How near images come to the source, with 95% intervals by the bootstrap", tuple(columns), (("", tuple(rows)),)
    )
