"""`featlab paint`: the direct form, and strokes painted again."""

import json

import pytest
import torch
from PIL import Image

import featlab as fl
from featlab.cli import main
from featlab.painting import Painting, repeatable, replay
from featlab.report.pictures import to_png

from studio_cases import ERASER, ROBUST, STANDARD, painting, stroke


def call(capsys, *arguments, status=0):
    """Run the command; return what it printed on stdout as JSON, or its one sentence on stderr."""
    with pytest.raises(SystemExit) as leave:
        main(["paint", *map(str, arguments), "--device", "cpu", *(["--json"] if status == 0 else [])])
    said = capsys.readouterr()
    assert leave.value.code == status, said.err
    return json.loads(said.out) if status == 0 else said.err


@pytest.fixture
def strokes(tmp_path):
    path = tmp_path / "strokes.json"
    path.write_text(json.dumps(painting(stroke(steps=6), ERASER)))
    return path


def test_strokes_are_painted_again_to_the_byte(strokes, tmp_path, capsys):
    found = call(capsys, "--strokes", strokes, "--out", tmp_path / "a.png")
    model = fl.load(ROBUST, device="cpu")
    with repeatable(model):
        wanted = to_png(replay(Painting.parse(strokes.read_text()), model))
    assert (tmp_path / "a.png").read_bytes() == wanted
    assert (found["strokes"], found["steps"]) == (2, 6)
    other = call(capsys, STANDARD, "--strokes", strokes, "--out", tmp_path / "b.png")
    assert other["model"] == STANDARD
    assert (tmp_path / "b.png").read_bytes() != wanted


@pytest.mark.parametrize(
    "target", [("--class", "Bag"), ("--class", 8), ("--unit", "penultimate:3"), ("--reference", None)]
)
def test_painting_in_a_box_and_its_strokes(target, tmp_path, capsys):
    name, value = target
    if value is None:
        value = tmp_path / "reference.png"
        value.write_bytes(to_png(fl.load_data("fashion-mini", train=False)[0][5:6]))
    where = ("--data", "fashion-mini", "--index", 12, "--box", "6:4:22:24", "--softness", 0.3, "--steps", 8)
    found = call(
        capsys, ROBUST, name, value, *where, "--out", tmp_path / "a.png", "--save", tmp_path / "s.json", "--scale", 1
    )
    assert found["before"]["class"] == "Dress"
    assert found["change"] > 0.5
    call(capsys, "--strokes", tmp_path / "s.json", "--out", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    image = torch.tensor(list(Image.open(tmp_path / "a.png").tobytes())).reshape(28, 28)
    before = (fl.load_data("fashion-mini", train=False)[0][12, 0] * 255).round().long()
    changed = (image != before).nonzero()
    assert changed[:, 0].min() >= 4
    assert changed[:, 0].max() < 24
    assert changed[:, 1].min() >= 6
    assert changed[:, 1].max() < 22


def test_a_mask_says_where_and_how_much(tmp_path, capsys):
    mask = torch.zeros(1, 1, 28, 28)
    mask[..., :14] = 1
    (tmp_path / "mask.png").write_bytes(to_png(mask))
    (tmp_path / "image.png").write_bytes(to_png(torch.full((1, 1, 56, 56), 0.5)))
    call(
        capsys, ROBUST, "--class", "Bag", "--image", tmp_path / "image.png", "--mask", tmp_path / "mask.png",
        "--steps", 5, "--within", "linf:eps=1/4", "--step-size", 0.05, "--out", tmp_path / "a.png", "--scale", 3,
    )  # fmt: skip
    picture = Image.open(tmp_path / "a.png")
    assert picture.size == (84, 84)
    image = torch.tensor(list(picture.convert("L").tobytes())).reshape(84, 84)
    assert bool((image[:, 42:] == 128).all())
    assert bool((image[:, :42] != 128).any())
    assert int((image - 128).abs().max()) <= 65


def test_noise_is_the_canvas_where_none_is_given(tmp_path, capsys):
    for seed in (1, 2):
        call(capsys, ROBUST, "--class", "Bag", "--steps", 1, "--seed", seed, "--out", tmp_path / f"{seed}.png")
    assert (tmp_path / "1.png").read_bytes() != (tmp_path / "2.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "give a MODEL to paint with, or --strokes"),
        ([ROBUST], "exactly one of --class, --unit and --reference; got none"),
        ([ROBUST, "--class", "Bag", "--unit", "layer4:1"], "got --class and --unit"),
        ([ROBUST, "--class", "Bga"], "did you mean 'Bag'"),
        ([ROBUST, "--class", "10"], "has classes 0 to 9"),
        ([ROBUST, "--unit", "layer9:1"], "no layer 'layer9'"),
        ([ROBUST, "--class", "Bag", "--box", "1:2:3"], "a box is written LEFT:TOP:RIGHT:BOTTOM"),
        ([ROBUST, "--class", "Bag", "--box", "90:90:99:99"], "covers no pixel"),
        ([ROBUST, "--class", "Bag", "--within", "lnif:eps=1"], "did you mean 'linf'"),
        ([ROBUST, "--class", "Bag", "--data", "fashion-mini", "--index", "99999"], "must be less than"),
        ([ROBUST, "--class", "Bag", "--mask", __file__], "must be a PNG or JPEG or WEBP file"),
        ([ROBUST, "--class", "Bag", "--mask", __file__, "--box", "1:1:9:9"], "--mask or --box, not both"),
        ([ROBUST, "--class", "Bag", "--image", __file__, "--data", "fashion-mini"], "--image or --data, not both"),
        (["--strokes", __file__], "a painting must be JSON"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(arguments, sentence, tmp_path, capsys):
    said = call(capsys, *arguments, "--out", tmp_path / "a.png", status=2)
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_strokes_runs_no_code_of_its_own(tmp_path, capsys):
    harm = tmp_path / "harm.py"
    harm.write_text("raise SystemExit('code was run')")
    path = tmp_path / "strokes.json"
    path.write_text(json.dumps(painting(model=f"{harm}:make")))
    said = call(capsys, "--strokes", path, "--out", tmp_path / "a.png", status=2)
    assert "which runs code; name it yourself as MODEL" in said
