"""How far units stay useful, in the audit's section on features: words, curves, and a cell for the tables."""

from __future__ import annotations

from featlab.audit.findings import Audit, Feature, Radius
from featlab.report.audit_words import NARROW_TO, Audits, many, number, subject, titled
from featlab.report.curves import Curve, Curves
from featlab.report.page import Beside, Block, Chart, Strong, paragraph
from featlab.report.svg import GREEN, GREY, PURPLE, VERMILION

COLOURS = {"robust": GREEN, "non-robust": VERMILION, "unclear": PURPLE, "useless": GREY}


def radii(audits: Audits) -> list[Block]:
    """Return the curves of gamma over eps with what they say; nothing where the set has no size."""
    shown = [audit for audit in audits if audit.features.radii is not None]
    if not shown:
        return []
    charts = tuple(_curves(audit, audits) for audit in shown)
    said = [paragraph(*_said(audit, audits)) for audit in shown]
    return [*said, charts[0] if len(charts) == 1 else Beside(charts)]


def cell(audit: Audit, unit: int) -> str:
    """Return the size at which a unit's gamma reaches 0, with its interval."""
    found = _of(audit, unit)
    return "not measured" if found is None else ranged(found, _largest(audit))


def ranged(found: Radius, largest: float) -> str:
    """Return a radius with its interval, as far as it was searched."""
    beyond = f"beyond {number(largest)}"
    value, low, high = (beyond if each is None else number(each) for each in (found.value, found.low, found.high))
    return value if found.low is None else f"{value} ({low}{NARROW_TO}{high})"


def _of(audit: Audit, unit: int) -> Radius | None:
    known = audit.features.radii
    return None if known is None else next((row for row in known.rows if row.unit == unit), None)


def _largest(audit: Audit) -> float:
    known = audit.features.radii
    assert known is not None  # It is asked for where a radius was found.
    return known.largest


def _said(audit: Audit, audits: Audits) -> list[str | Strong]:
    """Say at which sizes units lose their use."""
    known = audit.features.radii
    assert known is not None
    useful = [row for row in audit.features.rows if row.verdict != "useless"]
    found = [each for each in (_of(audit, row.unit) for row in useful) if each is not None]
    if not found:
        return [f"{subject(audit, audits)}no unit is useful, so none can lose its use."]
    sizes = sorted(known.largest if each.value is None else each.value for each in found)
    beyond = sum(each.value is None for each in found)
    middle = sizes[(len(sizes) - 1) // 2]
    reached = f"Half of the {many(len(found), 'useful unit')} lose their use by eps {number(middle)}"
    if beyond * 2 > len(found):
        reached = f"Most of the {many(len(found), 'useful unit')} keep their use up to eps {number(known.largest)}"
    return [
        subject(audit, audits),
        Strong(reached),
        f"; the first at {number(sizes[0])}, "
        + (f"{beyond} not by {number(known.largest)}" if beyond else f"the last at {number(sizes[-1])}")
        + f". There gamma crosses 0: a unit that holds at the audited size may be lost just beyond it. The sizes were "
        f"searched on {known.n} of the images.",
    ]


def _curves(audit: Audit, audits: Audits) -> Chart:
    kinds = [kind for kind in COLOURS if any(row.verdict == kind for row in audit.features.rows)]
    made = [_curve(audit, row) for kind in kinds for row in audit.features.rows if row.verdict == kind]
    series = tuple(each for each in made if each is not None)
    eps = audit.strength.eps
    reach = tuple((knot.eps, knot.gamma.value) for each in audits for row in _rows(each) for knot in row.curve)
    drawing = Curves(
        f"radii-{audits.index(audit)}",
        titled("Robust usefulness over the size of the set", audit, audits),
        "; ".join(f"unit {row.unit}: {ranged(row, _largest(audit))}" for row in _rows(audit)) + ".",
        series,
        f"eps of {audit.conditions['threat_models'][0].partition(':')[0]}",
        "gamma, robust usefulness",
        verticals=() if eps is None else ((eps, "audited"),),
        reach=reach,
    )
    return Chart(drawing, titled("A line is a unit, from rho at eps 0 down; below 0 it is lost", audit, audits) + ".")


def _rows(audit: Audit) -> tuple[Radius, ...]:
    known = audit.features.radii
    return () if known is None else known.rows


def _curve(audit: Audit, row: Feature) -> Curve | None:
    found = _of(audit, row.unit)
    if found is None:
        return None
    return Curve(
        row.verdict,
        tuple((knot.eps, knot.gamma.value) for knot in found.curve),
        COLOURS[row.verdict],
        faint=True,
        dots=tuple(
            (knot.eps, knot.gamma.value, f"unit {row.unit}, eps {knot.eps:.3g}: gamma {number(knot.gamma.value)}")
            for knot in found.curve[1:]
        ),
    )
