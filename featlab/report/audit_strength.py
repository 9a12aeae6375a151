"""Sections of an audit's page: accuracy over eps, sanity, layers, and which features carry the flips."""

from __future__ import annotations

from featlab.audit.findings import Audit
from featlab.report.audit_words import TONES, Audits, accuracy, listed, many, number, ranged, share, subject
from featlab.report.charts import Lines, Series
from featlab.report.page import Block, Chart, Column, Link, Section, Strong, Table, TableRow, Terms, Words, paragraph
from featlab.report.wording import count, percent, plain

NAKANO = Link(
    "Engstrom et al. 2019, response to Nakano", "https://distill.pub/2019/advex-bugs-discussion/original-authors/"
)


def accuracies(audits: Audits) -> Section:
    """Return accuracy, clean and over eps, as words, chart and table."""
    blocks: list[Block] = [paragraph(*_said(audit, audits)) for audit in audits]
    if all(audit.strength.curve for audit in audits):
        blocks.append(_chart(audits))
    blocks.append(_table(audits))
    if any(audit.strength.others for audit in audits):
        blocks.append(_others(audits))
    return Section("Accuracy under attack", tuple(blocks))


def _said(audit: Audit, audits: Audits) -> list[Words]:
    found = audit.strength
    spec = audit.conditions["threat_models"][0]
    lost = found.before.accuracy - found.robust.accuracy
    words: list[Words] = [
        subject(audit, audits),
        Strong(f"{percent(found.clean.accuracy)} of {count(found.clean.n)} test images are answered rightly"),
        f", {accuracy(found.clean)}. Of the {found.before.n} that were attacked, {accuracy(found.before)} are right "
        f"without attack and {accuracy(found.robust)} hold in {spec} under suite {audit.conditions['suite']}, so the "
        f"attacks take {100 * lost:.1f} points. ",
    ]
    if found.median is not None:
        words.append(
            "For half of these images a change of "
            f"{number(found.median)} or less is enough to make the answer wrong, as far as a quick attack finds it. "
            if found.median > 0
            else "Half of these images are answered wrongly without any change. "
        )
    elif found.largest is not None:
        words.append(f"More than half of these images hold up to {number(found.largest)} against a quick attack. ")
    words.append("Accuracy under attack is an upper bound: a stronger attack can only lower it.")
    return words


def _chart(audits: Audits) -> Chart:
    series = tuple(
        Series(audit.label, tuple((row.eps or 0.0, row.left) for row in audit.strength.curve), tone)
        for audit, tone in zip(audits, TONES)
    )
    eps = audits[0].strength.eps or 0.0
    said = "; ".join(
        f"{audit.label}: " + ", ".join(f"{percent(r.left.accuracy)} at {plain(r.eps)}" for r in audit.strength.curve)
        for audit in audits
    )
    lines = Lines(
        "curve", "Accuracy under attack over eps", f"{said}.", series, "eps", ((eps, f"asked for: {plain(eps)}"),)
    )
    return Chart(lines, "Bands are 95% intervals over the draw of the images. An image that was lost stays lost.")


def _table(audits: Audits) -> Table:
    columns = (Column("Images"), *(Column(audit.label, numeric=True) for audit in audits))
    rows = [
        TableRow(("all, without attack", *(accuracy(audit.strength.clean) for audit in audits))),
        TableRow(("attacked ones, without attack", *(accuracy(audit.strength.before) for audit in audits))),
    ]
    for place, point in enumerate(audits[0].strength.curve[1:], 1):
        cells = (accuracy(audit.strength.curve[place].left) for audit in audits)
        rows.append(
            TableRow((f"under attack, eps {plain(point.eps)}", *cells), lead=point.eps == audits[0].strength.eps)
        )
    if not audits[0].strength.curve:
        cells = (accuracy(audit.strength.robust) for audit in audits)
        rows.append(TableRow((f"under attack, {audits[0].conditions['threat_models'][0]}", *cells), lead=True))
    return Table("Accuracy, with 95% intervals", columns, (("", tuple(rows)),))


def _others(audits: Audits) -> Table:
    columns = (Column("Threat model"), *(Column(audit.label, numeric=True) for audit in audits))
    rows = tuple(
        TableRow((first.spec, *(accuracy(audit.strength.others[place].left) for audit in audits)))
        for place, first in enumerate(audits[0].strength.others)
    )
    return Table("Accuracy in the other threat models, same attacks", columns, (("", rows),))


def warnings(audits: Audits) -> Section:
    """Return the symptoms of attacks that lie, seen or not, with what to do about those that were."""
    blocks: list[Block] = []
    for audit in audits:
        seen = [each for each in audit.sanity.symptoms if each.seen]
        total = len(audit.sanity.symptoms)
        words = (
            f"{len(seen)} of {total} symptoms that make attacks lie were seen: {listed([s.name for s in seen])}. Read "
            "the "
            "accuracy under attack with what stands below."
            if seen
            else f"None of {total} symptoms that make attacks lie was seen. That is no proof that the attacks are as "
            "strong "
            "as attacks can be; it rules out the usual ways in which they fail."
        )
        blocks.append(paragraph(subject(audit, audits), words))
        items = tuple(
            (
                f"{each.name}: {'seen' if each.seen else 'not seen'}",
                _symptom(each.finding, each.advice if each.seen else ""),
            )
            for each in audit.sanity.symptoms
        )
        blocks.append(Terms(items))
    return Section("Can the attacks be trusted?", tuple(blocks))


def _symptom(finding: str, advice: str) -> str:
    return f"{_sentence(finding)} {_sentence(advice)}".strip()


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def layers(audits: Audits) -> Section:
    """Return layer robustness from the first block to the logits."""
    blocks: list[Block] = [
        paragraph(
            "How far can the attack move what a layer says, in units of the mean distance between two images there? "
            "At 1 "
            "an image can be made to look to the layer like another one altogether; at 0 nothing moves (",
            NAKANO,
            ").",
        )
    ]
    blocks += [paragraph(subject(audit, audits), _depth(audit)) for audit in audits]
    blocks += [_layer_table(audit) for audit in audits]
    return Section("Layer by layer", tuple(blocks))


def _depth(audit: Audit) -> str:
    known = [row for row in audit.layers.rows if row.moved is not None]
    if not known:
        return "No layer could be measured; the table says why."
    first, last = known[0], known[-1]
    assert first.moved is not None
    assert last.moved is not None
    if last.moved.low > first.moved.high:
        way = "the change grows on its way through the net"
    elif last.moved.high < first.moved.low:
        way = "the change shrinks on its way through the net"
    else:
        way = "first and last layer are moved about equally far, as far as these images tell"
    return (
        f"From {ranged(first.moved)} at {first.name} to {ranged(last.moved)} at {last.name}: {way}. Measured on "
        f"{many(audit.layers.n, 'image')}; a stronger attack could move each layer farther."
    )


def _layer_table(audit: Audit) -> Table:
    rows = tuple(
        TableRow((row.name, count(row.features), row.reason if row.moved is None else ranged(row.moved)))
        for row in audit.layers.rows
    )
    columns = (Column("Layer"), Column("Values", True), Column("Moved (95% interval)", True))
    return Table(f"Layer robustness of {audit.label}", columns, (("", rows),))


def flips(audits: Audits) -> Section:
    """Return which features carried the change of the answers under attack."""
    blocks: list[Block] = []
    for audit in audits:
        blocks.append(paragraph(subject(audit, audits), _carried(audit)))
        if audit.flipped.groups:
            blocks.append(_groups(audit))
    return Section("What carries the flips", tuple(blocks))


def _carried(audit: Audit) -> str:
    found, attacked = audit.flipped, audit.attacked
    noise = (
        f"The attack leaves {accuracy(attacked.left)} of the answers right; noise of the same lengths (mean "
        f"{ranged(attacked.length)} in the Euclidean norm) leaves {accuracy(attacked.noise)}. "
    )
    if not found.groups:
        return f"{noise}Not split over features: {found.reason}."
    parts = []
    for group in found.groups:
        part = group.features / found.total
        parts.append(f"{group.name} features, {percent(part)} of all, {share(group.share)}")
    return (
        f"{noise}The attack changed {found.flipped} of {found.n} answers. Of the change of the logits towards the new "
        "answer "
        f"these were carried by {listed(parts)}. A group that carries more than its part of the features is used by "
        "the "
        f"attack more than others. It takes {count(found.half)} of {count(found.total)} features to add up to half of "
        "the "
        "change, the strongest first."
    )


def _groups(audit: Audit) -> Table:
    found = audit.flipped
    rows = tuple(
        TableRow((group.name, count(group.features), percent(group.features / found.total), share(group.share)))
        for group in found.groups
    )
    strongest = tuple(
        TableRow((f"unit {each.unit} ({each.verdict})", "1", percent(1 / found.total), percent(each.share)))
        for each in found.strongest
    )
    columns = (
        Column("Features"),
        Column("Number", True),
        Column("Part of all", True),
        Column("Carried of the change (95% interval)", True),
    )
    return Table(
        f"Who carried the change of {audit.label}'s answers",
        columns,
        (("By verdict", rows), ("Strongest units", strongest)),
    )
