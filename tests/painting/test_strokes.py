"""Paintings as JSON: there and back, and what is refused with one sentence."""

import base64
import copy
import json

import pytest
import torch

from featlab.painting import (
    Area,
    FormatError,
    Json,
    Noise,
    Painting,
    Picture,
    Plain,
    Sample,
    Stroke,
    ToClass,
    ToReference,
    ToUnit,
    picture_of,
    usual_strength,
)
from featlab.report.pictures import to_png

PNG = base64.b64encode(to_png(torch.rand(1, 1, 28, 28))).decode()
BRUSH = {"tool": "brush", "points": [[3, 4], [5.5, 6]], "radius": 3, "softness": 0.5}
STRENGTH = {"within": "l2:eps=6", "step_size": 0.3, "keep": 90, "steps": 7}
PAINTING = {
    "version": 1,
    "model": "zoo:fashion-robust",
    "image": {"kind": "sample", "data": "fashion-mini", "index": 12},
    "seed": 3,
    "strokes": [
        {**BRUSH, "target": {"class": 3}, **STRENGTH},
        {**BRUSH, "tool": "rectangle", "target": {"unit": "layer4:9"}, **STRENGTH, "options": {"noise": 0.1}},
        {
            **BRUSH,
            "target": {"reference": {"image": {"kind": "png", "bytes": PNG}, "box": [0, 0, 14, 14]}},
            **STRENGTH,
        },
        {**BRUSH, "tool": "eraser"},
        {"tool": "all", "task": "invert", "options": {"steps": 5, "layer": "penultimate", "pair": [1, 2]}, "steps": 4},
    ],
}


def test_a_painting_is_what_its_json_says():
    read = Painting.parse(json.dumps(PAINTING))
    assert read.image == Sample("fashion-mini", 12)
    first, second, third, fourth, fifth = read.strokes
    assert first == Stroke(
        Area("brush", ((3, 4), (5.5, 6)), 3, 0.5),
        ToClass(3),
        options={"within": "l2:eps=6", "step_size": 0.3, "keep": 90.0},
        steps=7,
    )
    assert second.target == ToUnit("layer4:9")
    assert second.options["noise"] == 0.1
    assert third.target == ToReference(Picture(base64.b64decode(PNG)), (0, 0, 14, 14))
    assert fourth.erases
    assert fifth.task == "invert"
    assert fifth.options == {"steps": 5, "layer": "penultimate", "pair": [1, 2]}


def test_there_and_back():
    read = Painting.parse(json.dumps(PAINTING))
    again = Painting.parse(json.dumps(read.json()))
    assert again == read
    assert again.json() == read.json()
    assert read.json()["strokes"][1]["options"] == {"noise": 0.1}
    assert read.before(2).then(read.strokes[2]) == read.before(3)
    assert read.strokes[0].ran(2).json()["steps"] == 2
    assert read.strokes[3].ran(2).steps == 0


@pytest.mark.parametrize("source", [Noise(4), Plain(0.25), Sample("fashion-mini", 3), Picture(base64.b64decode(PNG))])
def test_every_source_is_an_image_and_comes_back(source):
    assert Painting.read(Json("p", PAINTING | {"image": source.json()})).image == source
    for shape in [(1, 28, 28), (3, 20, 32)]:
        image = source.image(shape)
        assert image.shape == (1, *shape)
        assert bool(((image >= 0) & (image <= 1)).all())
        assert torch.equal(image, source.image(shape))


def test_a_picture_of_the_models_shape_is_itself():
    image = torch.randint(0, 256, (1, 3, 9, 7)) / 255
    assert torch.equal(picture_of(to_png(image), (3, 9, 7)).image((3, 9, 7)), image)


def test_a_larger_picture_keeps_its_proportions_and_its_middle():
    wide = torch.zeros(1, 1, 40, 120)
    wide[..., 40:80] = 1
    assert torch.equal(picture_of(to_png(wide), (1, 20, 20)).image((1, 20, 20)), torch.ones(1, 1, 20, 20))


def changed(path, value):
    painting = copy.deepcopy(PAINTING)
    at = painting
    for key in path[:-1]:
        at = at[key]
    if value is KeyError:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return painting


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (["version"], 2, "of version 1; got version 2"),
        (["model"], KeyError, "none with 'model'"),
        (["modle"], "x", "did you mean 'model'"),
        (["seed"], -1, "seed of a painting must be a whole number from 0"),
        (["seed"], True, "must be a whole number"),
        (["strokes"], {}, "strokes of a painting must be a list"),
        (["strokes"], [BRUSH] * 501, "a list of 0 to 500 values; got 501 values"),
        (["image"], {"kind": "pickle"}, "must be one of noise, plain, png, sample; got 'pickle'"),
        (["image"], {"kind": "noise"}, "none with 'seed'"),
        (["image"], {"kind": "noise", "seed": 1, "index": 2}, "must be one of kind, seed; got 'index'"),
        (["image"], {"kind": "png", "bytes": "%%"}, "must be a PNG file in base64"),
        (["image"], {"kind": "png", "bytes": base64.b64encode(b"GIF89a").decode()}, "must be a PNG file"),
        (["image", "index"], 1.5, "must be a whole number"),
        (["strokes", 0, "tool"], "spray", "tool of stroke 1 must be one of"),
        (["strokes", 0, "points"], [], "a list of 1 to 4000 values"),
        (["strokes", 0, "points"], [[1, 2, 3]], "a list of 2 to 2 values"),
        (["strokes", 0, "points"], [[1, "2"]], "must be a number from"),
        (["strokes", 0, "points"], [[1, 1e9]], "must be a number from"),
        (["strokes", 0, "radius"], 0, "radius of stroke 1 must be a number from 0.5"),
        (["strokes", 0, "softness"], 1.1, "softness of stroke 1 must be a number from 0 to 1"),
        (["strokes", 0, "steps"], 10_001, "steps of stroke 1 must be a whole number from 0 to 10000"),
        (["strokes", 0, "step_size"], None, "step_size of stroke 1 must be a number"),
        (["strokes", 0, "target"], {}, "exactly one of class, unit, reference; got none"),
        (["strokes", 0, "target"], {"class": 1, "unit": "a:1"}, "exactly one of"),
        (["strokes", 0, "target"], KeyError, "stroke 1 must have a target"),
        (["strokes", 2, "target", "reference", "box"], [5, 0, 5, 9], "with x0 < x1"),
        (["strokes", 4, "options", "deep"], {"a": 1}, "must be a text, a number"),
        (["strokes", 4, "options"], {str(n): n for n in range(51)}, "at most 50 members"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(path, value, sentence):
    with pytest.raises(ValueError, match=r"must|reads|have") as refusal:
        Painting.parse(json.dumps(changed(path, value)))
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "{", b"\xff\xfe", '{"version": NaN}', "[" * 100_000, "null"])
def test_what_is_no_json_is_said_so(text):
    with pytest.raises(ValueError, match="a painting must be"):
        Painting.parse(text)


def test_a_file_that_is_no_picture_has_an_error_of_its_own():
    for file in [b"", b"GIF89a" + bytes(100), b"\x80\x04K\x01.", b"<svg/>"]:
        with pytest.raises(FormatError, match="must be a PNG or JPEG or WEBP file"):
            picture_of(file, (1, 28, 28))
    with pytest.raises(ValueError, match="could not be decoded"):
        picture_of(to_png(torch.rand(1, 3, 50, 50))[:2000], (1, 28, 28))
    with pytest.raises(ValueError, match="only pictures of 1 or 3 channels"):
        picture_of(to_png(torch.rand(1, 3, 50, 50)), (12,))


def test_the_usual_strength_grows_with_the_size_of_images():
    assert usual_strength((1, 28, 28)) == {"within": "l2:eps=7", "step_size": 0.35, "keep": 90.0}
    assert usual_strength((3, 224, 224))["within"] == "l2:eps=97"
