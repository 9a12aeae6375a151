"""`featlab evaluate`: accuracy, clean and under attack, with what makes it doubtful."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featlab.cli import options
from featlab.cli.progress import shown

if TYPE_CHECKING:
    from featlab.datasets import Dataset
    from featlab.evaluation import Evaluation
    from featlab.models import Classifier
    from featlab.threat_models import ThreatModel
    from featlab.types import Progress


@click.command()
@click.argument("model")
@options.DATA
@options.ROOT
@options.THREAT_MODELS
@click.option("--suite", default="pgd", show_default=True, help="The attacks: quick, pgd, apgd, apgd-t, standard, ...")
@click.option(
    "--engine", default="auto", show_default=True, help="What attacks follow: auto, the model; fast, a quicker copy."
)
@click.option(
    "--curve",
    "largest",
    multiple=True,
    type=options.NUMBER,
    help="Also search the least eps of each image, up to this one, which gives the whole curve; one for all threat "
    "models, or one each.",
)
@click.option("--checks/--no-checks", default=True, help="Look for what makes attacks lie, on a few images.")
@options.COUNT
@options.OUT
@options.BATCH_SIZE
@options.DEVICE
@options.SEED
@options.JSON
def evaluate(
    *,
    model: str,
    data: str,
    root: Path | None,
    specs: tuple[str, ...],
    suite: str,
    engine: str,
    largest: tuple[float, ...],
    checks: bool,
    count: int | None,
    out: Path | None,
    batch_size: int,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Evaluate MODEL (file:PATH, torchvision:NAME, robustness:PATH, module.py:factory, ...) on test images.

    With several threat models, also the accuracy in their union: of images that hold in every one. With --out, a run
    that was stopped goes on when the same command is given again, and ends in the same result.
    """
    import featlab as fl
    from featlab.attacks import suite as suite_of
    from featlab.engine import engine as engine_of

    suite_of(suite), engine_of(engine)  # What does not exist is refused before anything is loaded.
    net = fl.load(model, device=device)
    examples = fl.open_data(data, train=False, root=root, count=count)
    attack = {"suite": suite, "engine": engine, "batch_size": batch_size, "seed": seed}
    chosen = {"threat_models": specs, "curve": _sizes(specs, largest), "checks": checks, **attack}
    with shown() as progress, options.run(out, "evaluate", {model: net}, examples, chosen) as run:
        result = run.result
        if result is None:
            sizes = dict(zip(specs, _sizes(specs, largest), strict=True))
            result = _Examination(net, examples, attack, sizes, checks, run, progress).result(model, specs)
            run.finish(result)
    click.echo(json.dumps(result) if as_json else "\n".join(_lines(result)))


def _sizes(specs: tuple[str, ...], largest: tuple[float, ...]) -> list[float | None]:
    """Return up to which eps the curve of each threat model goes, None for no curve."""
    if largest and len(largest) not in {1, len(specs)}:
        raise click.UsageError(
            f"--curve is given once, or once for each threat model; got {len(largest)} for {len(specs)} threat models"
        )
    each = largest * len(specs) if len(largest) == 1 else largest
    return list(each) or [None] * len(specs)


@dataclass(frozen=True)
class _Examination:
    """A model, examples, and all that is asked of them."""

    net: Classifier
    examples: Dataset
    attack: Mapping[str, Any]
    sizes: Mapping[str, float | None]
    checks: bool
    run: options.Kept
    progress: Progress

    def result(self, model: str, specs: tuple[str, ...]) -> dict[str, object]:
        """Return what was found as plain values."""
        import featlab as fl

        reports = {spec: self._under_attack(spec) for spec in specs}
        found = [report for report, _ in reports.values()]
        clean = found[0].clean if found else fl.accuracy(self.net, self.examples, batch_size=self.attack["batch_size"])
        rows = [{"spec": spec, **report.record(), **more} for spec, (report, more) in reports.items()]
        result: dict[str, object] = {"model": model, "data": self.examples.name, "clean": clean.record()}
        union = {"union": fl.robust_to_all(found).record()} if len(found) > 1 else {}
        return {**result, "robust": rows, **union}

    def _under_attack(self, spec: str) -> tuple[Evaluation, dict[str, object]]:
        """Return the report in one threat model, and what else was asked for."""
        import featlab as fl

        within, note = fl.threat_model(spec), self._told(spec)
        report = fl.evaluate(
            self.net,
            self.examples,
            within=within,
            **self.attack,
            checkpoint=self.run.file(f"verdicts {spec}"),
            progress=note,
        )
        more: dict[str, object] = {}
        if self.sizes[spec] is not None:
            more["curve"] = self._curve(spec, within)
        if self.checks:
            suite, seed = self.attack["suite"], self.attack["seed"]
            found = fl.symptoms(
                self.net, self.examples, within=within, suite=suite, held=report.held, seed=seed, progress=note
            )
            more["checks"] = [each.record() for each in found]
        self.run.log({"threat_model": spec, "robust": report.robust.record()})
        return report, more

    def _curve(self, spec: str, within: ThreatModel) -> dict[str, object]:
        import featlab as fl

        found = fl.minimal_distortion(
            self.net,
            self.examples,
            within=within.resized(self.sizes[spec] or 0.0),
            **self.attack,
            checkpoint=self.run.file(f"distances {spec}"),
            progress=self._told(spec),
        )
        return found.record()

    def _told(self, spec: str) -> Callable[[str, int, int], None]:
        return lambda stage, done, total: self.progress(f"{spec} {stage}", done, total)


def _lines(result: Mapping[str, Any]) -> list[str]:
    """Return the result as lines of text."""
    lines = [f"clean accuracy  {said(result['clean'])}"]
    for row in result["robust"]:
        lines.append(f"{row['spec']}  robust accuracy  {said(row['robust'])}")
        lines += [f"    after {attack['name']}: {said(attack['left'])}" for attack in row["attacks"]]
        if "curve" in row:
            points = row["curve"]["points"][::2]
            lines += [f"    at eps {point['eps']:.4g}: at most {said(point)}" for point in points]
        if "checks" in row:
            lines += _doubts(row["checks"])
    if "union" in result:
        lines.append(f"all {len(result['robust'])} threat models  robust accuracy  {said(result['union'])}")
    return lines


def _doubts(checks: list[Mapping[str, Any]]) -> list[str]:
    """Return what was seen of what makes attacks lie, each with what to do."""
    seen = [each for each in checks if each["seen"]]
    if not seen:
        return [f"    {len(checks)} checks of the attack: nothing seen that makes this number doubtful"]
    return [line for each in seen for line in (f"  ! {each['name']}: {each['finding']}", f"    {each['advice']}")]


def said(found: Mapping[str, Any]) -> str:
    """Return an accuracy from its record, as it is written."""
    from featlab.evaluation import Accuracy

    return str(Accuracy(found["accuracy"], found["low"], found["high"], found["n"]))
