"""Which set of perturbations is the right one? `python -m benchmarks.sets` trains a net in each, and compares them.

Four small nets on the embedded images (recipes fashion-mini-standard, -linf, -l2 and -l1) against three sets: a few
minutes on one core. What was made before is not made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from featlab.cli import main as featlab

NETS = ("standard", "linf", "l2", "l1")
SETS = "linf:eps=0.1 l2:eps=1.5 l1:eps=12"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", default=Path("featlab-sets"), show_default=True, type=click.Path(path_type=Path))
@click.option("--suite", default="apgd", show_default=True, help="The attacks of the comparison.")
@click.option("--count", default=1000, show_default=True, help="So many test images.")
@click.option("--train-count", type=int, help="Train on so many images; all by default.")
@click.option("--epochs", type=int, help="Instead of the recipes'.")
@click.option("--table", type=click.Path(path_type=Path, dir_okay=False), help="Also write the tables as Markdown.")
def main(out: Path, suite: str, count: int, train_count: int | None, epochs: int | None, table: Path | None) -> None:
    """Train the nets into OUT/nets, compare them, and write OUT/comparison/report.html."""
    nets = [out / "nets" / f"{name}.safetensors" for name in NETS]
    less = {"--count": train_count, "--epochs": epochs}
    given = [str(part) for option, value in less.items() if value is not None for part in (option, value)]
    for name, path in zip(NETS, nets, strict=True):
        if not path.exists():
            run("train", "--recipe", f"fashion-mini-{name}", "--out", path, "--device", "cpu", *given)
    options = ("--data", "fashion-mini", "--threat-models", SETS, "--suite", suite, "--count", count, "--device", "cpu")
    run("compare-sets", *nets, *options, "--out", out / "comparison")
    if table is not None:
        kept = json.loads((out / "comparison" / "run.json").read_text(encoding="utf-8"))
        table.write_text(markdown(kept["result"], kept["terms"]), encoding="utf-8")


def run(*arguments: object) -> None:
    """Run a command of featlab, and go on if it went well."""
    try:
        featlab([str(each) for each in arguments])
    except SystemExit as leave:
        if leave.code:
            raise


def markdown(result: Mapping[str, Any], terms: Mapping[str, Any]) -> str:
    """Return the tables of a result as a Markdown page."""
    rows, sets = result["models"], list(result["models"][0]["robust"])
    looks = ("image", "other_image", "classes", "other_classes")
    parts = ("threat_model", "images", "epochs", "passes", "seconds")
    robust = ([row["model"], *map(share, (row["clean"], *row["robust"].values(), row["union"]))] for row in rows)
    aligned = ([row["model"], *(mean(row["alignment"][key]) for key in looks)] for row in rows)
    trained = ([row["model"], *(str(row["training"][key]) for key in parts)] for row in rows)
    return TEMPLATE.format(
        images=terms["data"]["images"],
        versions=", ".join(f"{name} {value}" for name, value in terms["versions"].items()),
        **{name: result[name] for name in ("data", "suite", "seed")},
        robust=grid(("net", "no attack", *sets, "all sets"), robust),
        aligned=grid(("net", "its image", "another image", "its classes", "other classes"), aligned),
        trained=grid(("net", "set", "images", "epochs", "passes", "seconds"), trained),
    )


TEMPLATE = """# Which set of perturbations is the right one?

Made by `python -m benchmarks.sets --table benchmarks/SETS.md`: {images} test images of {data}, suite {suite}, seed
{seed}; {versions}. One net for each set, so the intervals (95 %) are over the images
and not over training seeds.

Robust accuracy in %. A row is a net by the set that it was trained in, a column the set that it is attacked in.

{robust}

Mean cosine of the input gradient with the image, and with the way to the mean of the likeliest wrong class (Etmann et
al. 2019), each beside its control: the same gradient with another example's.

{aligned}

What the training cost. Passes are ways of each image through the net and back; seconds are of the wall clock, whatever
else the machine did.

{trained}
"""


def grid(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    head = list(columns)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def share(found: Mapping[str, Any]) -> str:
    """Return an accuracy in per cent with its interval."""
    return f"{100 * found['accuracy']:.1f} ({100 * found['low']:.1f} to {100 * found['high']:.1f})"


def mean(found: Mapping[str, Any]) -> str:
    """Return a mean with its interval."""
    return f"{found['value']:z.3f} ({found['low']:z.3f} to {found['high']:z.3f})"


if __name__ == "__main__":
    main()
