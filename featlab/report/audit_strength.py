"""Sections of an audit's page: accuracy over eps, sanity, layers, and which features carry the flips."""

from __future__ import annotations

from featlab.audit.findings import Audit, LayerRow
from featlab.report.audit_words import TONES, Audits, accuracy, listed, many, number, part, ranged, share, subject
from featlab.report.charts import Lines, Series
from featlab.report.page import Block, Chart, Column, Section, Strong, Table, TableRow, Terms, Words, paragraph
from featlab.report.papers import NAKANO
from featlab.report.wording import count, percent, plain
from featlab.sanity import Symptom


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
    caption = (
        "Bands are 95% intervals over the draw of the images. How far each image must be changed is searched for by "
        "the quick suite, and from the eps asked for on, what the whole suite had is lost too."
    )
    return Chart(lines, caption)


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
        blocks.append(paragraph(subject(audit, audits), _trusted(len(audit.sanity.symptoms), [s.name for s in seen])))
        if seen:
            blocks.append(Terms(tuple((each.name, _sentence(each.advice)) for each in seen)))
    blocks.append(_symptoms(audits))
    return Section("Can the attacks be trusted?", tuple(blocks))


def _trusted(total: int, seen: list[str]) -> str:
    if seen:
        return (
            f"{len(seen)} of {total} symptoms that make attacks lie were seen: {listed(seen)}. Read the accuracy under "
            "attack with what stands below."
        )
    return (
        f"None of {total} symptoms that make attacks lie was seen. That is no proof that the attacks are as strong as "
        "attacks can be; it rules out the usual ways in which they fail."
    )


def _symptoms(audits: Audits) -> Table:
    """Return what was measured for every symptom that was looked for in any of the models."""
    known = [{each.name: each for each in audit.sanity.symptoms} for audit in audits]
    names = list(dict.fromkeys(name for each in known for name in each))
    columns = (Column("Symptom"), *(Column(audit.label) for audit in audits))
    rows = []
    for name in names:
        found = [each.get(name) for each in known]
        cells = ("not looked for" if each is None else _finding(each) for each in found)
        rows.append(TableRow((name, *cells), lead=any(each is not None and each.seen for each in found)))
    return Table("What was looked for, on a few images; bold where a symptom was seen", columns, (("", tuple(rows)),))


def _finding(symptom: Symptom) -> str:
    return f"{'Seen' if symptom.seen else 'Not seen'}: {symptom.finding}."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


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
    blocks += _layer_tables(audits)
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


def _layer_tables(audits: Audits) -> list[Block]:
    """Return one table where the nets have the same layers, and otherwise one for each."""
    known = [[(row.name, row.features) for row in audit.layers.rows] for audit in audits]
    if len(audits) > 1 and known[0] != known[1]:
        return [table for audit in audits for table in _layer_tables([audit])]
    rows = []
    for place, (name, features) in enumerate(known[0]):
        found = [audit.layers.rows[place] for audit in audits]
        rows.append(TableRow((name, count(features), *(_moved(row) for row in found))))
    columns = (Column("Layer"), Column("Values", True), *(Column(f"Moved, {audit.label}", True) for audit in audits))
    return [Table("Layer robustness, with 95% intervals", columns, (("", tuple(rows)),))]


def _moved(row: LayerRow) -> str:
    return f"unknown: {row.reason}" if row.moved is None else ranged(row.moved)


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
    known = {group.name: group for group in found.groups}
    parts = [f"{name} features carried {share(group.share)}" for name, group in known.items()]
    unknown = known.get("not measured")
    return (
        f"{noise}The attack changed {found.flipped} of {found.n} answers. Of the change of the logits towards the new "
        f"answer {listed(parts)}. A group that carries more than its part of the features, in the table, is used by "
        "the "
        f"attack more than others. {count(found.half)} of {count(found.total)} features, the strongest first, add up "
        "to "
        "half of the change."
        + (
            " Most of it went through units that were not measured, so little is known of their robustness; measure "
            "more "
            "with --units."
            if unknown is not None and unknown.share.value > 0.5
            else ""
        )
    )


def _groups(audit: Audit) -> Table:
    found = audit.flipped
    rows = tuple(
        TableRow((group.name, count(group.features), percent(group.features / found.total), share(group.share)))
        for group in found.groups
    )
    strongest = tuple(
        TableRow((f"unit {each.unit} ({each.verdict})", "1", percent(1 / found.total), part(each.share)))
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
