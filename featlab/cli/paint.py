"""`featlab paint`: paint with a classifier's features, or paint again what was painted in the studio."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featlab.cli import options

if TYPE_CHECKING:
    from featlab.models import Classifier
    from featlab.painting import Area, Painting, Source, Target

SCHEMES = ("zoo", "file", "torchvision", "timm", "robustness")
"""Models that a file of strokes may name: none of them runs code that the file brought along."""

BOX = "LEFT:TOP:RIGHT:BOTTOM"


class Numbers(click.ParamType):  # type: ignore[type-arg]  # Not generic before click 8.5.
    """Four numbers with colons between them: a rectangle, in pixels."""

    name = BOX

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float, float, float]:
        """Return the numbers."""
        try:
            x0, y0, x1, y1 = (float(part) for part in value.split(":"))
        except ValueError:
            self.fail(f"a box is written {BOX}, in pixels; got {value!r}", param, ctx)
        return x0, y0, x1, y1


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("model", required=False)
@click.option("--strokes", type=FILE, help="Paint again what the studio exported, with MODEL or the file's own.")
@click.option("--class", "label", metavar="NAME", help="Paint a class, by its name or number,")
@click.option("--unit", metavar="LAYER:N", help="or what one unit responds to, such as layer4:9,")
@click.option("--reference", type=FILE, help="or a patch of this picture;")
@click.option("--reference-box", type=Numbers(), help="the patch, in pixels at the model's size; all of it by default.")
@click.option("--image", type=FILE, help="Paint on this picture (PNG, JPEG or WebP),")
@click.option("--data", help="or on a test image of this data set; by default on noise.")
@click.option("--index", default=0, show_default=True, type=click.IntRange(min=0), help="Which of the test images.")
@click.option("--mask", type=FILE, help="Where to paint: a picture, white where it may change, grey where a little,")
@click.option("--box", type=Numbers(), help="or a rectangle; everywhere by default.")
@click.option("--softness", default=0.0, show_default=True, type=click.FloatRange(0, 1), help="Of the edge of --box.")
@click.option("--within", type=options.SPEC, help="The set around the image in which it moves, such as l2:eps=7.")
@click.option("--step-size", type=float, help="In the units of the set; eps / 20 by default.")
@click.option("--keep", default=90.0, show_default=True, help="How much soft edges are held back.")
@click.option("--steps", default=60, show_default=True, type=click.IntRange(min=0))
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The PNG to write.")
@click.option("--scale", default=1, show_default=True, type=click.IntRange(1, 64), help="Enlarge every pixel so often.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Write the strokes to this file too.")
@options.DEVICE
@options.SEED
@options.JSON
def paint(
    *,
    model: str | None,
    strokes: Path | None,
    label: str | None,
    unit: str | None,
    reference: Path | None,
    reference_box: tuple[float, float, float, float] | None,
    image: Path | None,
    data: str | None,
    index: int,
    mask: Path | None,
    box: tuple[float, float, float, float] | None,
    softness: float,
    within: str | None,
    step_size: float | None,
    keep: float,
    steps: int,
    out: Path,
    scale: int,
    save: Path | None,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Paint a class, a unit or a patch into an image with what MODEL knows, and write it as a PNG.

    With --strokes the image is painted again, stroke by stroke; on the same machine its bytes are the studio's.
    """
    import featlab as fl
    from featlab.files import write_json
    from featlab.painting import Painting, Stroke, repeatable, usual_strength

    if strokes is not None:
        painting = _read(strokes, model)
        net = fl.load(painting.model, device=device)
    else:
        if model is None:
            raise click.UsageError("give a MODEL to paint with, or --strokes", click.get_current_context())
        net = fl.load(model, device=device)
        usual = usual_strength(net.shape)
        strength = {"within": within or usual["within"], "step_size": step_size or usual["step_size"], "keep": keep}
        target = _target(net, label, unit, reference, reference_box)
        stroke = Stroke(_area(net, mask, box, softness), target, options=strength, steps=steps)
        painting = Painting(model, _source(net, image, data, index, seed), (stroke,), seed)
    with repeatable(net):
        facts = _painted(painting, net, out, scale)
    if save is not None:
        write_json(save, painting.json())
    click.echo(json.dumps(facts) if as_json else _said(facts))


def _read(strokes: Path, model: str | None) -> Painting:
    """Return the painting in a file, on the model that was named, or the file's own where that runs no code."""
    from featlab.models.loading import Spec
    from featlab.painting import Painting

    painting = Painting.parse(strokes.read_bytes())
    if model is None and Spec.parse(painting.model).scheme not in SCHEMES:
        raise ValueError(f"{strokes} names the model {painting.model!r}, which runs code; name it yourself as MODEL")
    return painting.on(model or painting.model)


def _target(
    net: Classifier,
    label: str | None,
    unit: str | None,
    reference: Path | None,
    box: tuple[float, float, float, float] | None,
) -> Target:
    """Return what is painted: exactly one of a class, a unit and a reference."""
    from featlab.names import lookup
    from featlab.painting import ToClass, ToReference, ToUnit, picture_of

    given = [name for name, value in (("--class", label), ("--unit", unit), ("--reference", reference)) if value]
    if len(given) != 1:
        raise click.UsageError(
            f"give exactly one of --class, --unit and --reference; got {' and '.join(given) or 'none'}",
            click.get_current_context(),
        )
    if reference is not None:
        _, height, width = _picture_shape(net)
        return ToReference(picture_of(reference.read_bytes(), net.shape), box or (0, 0, width, height))
    if unit is not None:
        return ToUnit(unit)
    assert label is not None
    names = {name: index for index, name in enumerate(net.classes)}
    number = int(label) if label.isdecimal() and label not in names else lookup("the class", label, names)
    return ToClass(number)


def _area(net: Classifier, mask: Path | None, box: tuple[float, float, float, float] | None, softness: float) -> Area:
    """Return where to paint: under a mask, in a rectangle, or everywhere."""
    from featlab.painting import Area, picture_of

    if mask is not None and box is not None:
        raise click.UsageError("give --mask or --box, not both", click.get_current_context())
    if mask is not None:
        _, height, width = _picture_shape(net)
        return Area("mask", picture=picture_of(mask.read_bytes(), (1, height, width)))
    if box is not None:
        return Area("rectangle", (box[:2], box[2:]), softness=softness)
    return Area("all")


def _source(net: Classifier, image: Path | None, data: str | None, index: int, seed: int) -> Source:
    """Return what is painted on: a picture, a test image, or noise."""
    from featlab.painting import Noise, Sample, picture_of

    if image is not None and data is not None:
        raise click.UsageError("give --image or --data, not both", click.get_current_context())
    if image is not None:
        return picture_of(image.read_bytes(), net.shape)
    return Noise(seed) if data is None else Sample(data, index)


def _picture_shape(net: Classifier) -> tuple[int, ...]:
    if len(net.shape) != 3:
        raise ValueError(f"only models of pictures can paint; this one takes {net.shape}")
    return net.shape


def _painted(painting: Painting, net: Classifier, out: Path, scale: int) -> dict[str, Any]:
    """Paint, write the image whole or not at all, and return what became of it."""
    import torch

    from featlab.files import written_whole
    from featlab.painting import replay
    from featlab.report.pictures import to_png

    first, image = painting.image.image(net.shape), replay(painting, net)
    with written_whole(out) as temporary:
        temporary.write_bytes(to_png(image, zoom=scale))
    with torch.no_grad():
        before, after = net(torch.cat([first, image]).to(net.device)).double().softmax(dim=1).cpu()
    return {
        "model": painting.model,
        "strokes": len(painting.strokes),
        "steps": sum(stroke.steps for stroke in painting.strokes),
        "change": float((image - first).double().norm()),
        "before": {"class": net.classes[int(before.argmax())], "probability": float(before.max())},
        "after": {"class": net.classes[int(after.argmax())], "probability": float(after.max())},
        "out": str(out),
    }


def _said(facts: Mapping[str, Any]) -> str:
    before, after = (f"{facts[when]['class']} ({facts[when]['probability']:.0%})" for when in ("before", "after"))
    return f"{facts['out']}: {facts['strokes']} strokes, {facts['steps']} steps; {before} before, {after} after"
