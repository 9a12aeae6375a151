"""The comparison of sets of perturbations, as a page and as tables for a terminal of 80 columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.text import Text

from featlab.evaluation import Accuracy
from featlab.report.charts import Dot, Dots
from featlab.report.page import (
    Block,
    Chart,
    Column,
    Folded,
    Page,
    Section,
    Table,
    TableRow,
    Terms,
    Verdict,
    Verdicts,
    paragraph,
)
from featlab.report.papers import ETMANN, TRAMER
from featlab.report.terminal import cell, table
from featlab.report.wording import count, duration, measured, percent, plain

UNION = "all sets"
LOOKS = (
    ("image", "its image"),
    ("other_image", "another image"),
    ("classes", "its classes"),
    ("other_classes", "other classes"),
)
"""What gradients are compared with; each second one is the control of the one before."""


@dataclass(frozen=True)
class _Net:
    """One model of the result."""

    name: str
    clean: Accuracy
    robust: Mapping[str, Accuracy]
    looks: Mapping[str, Mapping[str, Any]]
    training: Mapping[str, Any]

    @staticmethod
    def of(row: Mapping[str, Any]) -> _Net:
        robust = {**{spec: Accuracy(**found) for spec, found in row["robust"].items()}, UNION: Accuracy(**row["union"])}
        if len(row["robust"]) == 1:
            del robust[UNION]
        return _Net(row["model"], Accuracy(**row["clean"]), robust, row["alignment"], row["training"])

    @property
    def own(self) -> str:
        """The kind of set that it was trained in, such as linf; nothing where that is not known, or none."""
        within = self.training["threat_model"]
        return "" if within in {None, "none"} else within.partition(":")[0]

    @property
    def standard(self) -> bool:
        """Whether it is known to have been trained without a set."""
        return bool(self.training["threat_model"] == "none")


def comparison_table(result: Mapping[str, Any]) -> Group:
    """Return accuracies, alignments and costs of a result of `featlab compare-sets`, to print with rich."""
    nets = [_Net.of(row) for row in result["models"]]
    specs = list(nets[0].robust)
    accuracies = ((net.name, [cell(net.clean), *(cell(net.robust[spec]) for spec in specs)]) for net in nets)
    looks = ((net.name, [_short(net.looks[key]) for key, _ in LOOKS]) for net in nets)
    costs = ((net.name, _cost(net)) for net in nets)
    found = findings(result)
    return Group(
        Text(f"Robust accuracy in %, 95% intervals below ({count(nets[0].clean.n)} images)", style="bold"),
        table(("model", "clean", *specs), accuracies),
        Text("Cosine of the input gradient with, and the control beside it", style="bold"),
        table(("model", *(title for _, title in LOOKS)), looks),
        Text("What the training cost", style="bold"),
        table(("model", "set", "images", "epochs", "passes", "time"), costs),
        *(Text(f"{'seen     ' if each.seen else 'not seen '} {each.claim}") for each in found),
    )


def _short(found: Mapping[str, Any]) -> str:
    """Return a mean over its interval."""
    if found["value"] is None:
        return "no gradient"
    if found["low"] is None:
        return f"{found['value']:z.3f}"
    return f"{found['value']:z.3f}\n{found['low']:z.3f} to {found['high']:z.3f}"


def _cost(net: _Net) -> list[str]:
    training, unknown = net.training, "not recorded"
    numbers = [training[key] for key in ("images", "epochs", "passes")]
    seconds = training["seconds"]
    return [
        training["threat_model"] or unknown,
        *(unknown if number is None else count(number) for number in numbers),
        unknown if seconds is None else duration(seconds),
    ]


def findings(result: Mapping[str, Any]) -> list[Verdict]:
    """Return what the numbers say of the sets; seen means that the 95 % intervals are apart.

    What needs a net that is not there, such as one of standard training, is left out.
    """
    nets = [_Net.of(row) for row in result["models"]]
    standard = next((net for net in nets if net.standard), None)
    robust = [net for net in nets if net.own]
    found = [each for net in robust for each in _of_own_set(net, nets)]
    if standard is None or not robust:
        return found
    return [*found, *(_of_union(robust, standard) if UNION in standard.robust else ()), *_of_costs(robust, standard)]


def _of_own_set(net: _Net, nets: Sequence[_Net]) -> Iterable[Verdict]:
    """Say whether a net holds better, in the set that it was trained in, than each net trained otherwise."""
    others = [each for each in nets if each.own != net.own]
    for spec, own in net.robust.items():
        if spec.partition(":")[0] == net.own and others:
            best = max(others, key=lambda each: each.robust[spec].accuracy)
            yield Verdict(
                f"In {spec}, {net.name} holds better than every net that was trained otherwise.",
                own.low > best.robust[spec].high,
                f"{net.name} keeps {measured(own)}, {best.name} as the best of the others "
                f"{measured(best.robust[spec])}.",
            )


def _of_union(robust: Sequence[_Net], standard: _Net) -> Iterable[Verdict]:
    best = max(robust, key=lambda net: net.robust[UNION].accuracy)
    whole, alone = best.robust[UNION], standard.robust[UNION]
    yield Verdict(
        "Training in one set gives robustness in all of them at once.",
        whole.low > alone.high,
        f"Images that hold in every set: {best.name} keeps {measured(whole)}, the standard net {measured(alone)}.",
    )


def _of_costs(robust: Sequence[_Net], standard: _Net) -> Iterable[Verdict]:
    dearest = min(robust, key=lambda net: net.clean.accuracy)
    yield Verdict(
        "Robustness costs clean accuracy.",
        dearest.clean.high < standard.clean.low,
        f"{dearest.name} has {measured(dearest.clean)}, the standard net {measured(standard.clean)}.",
    )
    for key, what in (("image", "the image"), ("classes", "the difference of the classes' means")):
        below = standard.looks[key]
        for net in robust:
            own = net.looks[key]
            if None in (own["low"], below["high"]):
                continue
            yield Verdict(
                f"Gradients of {net.name} lie closer to {what} than those of the standard net.",
                own["low"] > below["high"],
                f"{_said(own)} against {_said(below)}.",
            )


def _said(found: Mapping[str, Any]) -> str:
    return f"{found['value']:z.3f} ({found['low']:z.3f} to {found['high']:z.3f})"


def comparison_page(result: Mapping[str, Any]) -> Page:
    """Return the page of a result of `featlab compare-sets`: every number on it comes from the result."""
    nets = [_Net.of(row) for row in result["models"]]
    specs = [spec for spec in nets[0].robust if spec != UNION]
    sections = (
        ("What was seen and what was not", _seen(result)),
        ("Robust accuracy", _robust(nets)),
        ("Gradients and perception", _perception(nets)),
        ("What it cost", _costs(nets)),
        ("Conditions", _conditions(result)),
    )
    return Page(
        title="Which set of perturbations is the right one?",
        lead=(
            f"{len(nets)} classifiers against {len(specs)} threat models on {plain(result['data'])}: how well each "
            "holds in each set, how far its gradients look like what people see, and what its training cost."
        ),
        facts=(
            ("Models", str(len(nets))),
            ("Threat models", ", ".join(specs)),
            ("Images", count(nets[0].clean.n)),
            ("Suite", plain(result["suite"])),
        ),
        sections=tuple(Section(title, blocks) for title, blocks in sections if blocks),
    )


def _seen(result: Mapping[str, Any]) -> tuple[Block, ...]:
    found = findings(result)
    if not found:
        return ()
    return (
        paragraph(
            "A claim counts as seen where the numbers that it compares differ by more than their 95% intervals, which "
            "are over the draw of the images and not over training seeds. One net for each set is an observation, not "
            "a law."
        ),
        Verdicts(tuple(found)),
    )


def _robust(nets: Sequence[_Net]) -> tuple[Block, ...]:
    specs = list(nets[0].robust)
    groups: list[tuple[str, Callable[[_Net], Accuracy]]] = [("no attack", lambda net: net.clean)]
    groups += [(spec, lambda net, spec=spec: net.robust[spec]) for spec in specs]  # type: ignore[misc]
    dots = tuple(
        (title, tuple(Dot(net.name, pick(net), place % 5) for place, net in enumerate(nets))) for title, pick in groups
    )
    said = "; ".join(
        f"{title}: " + ", ".join(f"{net.name} {percent(pick(net).accuracy)}" for net in nets) for title, pick in groups
    )
    chart = Dots("robust", "Accuracy of each net in each set", f"{said}.", dots, "accuracy on the test images")
    rows = tuple(
        TableRow((net.name, measured(net.clean), *(measured(net.robust[spec]) for spec in specs))) for net in nets
    )
    columns = (Column("Model"), Column("no attack", True), *(Column(spec, True) for spec in specs))
    return (
        paragraph(
            "The share of images that are answered rightly whatever is done to them within the set, as far as the "
            "attacks could tell: a stronger attack can only lower it. An image counts in ",
            *((f"{UNION} where it holds in every one (", TRAMER, ").") if UNION in specs else ("a set by itself.",)),
        ),
        Chart(chart, "Whiskers are 95% intervals."),
        Table("Robust accuracy with 95% intervals", columns, (("", rows),)),
    )


def _perception(nets: Sequence[_Net]) -> tuple[Block, ...]:
    rows = tuple(
        TableRow(
            (
                net.name,
                *(
                    _short(net.looks[key]).replace("\n", " (", 1) + (")" if "\n" in _short(net.looks[key]) else "")
                    for key, _ in LOOKS
                ),
            )
        )
        for net in nets
    )
    columns = (Column("Model"), *(Column(f"with {title}", True) for _, title in LOOKS))
    return (
        paragraph(
            "The input gradient says which change of the image would change the answer. If a set is the right one, a "
            "net that holds in it should find such changes where people see the object. Two cosines measure this, each "
            "beside its control (",
            ETMANN,
            ").",
        ),
        Terms(
            (
                ("Its image", "The absolute cosine of gradient and image: is the gradient drawn as the object is?"),
                ("Another image", "The control: the same gradient with the image of another example."),
                (
                    "Its classes",
                    "The cosine of the gradient with the way from the mean image of the label to that of the likeliest "
                    "wrong class: does the gradient lead there?",
                ),
                ("Other classes", "The control: the same gradient with the way of another example."),
            )
        ),
        Table("Mean cosines with 95% intervals", columns, (("", rows),)),
    )


def _costs(nets: Sequence[_Net]) -> tuple[Block, ...]:
    best = max(net.clean.accuracy for net in nets)
    rows = tuple(
        TableRow((net.name, percent(net.clean.accuracy), f"{100 * (net.clean.accuracy - best):+.1f}", *_cost(net)))
        for net in nets
    )
    columns = (
        Column("Model"),
        Column("clean", True),
        Column("to the best", True),
        Column("trained in", True),
        Column("images", True),
        Column("epochs", True),
        Column("passes per image", True),
        Column("time", True),
    )
    return (
        paragraph(
            "Clean accuracy, its difference in points to the best of these nets, and what the card of each net says of "
            "its training. A pass is one way of an image through the net and back; each inner step takes one more."
        ),
        Table("Clean accuracy and training", columns, (("", rows),)),
    )


def _conditions(result: Mapping[str, Any]) -> tuple[Block, ...]:
    keys = ("data", "suite", "engine", "batch_size", "seed")
    rows = tuple(TableRow((key.replace("_", " "), plain(result[key]))) for key in keys if key in result)
    return (
        Table("The run", (Column("Name"), Column("Value")), (("", rows),)),
        Folded("The whole result as JSON", json.dumps(result, indent=2)),
    )
