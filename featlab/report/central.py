"""The page and the table of the central experiment: every number comes from the result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from featlab.report.charts import Bar, Point, Series, dots, lines
from featlab.report.page import Page, Section, Table, Verdict
from featlab.report.pictures import Picture

if TYPE_CHECKING:
    from rich.table import Table as RichTable

TITLES = {"d_rand": "D_rand", "d_det": "D_det", "d_r": "D_R", "d_nr": "D_NR"}
CONTROLS = (
    ("test", "test", False),
    ("second_seed", "second seed", False),
    ("noise_control", "noise control", True),
    ("mislabel_control", "mislabel control", True),
)


def share(found: Mapping[str, Any]) -> str:
    """Return an accuracy with its interval, in per cent with one decimal."""
    return f"{found['accuracy']:.1%} ({found['low']:.1%} to {found['high']:.1%})"


def central_page(result: Mapping[str, Any], pictures: Sequence[Picture]) -> Page:
    """Return the page of a result of the central experiment (`featlab demo --json`)."""
    return Page(
        "Are all features created equal?",
        "A classifier uses whatever predicts the label. Some of these features survive a small, adversarial "
        "change of the "
        "image, and some do not. This is the central experiment of Ilyas et al. 2019 (Adversarial Examples Are "
        "Not Bugs, "
        f"They Are Features), run from scratch on {result['data']['name']}: {result['data']['train']:,} training and "
        f"{result['data']['test']:,} test images. Every accuracy is on the original test images, with its 95 % Wilson "
        "interval over them.",
        (
            _seen(result),
            _nets(result),
            _perturbed(result),
            _represented(result),
            Section("What it looks like", pictures=tuple(pictures)),
            _conditions(result),
        ),
    )


def _seen(result: Mapping[str, Any]) -> Section:
    verdicts = tuple(Verdict(check["claim"], check["seen"], check["text"]) for check in result["checks"])
    count = sum(verdict.seen for verdict in verdicts)
    return Section(
        "What was seen, and what was not",
        (
            f"{count} of {len(verdicts)} claims were seen in this run. Seen means that the 95 % intervals of what is "
            "compared are apart. The intervals cover the draw of the test images, not that of training seeds.",
        ),
        verdicts=verdicts,
    )


def _nets(result: Mapping[str, Any]) -> Section:
    eps, kind = result["eps"], result["threat_model"]
    curves = [_series(f"{name} net", result[name]["robust"]) for name in ("standard", "robust")]
    chart = lines(curves, title="Accuracy under attack", x_label=f"{kind} eps", marks=[(eps, "training eps")])
    return Section(
        "Two classifiers",
        (
            "Both nets have the same architecture and the same data. One is trained on the images as they are, "
            "the other "
            f"on the worst images that PGD finds within {kind} eps {eps:g} of them. The curves show the share of test "
            f"images that is still classified correctly under the suite {result['recipe']['suite']!r} of attacks; "
            "stronger "
            "attacks can only lower them.",
        ),
        charts=(chart,),
        tables=(_curve_table(result, ("standard", "robust")),),
    )


def _curve_table(result: Mapping[str, Any], names: Sequence[str]) -> Table:
    found = {name: result[name] if name in result else result["constructed"][name] for name in names}
    head = ("eps", *(TITLES.get(name, name) for name in names))
    first = found[names[0]]["robust"]
    rows = [(f"{row['eps']:g}", *(share(found[name]["robust"][at]) for name in names)) for at, row in enumerate(first)]
    return Table(head, tuple(rows))


def _perturbed(result: Mapping[str, Any]) -> Section:
    made, eps, kind = result["constructed"], result["eps"], result["threat_model"]
    bars = [
        Bar(TITLES[name], label, _point(0, made[name][key]), control)
        for name in ("d_rand", "d_det")
        for key, label, control in CONTROLS
    ]
    rows = [
        (label, *(share(made[name][key]) for name in ("d_rand", "d_det")))
        for key, label in (
            *((key, label) for key, label, _ in CONTROLS),
            ("shifted", "the test net on labels y + 1"),
            ("attack_success", "training images that reach their target"),
        )
    ]
    lengths = [f"{TITLES[name]} {made[name]['mean_norm']:.3f}" for name in ("d_rand", "d_det")]
    return Section(
        "Training on seemingly mislabelled images: D_rand and D_det",
        (
            f"Every training image was moved within {kind} eps {eps:g} so that the standard net takes it for a "
            "target class "
            "(random for D_rand, the next class for D_det), and was given that class as its label. To people "
            "these images "
            "are mislabelled. A fresh net is trained on them alone, and tested on original images with their true "
            "labels "
            "(section 3.2 of the paper).",
            "Noise control: noise of the same length in place of each perturbation, the same labels. Mislabel "
            "control: the "
            "images without any change under the same labels. Second seed: another fresh net on the same set. Labels "
            "y + 1: how often the net answers the class after the true one. On D_det this is what a net that "
            "looks at the "
            "images as people do would learn, so it shows how far the two kinds of feature compete.",
            "The labels of a control may go together with the true ones by chance, and whole classes are then answered "
            "alike; so a control can lie further from chance than its interval over test images tells.",
        ),
        charts=(dots(bars, title="D_rand, D_det and their controls", chance=1 / result["classes"]),),
        tables=(
            Table(
                ("", "D_rand", "D_det"), tuple(rows), "Mean length of the perturbations: " + ", ".join(lengths) + "."
            ),
        ),
    )


def _represented(result: Mapping[str, Any]) -> Section:
    curves = [_series(f"trained on {TITLES[name]}", result["constructed"][name]["robust"]) for name in ("d_r", "d_nr")]
    chart = lines(
        curves,
        title="Accuracy under attack of nets trained on D_R and D_NR",
        x_label=f"{result['threat_model']} eps",
        marks=[(result["eps"] / 2, "half the training eps")],
    )
    return Section(
        "Robust and non-robust features as training sets: D_R and D_NR",
        (
            "For each training image an unrelated image was moved until the robust net (D_R) or the standard net "
            "(D_NR) "
            "represents it like the first one, and got its label. So each set carries what one of the two nets "
            "sees, and "
            "little else. Fresh nets are trained on both in the standard way (section 3.1 of the paper).",
            "If robustness were a matter of the training alone, both nets would be equally fragile. What makes the "
            "difference is which features the data offer.",
        ),
        charts=(chart,),
        tables=(_curve_table(result, ("d_r", "d_nr")),),
    )


def _conditions(result: Mapping[str, Any]) -> Section:
    rows = (
        ("data", f"{result['data']['name']}, test SHA-256 {result['data']['test_sha256'][:16]}"),
        ("threat model", f"{result['threat_model']}, eps {result['eps']:g}"),
        ("device", result["device"]),
        ("time", f"{result['seconds']:.0f} s"),
        ("peak memory", f"{result['peak_rss_bytes'] / 2**30:.2f} GiB"),
        ("seed of the run", str(result["seeds"]["run"])),
        ("versions", ", ".join(f"{name} {version}" for name, version in result["versions"].items())),
    )
    return Section(
        "Conditions",
        ("Everything that the numbers above are a function of.",),
        tables=(Table(("", "value"), rows),),
        code=json.dumps({"recipe": result["recipe"], "seeds": result["seeds"]}, indent=2),
    )


def _point(x: float, found: Mapping[str, Any]) -> Point:
    return Point(x, found["accuracy"], found["low"], found["high"])


def _series(name: str, curve: Sequence[Mapping[str, Any]]) -> Series:
    return Series(name, tuple(_point(point["eps"], point) for point in curve))


def central_table(result: Mapping[str, Any]) -> RichTable:
    """Return the result as a table for the terminal."""
    from rich.table import Table as RichTable

    table = RichTable(title=f"Accuracy on the original test images of {result['data']['name']}, with 95 % intervals")
    for column in ("trained on", "clean", f"eps {result['eps'] / 2:g}", f"eps {result['eps']:g}", "noise control"):
        table.add_column(column, justify="left" if column == "trained on" else "right")
    for name in ("standard", "robust"):
        table.add_row(f"D, {name} training", share(result[name]["clean"]), *_at(result, result[name]["robust"]), "")
    for name, row in result["constructed"].items():
        under = _at(result, row["robust"]) if "robust" in row else ("", "")
        control = share(row["noise_control"]) if "noise_control" in row else ""
        table.add_row(TITLES[name], share(row["test"]), *under, control)
    seen = sum(check["seen"] for check in result["checks"])
    table.caption = f"{seen} of {len(result['checks'])} claims seen; {result['seconds']:.0f} s on {result['device']}"
    return table


def _at(result: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    points = {point["eps"]: share(point) for point in curve}
    return points[result["eps"] / 2], points[result["eps"]]
