"""The commands of tasks: what each writes, what it refuses, and that a plugin's task is one like any other."""

import importlib
import json

import click
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import featlab as fl
from featlab import plugins
from featlab.cli import COMMANDS, group, main
from featlab.forms import fields_of, words_of

NET = "zoo:fashion-robust"
DATA = ("--data", "fashion-mini", "--count", "2")
TASKS = sorted(name for name, (path, _) in COMMANDS.items() if path.startswith("featlab.cli.tasks:") and name != "task")
CASES = {
    "add-feature": (*DATA, "--unit", "penultimate:7"),
    "generate": ("--count", "2", "--class", "Bag", "--class", "1"),
    "inpaint": (*DATA, "--mask", "8:8:20:20", "--class", "data", "--hard"),
    "interpolate": (*DATA, "--reference", "17", "--points", "3"),
    "invert": (*DATA, "--start", "noise", "--reference", "17"),
    "restore": (*DATA, "--spoil", "blur=1.5", "--blur", "3/2"),
    "sketch": (*DATA, "--spoil", "outline=0.2", "--class", "data"),
    "stylize": (*DATA, "--reference", "17"),
    "superres": (*DATA, "--spoil", "shrink=4", "--factor", "4"),
    "translate": (*DATA, "--class", "Bag", "--within", "l2:eps=3"),
    "visualize": ("--start", "grey", "--count", "2", "--unit", "logits:Bag"),
}


def run(*arguments):
    """Run a command and return the object that it prints."""
    group.main(args=[*arguments, "--json", "--device", "cpu"], standalone_mode=False)


def refused(capsys, *arguments):
    """Return the sentence with which a command refuses."""
    with pytest.raises(SystemExit) as leave:
        main([*arguments, "--device", "cpu"])
    said = capsys.readouterr()
    assert leave.value.code == 2
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    return said.err


def test_there_is_a_case_for_every_command():
    assert sorted(CASES) == TASKS


@pytest.mark.parametrize("name", CASES)
def test_every_command_writes_its_pictures_and_its_trace(name, tmp_path, capsys):
    out = tmp_path / "run"
    run(name, NET, *CASES[name], "--steps", "2", "--seed", "3", "--out", str(out))
    said = json.loads(capsys.readouterr().out)
    tensors = load_file(out / "result.safetensors")
    count = 6 if name == "interpolate" else 2
    assert said["count"] == len(tensors["images"]) == count
    assert tensors["images"].shape == (count, 1, 28, 28)
    rows = [json.loads(line) for line in (out / "trace.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert all(len(row["scores"]) == len(row["probabilities"]) == count for row in rows)
    assert said["score"]["end"] >= said["score"]["start"]
    with Image.open(out / said["grid"]) as grid:
        grid.load()
    for place in range(count):
        with Image.open(out / "images" / f"{place:04d}-result.png") as picture:
            pixels = torch.from_numpy(np.array(picture)).long()
        assert torch.equal(pixels, (tensors["images"][place, 0] * 255).round().long())
    known = json.loads((out / "run.json").read_text())
    assert known["result"] == {key: value for key, value in said.items() if key != "out"}
    assert known["terms"]["command"] == name


def test_the_result_is_the_tasks_and_does_not_depend_on_the_batches(tmp_path, capsys):
    for size in ("1", "2"):
        run("generate", NET, *CASES["generate"], "--steps", "3", "--batch-size", size, "--out", str(tmp_path / size))
    one, two = (load_file(tmp_path / size / "result.safetensors") for size in ("1", "2"))
    labels = torch.tensor([8, 1])
    problem = fl.task("generate")(fl.load(NET, device="cpu"), labels, steps=3)
    assert torch.equal(two["images"], fl.maximize(problem))
    assert torch.equal(two["labels"], labels)
    assert torch.equal(one["starts"], two["starts"])
    torch.testing.assert_close(one["images"], two["images"], rtol=0, atol=1e-4)
    capsys.readouterr()


def test_an_animation_is_written_where_it_is_asked_for(tmp_path, capsys):
    out = tmp_path / "run"
    run("generate", NET, *CASES["generate"], "--steps", "3", "--animate", "--out", str(out))
    assert json.loads(capsys.readouterr().out)["path"] == "path.webp"
    with Image.open(out / "path.webp") as path:
        assert path.n_frames == 4  # The start and three steps, of which the last is the result.


def test_a_finished_run_is_told_again_and_another_is_refused(tmp_path, capsys, monkeypatch):
    case = ("generate", NET, *CASES["generate"], "--steps", "2", "--out", str(tmp_path / "run"))
    run(*case)
    first = capsys.readouterr().out
    monkeypatch.setattr("featlab.cli.errands.done", lambda *_, **__: pytest.fail("done again"))
    run(*case)
    assert capsys.readouterr().out == first
    assert "other arguments (seed was 0 and is 1" in refused(capsys, *case, "--seed", "1")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("mine")
    assert "is not empty and holds no run" in refused(capsys, *case[:-1], str(tmp_path / "mine"))


def test_an_interruption_leaves_nothing(tmp_path, capsys, monkeypatch):
    def stops(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("featlab.cli.errands.follow", stops)
    with pytest.raises(SystemExit) as leave:
        main(["generate", NET, *CASES["generate"], "--out", str(tmp_path / "run")])
    assert leave.value.code == 130
    assert not (tmp_path / "run").exists()
    assert "interrupted" in capsys.readouterr().err


def test_pictures_masks_and_references_are_read_from_files(tmp_path, capsys):
    photo, mask = Image.new("RGB", (60, 40), (255, 0, 0)), Image.new("L", (28, 28), 0)
    mask.paste(255, (4, 4, 12, 12))
    photo.save(tmp_path / "photo.jpg", quality=95)
    mask.save(tmp_path / "mask.png")
    pictures = ("--images", str(tmp_path / "photo.jpg"), "--images", str(tmp_path / "photo.jpg"))
    run("inpaint", NET, *pictures, "--mask", str(tmp_path / "mask.png"), "--class", "0", "--class", "Bag", "--hard",
        "--fill", "grey", "--steps", "2", "--out", str(tmp_path / "run"))  # fmt: skip
    tensors = load_file(tmp_path / "run" / "result.safetensors")
    red = 76 / 255  # What Pillow makes of red in grey.
    assert tensors["starts"].shape == (2, 1, 28, 28)
    torch.testing.assert_close(tensors["starts"][0, 0, 20, 20], torch.tensor(red), rtol=0, atol=0.01)
    changed = (tensors["images"] != tensors["starts"]).any(dim=0)[0].nonzero()
    assert changed.amin() >= 4
    assert changed.amax() < 12
    assert torch.equal(tensors["labels"], torch.tensor([0, 8]))
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("translate", NET, *DATA), "needs --class; a class of the model by name or number, or `data`"),
        (("translate", NET, *DATA, "--class", "Bagg"), "did you mean 'Bag'"),
        (("translate", NET, *DATA, "--class", "1", "--class", "2", "--class", "3"), "for each of the 2 images; got 3"),
        (("translate", NET, "--class", "Bag"), "say which images: --data NAME, --images FILE, or --start noise"),
        (("translate", NET, "--start", "noise", "--class", "data"), "--class data needs images with labels"),
        (("translate", NET, "--data", "fashion-mini", "--index", "5000", "--class", "1"), "rows from 0 to 1999"),
        (("inpaint", NET, *DATA), "needs --mask; a picture that is white"),
        (("inpaint", NET, *DATA, "--mask", "9:9:4:20"), "a box within 28 x 28 pixels"),
        (("inpaint", NET, *DATA, "--mask", "missing.png"), "missing.png cannot be read as a picture"),
        (("invert", NET, *DATA), "needs --reference"),
        (("invert", NET, "--start", "noise", "--reference", "3"), "give --data NAME"),
        (("restore", NET, *DATA, "--spoil", "rain=3"), "--spoil is noise=DEVIATION"),
        (("restore", NET, *DATA, "--spoil", "noise=-1"), "must be more than 0"),
        (("superres", NET, *DATA, "--factor", "4"), "takes float images of shape (batch, 1, 28, 28)"),
        (("superres", NET, *DATA, "--start", "grey", "--task-start", "linear"), "'linear' is not one of"),
        (("stylize", NET, *DATA, "--reference", "4", "--style", "layer9"), "read off layers with maps"),
        (("visualize", NET, *DATA, "--unit", "layer9:1"), "no layer 'layer9'"),
        (("task", "paint", NET, *DATA, "--mask", "1:1:9:9"), "exactly one of unit, labels and reference; got none"),
        (("task", "pain", NET), "did you mean 'paint'"),
    ],
    ids=lambda value: "-".join(value)[-40:] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_what_the_user_can_mend_is_one_sentence_and_leaves_nothing(arguments, sentence, tmp_path, capsys):
    out = () if arguments[:2] == ("task", "pain") else ("--out", str(tmp_path / "run"))
    assert sentence in refused(capsys, *arguments, *out)
    assert not (tmp_path / "run").exists()


def test_commands_have_the_options_of_the_signature_and_no_others():
    for name in plugins.registry().names("tasks"):
        command = importlib.import_module("featlab.cli.tasks").command_of(name)
        known = {option for parameter in command.params for option in parameter.opts}
        for field in fields_of(fl.task(name)):
            flag = f"--{field.name.replace('_', '-')}"
            assert flag in known or f"--task-{field.name}" in known
        assert ("--mask" in known) == ("mask" in words_of(fl.task(name)))
        assert len([option for parameter in command.params for option in parameter.opts]) == len(known), name


def test_a_plugins_task_is_a_command_also_without_a_model(tmp_path, capsys, monkeypatch):
    def darken(images: torch.Tensor, *, share: float = 0.5, count: int = 2) -> fl.Problem:
        """Make images darker. `share` says how dark. `count` is nothing but a name."""
        assert count == 7
        return fl.Problem(fl.stay_near(images * share), images, fl.threat_model("box"), 5, 0.5)

    found = plugins.registry()
    provider = next(iter(found.providers))
    extra = plugins.Offer("tasks", plugins.Entry("darken", darken, "darker images"), provider)
    monkeypatch.setattr(plugins, "registry", lambda: plugins.Registry((provider,), (*found.offers, extra)))
    run("task", "darken", *DATA, "--share", "1/4", "--task-count", "7", "--out", str(tmp_path / "run"))
    assert json.loads(capsys.readouterr().out)["task"] == "darken"
    tensors = load_file(tmp_path / "run" / "result.safetensors")
    assert (tensors["images"].mean(dim=(1, 2, 3)) < tensors["starts"].mean(dim=(1, 2, 3))).all()
    group.main(args=["task", "--help"], standalone_mode=False)
    assert "darker images" in capsys.readouterr().out


def test_the_table_of_commands_names_tasks_only():
    module = importlib.import_module("featlab.cli.tasks")
    for name in TASKS:
        assert isinstance(getattr(module, name), click.Command)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_a_picture_left_as_small_as_it_is_becomes_as_large_as_the_models(tmp_path, capsys):
    Image.new("L", (14, 14), 128).save(tmp_path / "small.png")
    picture = ("--images", str(tmp_path / "small.png"), "--steps", "2")
    run("superres", NET, *picture, "--as-is", "--factor", "2", "--out", str(tmp_path / "run"))
    assert load_file(tmp_path / "run" / "result.safetensors")["images"].shape == (1, 1, 28, 28)
    capsys.readouterr()
    assert "got torch.float32 of shape (1, 1, 56, 56)" in refused(
        capsys, "superres", NET, *picture, "--out", str(tmp_path / "other")
    )


def test_tasks_without_a_command_of_their_own_are_run_by_name(tmp_path, capsys):
    told = ("--class", "Bag", "--within", "l2:eps=4", "--steps", "3", "--index", "5,9", "--data", "fashion-mini")
    run("task", "large-eps", NET, *told, "--out", str(tmp_path / "run"))
    tensors = load_file(tmp_path / "run" / "result.safetensors")
    data = fl.open_data("fashion-mini", train=False)
    assert torch.equal(tensors["starts"], data.images(torch.tensor([5, 9])))
    problem = fl.task("large-eps")(
        fl.load(NET, device="cpu"), tensors["starts"], torch.tensor([8, 8]), within=fl.threat_model("l2:eps=4"), steps=3
    )
    assert torch.equal(tensors["images"], fl.maximize(problem))
    assert json.loads(capsys.readouterr().out)["task"] == "large-eps"
