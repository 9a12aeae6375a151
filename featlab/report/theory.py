"""The page of the theorems: each formula beside a number found another way, and what they look like."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from featlab.report.curves import Curve, Curves
from featlab.report.page import (
    Beside,
    Block,
    Chart,
    Column,
    Folded,
    Link,
    Page,
    Section,
    Strong,
    Table,
    TableRow,
    paragraph,
)
from featlab.report.papers import GOH_EXAMPLES, ILYAS, SCHMIDT, TSIPRAS
from featlab.report.svg import BLUE, GREEN, GREY, PURPLE, VERMILION
from featlab.report.terminal import table
from featlab.report.wording import count, duration, plain

Row = Mapping[str, Any]
RELATIONS = {"equals": "=", "at most": "\N{LESS-THAN OR EQUAL TO}", "at least": "\N{GREATER-THAN OR EQUAL TO}"}


def theory_table(result: Row) -> Group:
    """Return the checks of a result of `featlab theory`, to print with rich."""
    rows = ((f"{each['model']}: {each['claim']}", _cells(each)) for each in result["checks"])
    return Group(
        Text(_headline(result["checks"]), style="bold"), table(("formula", "exact", "", "numeric", "within", ""), rows)
    )


def _cells(check: Row) -> tuple[str, ...]:
    relation = RELATIONS[check["relation"]]
    verdict = "holds" if check["holds"] else "FAILS"
    return (_number(check["exact"]), relation, _number(check["numeric"]), f"{check['tolerance']:.1g}", verdict)


def _number(value: float) -> str:
    text = f"{value:.5g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"
    return text.replace("-", "\N{MINUS SIGN}")  # Lines are not broken there, as they are at a hyphen.


def _headline(checks: Sequence[Row]) -> str:
    held = sum(each["holds"] for each in checks)
    return f"{held} of {len(checks)} formulas agree with the numbers"


def theory_page(result: Row) -> Page:
    """Return the page of a result of `featlab theory`: every number on it comes from the result."""
    checks, shown = result["checks"], result["figures"]
    return Page(
        title="What can be computed about robust features",
        lead=(
            "Models of data on which usefulness, robustness and what training makes of them are formulas. Each formula "
            "stands beside a number that was found another way: by simulation, by search, or by construction."
        ),
        facts=(
            ("Formulas that hold", f"{sum(each['holds'] for each in checks)} of {len(checks)}"),
            ("Samples", count(result["settings"]["samples"])),
            ("Dimension", count(result["settings"]["dimension"])),
            ("Time", duration(result["seconds"])),
        ),
        sections=(
            _gaussian(result),
            _section("Linear features and their robust usefulness", checks, "Linear", GOH_EXAMPLES),
            _at_odds(checks, shown["at_odds"]),
            _samples(checks, shown["samples"]),
            Section("Conditions", (_conditions(result), Folded("The whole result as JSON", json.dumps(result)))),
        ),
    )


def _table(checks: Sequence[Row], model: str) -> Table:
    groups: dict[str, list[TableRow]] = {}
    for each in checks:
        if each["model"].startswith(model):
            exact, relation, numeric, tolerance, verdict = _cells(each)
            cells = (each["claim"], exact, f"{relation}\N{NO-BREAK SPACE}{numeric}", tolerance, each["how"], verdict)
            groups.setdefault(each["model"], []).append(TableRow(cells, lead=not each["holds"]))
    columns = (
        Column("Formula"),
        Column("Exact", True),
        Column("Numeric", True),
        Column("Tolerance", True),
        Column("The number is"),
        Column("Verdict"),
    )
    caption = "Formula and number; a simulated one may stray by four of its standard errors"
    return Table(caption, columns, tuple((name, tuple(rows)) for name, rows in groups.items()))


def _section(title: str, checks: Sequence[Row], model: str, source: Link, *blocks: Block) -> Section:
    own = [each for each in checks if each["model"].startswith(model)]
    held = sum(each["holds"] for each in own)
    said = paragraph(Strong(f"{held} of {len(own)} formulas agree with the numbers. "), "Source: ", source, ".")
    return Section(title, (said, *blocks, _table(checks, model)))


def _gaussian(result: Row) -> Section:
    shown = result["figures"]
    return _section(
        "Two Gaussian classes and an l2 adversary",
        result["checks"],
        "Gaussian",
        ILYAS,
        paragraph(
            "Maximum likelihood learns the data's own metric. An adversary gains most where that metric and the "
            "Euclidean one that bounds it disagree; what robust training learns lies between the two, and its gradient "
            "points more towards the other class."
        ),
        Beside((_excess(shown["excess"]), _ellipses(shown["ellipses"]))),
        Beside(
            (
                _over_eps("condition", shown, "Condition number of the learned covariance", VERMILION),
                _over_eps("cosine", shown, "Least cosine between gradient and mean", GREEN),
            )
        ),
    )


def _points(points: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in points)


def _excess(points: Sequence[Sequence[float]]) -> Chart:
    drawing = Curves(
        "excess",
        "What an adversary adds to the loss",
        "Least where both eigenvalues are equal.",
        (Curve("", _points(points), BLUE),),
        "t of eigenvalues 1 + t and 1 \N{MINUS SIGN} t",
        "loss added",
    )
    return Chart(drawing, "Theorem 1: at one trace, equal eigenvalues lose least (penalty 4).")


def _ellipses(found: Sequence[Row]) -> Chart:
    series = []
    for colour, each in zip((GREY, BLUE, GREEN, VERMILION), found):
        label = f"eps {each['eps']:g}" if each["eps"] else "maximum likelihood"
        series.append(Curve(label, _points(each["ellipse"]), colour, dashed=not each["eps"]))
        series.append(Curve("", ((0.0, 0.0), (each["gradient"][0], each["gradient"][1])), colour))
    cosines = ", ".join(f"eps {each['eps']:g}: {each['cosine']:.2f}" for each in found)
    drawing = Curves(
        "ellipses",
        "Learned covariances in two dimensions",
        f"Cosines of gradient and mean: {cosines}.",
        tuple(series),
        "x\N{SUBSCRIPT ONE}",
        "x\N{SUBSCRIPT TWO}",
        even=True,
    )
    caption = (
        f"Theorems 2 and 3: ellipses of the learned covariance; the rays are the gradient, whose cosine with the mean "
        f"at 45 degrees is {cosines}."
    )
    return Chart(drawing, caption)


def _over_eps(name: str, shown: Row, title: str, colour: int) -> Chart:
    points = _points(shown["metric"][name])
    said = f"From {points[0][1]:.3g} at eps 0 to {points[-1][1]:.3g} at eps {points[-1][0]:.3g}."
    drawing = Curves(name, title, said, (Curve("", points, colour),), "eps of the adversary", "")
    return Chart(drawing, f"{title}. {said}")


def _at_odds(checks: Sequence[Row], found: Row) -> Section:
    eta = found["eta"]
    weak, strong = _points(found["weak"]), _points(found["strong"])
    series = (
        Curve("mean of the weak coordinates", weak, VERMILION),
        Curve("the strong coordinate", strong, GREEN),
        Curve("bound from 2 eta on", ((2 * eta, found["bound"]), (weak[-1][0], found["bound"])), PURPLE, dashed=True),
    )
    drawing = Curves(
        "at-odds",
        "Accuracy over the eps of a linf adversary",
        f"The weak coordinates are worth half at eta {eta:.3g} and nothing at twice that.",
        series,
        "eps",
        "accuracy",
        verticals=((eta, "eta"), (2 * eta, "2 eta")),
    )
    words = paragraph(
        "One coordinate is robust and sometimes wrong; many weak ones together are right nearly always, and an "
        "adversary of twice their mean turns every one of them around."
    )
    caption = "Whoever is accurate by the weak coordinates has nothing left at 2 eta."
    return _section("Accuracy and robustness at odds", checks, "Tsipras", TSIPRAS, words, Chart(drawing, caption))


def _samples(checks: Sequence[Row], found: Sequence[Row]) -> Section:
    series = tuple(
        Curve(
            f"eps {each['eps']:g}" if each["eps"] else "no adversary",
            _points(each["points"]),
            colour,
            dots=tuple((x, y, f"{x:g} samples: {y:.4f}") for x, y in each["points"]),
        )
        for colour, each in zip((BLUE, GREEN, VERMILION), found)
    )
    drawing = Curves(
        "samples",
        "Accuracy over the number of samples",
        "Robust accuracy needs more samples.",
        series,
        "samples of both classes together",
        "accuracy",
        x_log=True,
    )
    words = paragraph(
        "From n samples of two Gaussian classes in many dimensions the mean is learned. One sample nearly suffices for "
        "accuracy; against linf the same needs many more."
    )
    chart = Chart(drawing, "Mean of 20 draws of the samples; the accuracy of each draw is exact.")
    return _section("Robust accuracy needs more samples", checks, "Schmidt", SCHMIDT, words, chart)


def _conditions(result: Row) -> Table:
    rows = [TableRow((name, plain(value))) for name, value in {**result["settings"], **result["versions"]}.items()]
    return Table("The run", (Column("Name"), Column("Value")), (("", tuple(rows)),))
