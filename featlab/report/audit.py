"""The page of an audit, of one model or of two side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator

from featlab.audit.differences import Difference, differences
from featlab.audit.findings import Audit
from featlab.audit.storing import record
from featlab.report.audit_explained import mistakes, saliency, spectrum
from featlab.report.audit_features import features, seen
from featlab.report.audit_inverted import inverted
from featlab.report.audit_strength import accuracies, flips, layers, warnings
from featlab.report.audit_words import Audits, listed, ranged
from featlab.report.page import Column, Folded, Page, Section, Strong, Table, TableRow, paragraph
from featlab.report.pictures import Picture
from featlab.report.wording import count, duration, percent, plain


def audit_page(audits: Audits) -> Page:
    """Return the page of one audit, or of two of the same data and limits beside each other.

    Raises ValueError for another number, and for two that were made under different conditions.
    """
    _check(audits)
    names = [audit.label for audit in audits]
    return Page(
        title=f"Audit of {listed(names)}",
        lead=(
            "Which features does this classifier use, which of them survive an attack, and what do they look like? "
            if len(audits) == 1
            else "Which features do these two classifiers use, which of them survive an attack, and what do they look "
            "like? "
        )
        + f"Measured on {plain(audits[0].conditions['data'])}, with 95% intervals over the draw of the images.",
        facts=_facts(audits),
        sections=(
            *([_differences(audits[0], audits[1])] if len(audits) > 1 else []),
            accuracies(audits),
            warnings(audits),
            features(audits),
            seen(audits),
            inverted(audits),
            layers(audits),
            flips(audits),
            saliency(audits),
            spectrum(audits),
            mistakes(audits),
            _provenance(audits),
        ),
    )


def _check(audits: Audits) -> None:
    if not 1 <= len(audits) <= 2:
        raise ValueError(f"a page shows one audit or two, got {len(audits)}")
    names = ("data", "test_sha256", "threat_models", "suite", "limits", "seed")
    for name in names if len(audits) > 1 else ():
        first, second = (audit.conditions[name] for audit in audits)
        if first != second:
            raise ValueError(f"two audits are compared under the same conditions; {name} is {first} and {second}")


def pictures(page: Page) -> Iterator[Picture]:
    """Yield every picture of a page, for files of their own."""
    for section in page.sections:
        yield from (block for block in section.blocks if isinstance(block, Picture))


def _facts(audits: Audits) -> tuple[tuple[str, str], ...]:
    first = audits[0]

    def each(of: object) -> str:
        assert callable(of)
        return " / ".join(str(of(audit)) for audit in audits)

    return (
        ("Data", f"{plain(first.conditions['data'])}, {count(first.conditions['test_images'])} test images"),
        ("Threat model", ", ".join(first.conditions["threat_models"])),
        ("Accuracy", each(lambda audit: percent(audit.strength.clean.accuracy))),
        ("Under attack", each(lambda audit: percent(audit.strength.robust.accuracy))),
        ("Robust units", each(lambda audit: f"{audit.features.counts['robust']} of {len(audit.features.rows)}")),
        (
            "Non-robust units",
            each(lambda audit: f"{audit.features.counts['non-robust']} of {len(audit.features.rows)}"),
        ),
        ("Warnings", each(lambda audit: sum(symptom.seen for symptom in audit.sanity.symptoms))),
        ("Time", duration(sum(sum(audit.seconds.values()) for audit in audits))),
    )


def _differences(first: Audit, second: Audit) -> Section:
    rows = differences(first, second)
    apart = [row.name for row in rows if row.apart]
    alike = [row.name for row in rows if not row.apart]
    return Section(
        f"{first.label} and {second.label} compared",
        (
            paragraph(
                Strong(f"{len(apart)} of {len(rows)} quantities differ clearly"),
                f": {listed(apart)}. " if apart else ". ",
                f"No clear difference: {listed(alike)}. " if alike else "",
                "Clear means that the 95% interval of the difference leaves out 0. About one in twenty that do not "
                "differ "
                "seems to by chance; intervals take the two models as independent draws, which is cautious, as both "
                "saw "
                "the same images.",
            ),
            _table(rows, first, second),
        ),
    )


def _table(rows: tuple[Difference, ...], first: Audit, second: Audit) -> Table:
    columns = (
        Column("Quantity"),
        Column(first.label, True),
        Column(second.label, True),
        Column(f"{second.label} less {first.label}", True),
    )
    cells = tuple(
        TableRow((row.name, *(ranged(each) for each in (row.first, row.second, row.difference))), lead=row.apart)
        for row in rows
    )
    return Table("Differences, with 95% intervals; bold where they are clear", columns, (("", cells),))


def _provenance(audits: Audits) -> Section:
    said = listed([f"{count(audits[0].conditions['limits'][name])} {name}" for name in ("images", "units")])
    return Section(
        "Provenance",
        (
            paragraph(
                f"At most {said} were attacked and measured; all limits stand below. The same command, seeds and "
                "versions give "
                "the same numbers on the same device, but for the times."
            ),
            _conditions(audits),
            _attacks(audits),
            _times(audits),
            *(Folded(f"All numbers of {audit.label} (JSON)", json.dumps(record(audit), indent=2)) for audit in audits),
        ),
    )


def _conditions(audits: Audits) -> Table:
    columns = (Column("Name"), *(Column(audit.label) for audit in audits))
    names = [name for name in audits[0].conditions if name != "card"]
    rows = [TableRow((_words(name), *(plain(audit.conditions[name]) for audit in audits))) for name in names]
    rows.append(TableRow(("card", *(plain(audit.conditions["card"]) for audit in audits))))
    return Table("What the numbers stand on", columns, (("", tuple(rows)),))


def _words(name: str) -> str:
    return name.replace("_sha256", ", SHA-256").replace("_", " ")


def _attacks(audits: Audits) -> Table:
    attacks = audits[0].strength.attacks
    keys = [key for key in attacks[0] if key != "name"]
    columns = (Column("Option"), *(Column(str(attack["name"]), numeric=True) for attack in attacks))
    rows = tuple(TableRow((key.replace("_", " "), *(plain(attack[key]) for attack in attacks))) for key in keys)
    return Table("The attacks of the accuracy under attack, one after the other", columns, (("", rows),))


def _times(audits: Audits) -> Table:
    columns = (Column("Part"), *(Column(audit.label, numeric=True) for audit in audits))
    rows = tuple(TableRow((part, *(duration(audit.seconds[part]) for audit in audits))) for part in audits[0].seconds)
    return Table("Time of each part", columns, (("", rows),))
