"""`featlab audit`: one page about any classifier."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featlab.cli import options
from featlab.cli.progress import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from featlab.audit import Audit, Subject
    from featlab.datasets import Dataset
    from featlab.types import Progress

COUNT = click.IntRange(min=1)
SOME = click.IntRange(min=2)


@click.command()
@click.argument("model")
@options.DATA
@options.ROOT
@click.option(
    "--threat-model",
    "specs",
    multiple=True,
    type=options.SPEC,
    default=("l2:eps=1/2",),
    show_default=True,
    help="For example linf:eps=8/255; may be repeated: the first is the main one.",
)
@click.option("--compare", metavar="MODEL2", help="Audit this model too, and put both side by side.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("featlab-audit"), show_default=True
)
@click.option("--layer", help="Judge the features of this layer; by default what the last linear module reads.")
@click.option("--suite", default="pgd", show_default=True, help="The attacks: quick, pgd, apgd, apgd-t or standard.")
@click.option(
    "--engine", default="fast", show_default=True, help="What attacks follow: auto, the model; fast, a quicker copy."
)
@click.option("--count", type=SOME, help="So many test images, balanced; all by default.")
@click.option("--images", type=SOME, help="So many of them are attacked; 128, or 32 large ones (over 64 x 64).")
@click.option("--units", type=COUNT, help="So many units are measured, the most useful; 24, or 8 for large images.")
@click.option("--inversions", type=SOME, help="So many images are made from what the model sees; 50, or 8 large ones.")
@click.option(
    "--radii",
    type=click.IntRange(min=0),
    help="On so many images the eps is searched at which units lose their use; 48, or 0 for large ones.",
)
@click.option("--saliency", type=SOME, help="So many images are explained; 12, or 4 large ones.")
@click.option("--mistakes", type=COUNT, help="So many wrong answers are looked into; 5, or 3 for large images.")
@click.option("--batch-size", type=COUNT, help="So many images at a time; by default 256, fewer if they are large.")
@options.DEVICE
@options.SEED
@options.JSON
def audit(
    *,
    model: str,
    data: str,
    root: Path | None,
    specs: tuple[str, ...],
    compare: str | None,
    out: Path,
    layer: str | None,
    suite: str,
    engine: str,
    count: int | None,
    images: int | None,
    units: int | None,
    inversions: int | None,
    radii: int | None,
    saliency: int | None,
    mistakes: int | None,
    batch_size: int | None,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Write a page about MODEL: which features it uses, how robust they are, and what it sees.

    Accuracy under attack, usefulness and robust usefulness of the features with pictures of them, images made from
    what the model sees, layer robustness, what carries flips, saliency with its quality, spectra, and the worst
    mistakes, in OUT/report.html. A run that was stopped goes on when the same command is given again.
    """
    import featlab as fl
    from featlab.attacks import suite as suite_of
    from featlab.audit import Limits, Subject
    from featlab.engine import engine as engine_of

    suite_of(suite), engine_of(engine)
    parts = (fl.open_data(data, train=False, root=root, count=count), fl.open_data(data, train=True, root=root))
    shape = parts[0].shape
    limits = Limits.of(
        shape, images=images, units=units, inversions=inversions, radii=radii, saliency=saliency, mistakes=mistakes
    )
    within = tuple(map(fl.threat_model, specs))
    make = partial(
        Subject, specs=specs, within=within, limits=limits, layer=layer, suite=suite, engine=engine, seed=seed
    )
    chosen = (model, *([compare] if compare else []))
    with shown() as progress:
        subjects = [
            (label, _subject(make, spec, device, parts, batch_size, _under(label, progress, chosen)))
            for label, spec in zip(_labels(chosen), chosen)
        ]
        found = _run(subjects, out)
    _show(found, out, as_json=as_json)


def _subject(
    make: Callable[..., Subject],
    spec: str,
    device: str,
    parts: tuple[Dataset, Dataset],
    batch_size: int | None,
    progress: Progress,
) -> Subject:
    """Return a model with its test and training images, after seeing that they belong together."""
    import featlab as fl
    from featlab.audit import fitted

    net = fl.load(spec, device=device)
    test, train = (fitted(net, part) for part in parts)
    size = batch_size or _fitting(net.shape)
    return make(model=net, spec=spec, test=test, train=train, batch_size=size, progress=progress)


def _fitting(shape: Sequence[int]) -> int:
    """Return how many images of a shape are taken at a time: 256, or as many as have a million values."""
    return min(256, max(1, (1 << 20) // math.prod(shape)))


def _labels(specs: Sequence[str]) -> list[str]:
    """Return a short name for each model, and its whole text where short ones are the same."""
    short = [Path(spec.partition("?")[0]).stem if ".safetensors" in spec else spec for spec in specs]
    if len(set(short)) == len(specs):
        return short
    return (
        list(specs) if len(set(specs)) == len(specs) else [f"{spec} ({place + 1})" for place, spec in enumerate(specs)]
    )


def _under(label: str, progress: Progress, specs: Sequence[str]) -> Progress:
    """Return progress that names the model before its stages, where there are two."""
    if len(specs) == 1:
        return progress
    return lambda stage, done, total: progress(f"{label}: {stage}", done, total)


def _run(subjects: Sequence[tuple[str, Subject]], out: Path) -> list[Audit]:
    """Carry out every part, in a folder that goes on with the same run and with no other; write page and pictures."""
    from featlab.audit import audit as audited
    from featlab.audit import record, terms
    from featlab.report import audit_page, save_png, write
    from featlab.report.audit import pictures
    from featlab.runs import Run

    for _, subject in subjects:
        subject.refuse_broken()
    run = Run.open(out, {"command": "audit", "audits": [terms(subject) for _, subject in subjects]})
    found = [
        audited(subject, out / "parts" / str(place + 1), label=label, note=run.log)
        for place, (label, subject) in enumerate(subjects)
    ]
    page = audit_page(found)
    for picture in pictures(page):
        save_png(picture, out / "images")
    write(page, out / "report.html")
    run.finish({"audits": [record(each) for each in found]})
    return found


def _show(found: Sequence[Audit], out: Path, *, as_json: bool) -> None:
    """Print the result as one object, or its few most important lines."""
    from featlab.audit import record

    if as_json:
        report = str(out / "report.html")
        click.echo(json.dumps({"audits": [record(each) for each in found], "report": report}, allow_nan=False))
        return
    for each in found:
        strength, features = each.strength, each.features
        click.echo(f"{each.label}")
        click.echo(f"    accuracy {strength.clean}")
        click.echo(f"    under attack in {each.conditions['threat_models'][0]} {strength.robust}")
        click.echo(
            f"    of {len(features.rows)} units: {', '.join(f'{n} {kind}' for kind, n in features.counts.items())}"
        )
        warned = [symptom.name for symptom in each.sanity.symptoms if symptom.seen]
        click.echo(f"    warnings: {', '.join(warned) or 'none'}")
    click.echo(f"Report: {out / 'report.html'}")
