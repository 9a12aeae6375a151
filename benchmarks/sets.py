"""Which set of perturbations is the right one? `python -m benchmarks.sets` trains a net in each, and compares them.

Four small nets on the embedded images (recipes fashion-mini-standard, -linf, -l2 and -l1) against three sets: a few
minutes on one core. What was made before is not made again.
"""

from __future__ import annotations

from pathlib import Path

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
def main(out: Path, suite: str, count: int, train_count: int | None, epochs: int | None) -> None:
    """Train the nets into OUT/nets, compare them, and write OUT/comparison/report.html."""
    nets = [out / "nets" / f"{name}.safetensors" for name in NETS]
    less = {"--count": train_count, "--epochs": epochs}
    given = [str(part) for option, value in less.items() if value is not None for part in (option, value)]
    for name, path in zip(NETS, nets, strict=True):
        if not path.exists():
            run("train", "--recipe", f"fashion-mini-{name}", "--out", path, "--device", "cpu", *given)
    options = ("--data", "fashion-mini", "--threat-models", SETS, "--suite", suite, "--count", count, "--device", "cpu")
    run("compare-sets", *nets, *options, "--out", out / "comparison")


def run(*arguments: object) -> None:
    """Run a command of featlab, and go on if it went well."""
    try:
        featlab([str(each) for each in arguments])
    except SystemExit as leave:
        if leave.code:
            raise


if __name__ == "__main__":
    main()
