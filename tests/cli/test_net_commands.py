"""The commands about nets, one after another on real images: train, evaluate, attack, build; and what each refuses."""

import json

import numpy as np
import pytest
import torch

import featlab as fl
from featlab.cli import main
from featlab.datasets import open_constructed
from featlab.files import read_tensors
from featlab.models import read_card

RECIPE = """
data = "fashion-mini"
net = { architecture = "small_cnn", arguments = { channels = [4, 8], strides = [2, 2] } }
schedule = { epochs = 3, lr = 0.1, batch_size = 50 }
"""
DATA = ("--data", "fashion-mini", "--device", "cpu")


def call(capsys, *arguments, status=0):
    """Run a command; return what it printed on stdout as JSON, or its one sentence on stderr."""
    with pytest.raises(SystemExit) as leave:
        main([*map(str, arguments), *(["--json"] if status == 0 else [])])
    said = capsys.readouterr()
    assert leave.value.code == status, said.err
    return json.loads(said.out) if status == 0 else said.err


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A net that the command trained, and its card."""
    folder = tmp_path_factory.mktemp("nets")
    (folder / "recipe.toml").write_text(RECIPE)
    path = folder / "net.safetensors"
    with pytest.raises(SystemExit) as leave:
        main(["train", "--recipe", f"{folder}/recipe.toml", "--out", str(path), "--count", "1000", "--device", "cpu"])
    assert leave.value.code == 0
    assert sorted(each.name for each in folder.iterdir()) == ["net.safetensors", "recipe.toml"]
    return path


def test_the_card_of_a_trained_net_says_what_evaluating_it_finds(net, capsys):
    card = read_card(net)["card"]
    found = call(capsys, "evaluate", net, *DATA)
    assert found["clean"] == card["clean"]
    assert found["clean"]["accuracy"] > 0.5
    assert found["robust"] == []


def test_evaluation_under_several_threat_models(net, capsys):
    specs = ("--threat-model", "linf:eps=8/255", "--threat-model", "l2:eps=1/2")
    found = call(capsys, "evaluate", net, *DATA, *specs, "--count", 200, "--suite", "pgd")
    (x, y), model = fl.load_data("fashion-mini", train=False, count=200), fl.load(f"file:{net}", device="cpu")
    report = fl.evaluate(model, (x, y), within=fl.threat_model("l2", eps=0.5), suite="pgd")
    assert found["clean"] == report.clean.record()
    assert found["robust"][1]["robust"] == report.robust.record()
    assert [len(row["attacks"]) for row in found["robust"]] == [3, 3]
    assert report.robust.accuracy < report.clean.accuracy


def test_attacked_images_are_inside_and_as_the_net_sees_them(net, capsys, tmp_path):
    out = tmp_path / "adversarial.safetensors"
    found = call(capsys, "attack", net, *DATA, "--threat-model", "linf:eps=8/255", "--count", 60, "--out", out)
    tensors, facts = read_tensors(out)
    distance = (tensors["images"].double() - tensors["originals"].double()).abs()
    assert distance.max() <= 8 / 255
    model = fl.load(str(net), device="cpu")
    assert torch.equal(fl.predict(model, tensors["images"]), tensors["answers"])
    assert torch.equal(tensors["originals"], fl.load_data("fashion-mini", train=False, count=60)[0])
    assert found["still_correct"]["accuracy"] == (tensors["answers"] == tensors["labels"]).double().mean()
    assert json.loads(facts["attack"])["steps"] == 40


@pytest.mark.parametrize("kind", ["d_rand", "d_det", "represented"])
def test_a_set_is_built_verified_and_can_be_trained_on(net, kind, capsys, tmp_path):
    steps = ("--steps", 3, "--step-size", 0.5, "--count", 120, "--batch-size", 50)
    spec = () if kind == "represented" else ("--threat-model", "l2:eps=1")
    out = tmp_path / kind
    built = call(capsys, "dataset", "build", kind, "--source", net, *DATA, *spec, *steps, "--out", out)
    assert call(capsys, "dataset", "verify", out)["sha256"] == built["sha256"]
    assert call(capsys, "dataset", "build", kind, "--source", net, *DATA, *spec, *steps, "--out", out) == built
    data = open_constructed(out)
    original = fl.open_data("fashion-mini", train=True, count=120)
    if kind == "d_det":
        assert torch.equal(data.labels, (original.labels + 1) % 10)
    assert not torch.equal(data.tensors()[0], original.tensors()[0])
    found = call(capsys, "evaluate", net, "--data", f"constructed:{out}", "--device", "cpu")
    assert found["clean"]["n"] == 120


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["evaluate", "{net}", "--data", "fashion-mini", "--suite", "pgdd"], "did you mean 'pgd'?"),
        (["evaluate", "{net}", "--data", "npz:{bad}"], "must lie in [0, 1]"),
        (["evaluate", "{net}", "--data", "npz:{wide}"], "takes float images of shape (batch, 1, 28, 28)"),
        (["attack", "{net}", "--data", "fashion-mini", "--threat-model", "box", "--out", "a.png"], "a.png"),
        (["attack", "{net}", "--data", "fashion-mini", "--threat-model", "l2:eps=1", "--loss", "ce", "--out", "{new}"],
            "got 'ce'"),
        (["train", "--recipe", "cifar10-l3", "--out", "{new}"], "did you mean 'cifar10-l2'?"),
        (["train", "--recipe", "{net}.toml", "--out", "{new}"], "No such file"),
        (["dataset", "verify", "{net}"], "net.safetensors"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else value,
)  # fmt: skip
def test_bad_input_is_one_sentence_and_writes_nothing(net, arguments, sentence, capsys, tmp_path):
    np.savez(tmp_path / "bad.npz", images=np.full((4, 1, 28, 28), 3.0, np.float32), labels=np.zeros(4, np.int64))
    np.savez(tmp_path / "wide.npz", images=np.zeros((4, 1, 28, 32), np.float32), labels=np.zeros(4, np.int64))
    names = {name: tmp_path / f"{name}.npz" for name in ("bad", "wide")} | {"new": tmp_path / "new.safetensors"}
    before = set(tmp_path.iterdir())
    said = call(capsys, *(each.format(net=net, **names) for each in arguments), status=2)
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert set(tmp_path.iterdir()) == before


def test_a_cut_off_net_is_refused(net, capsys, tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(net.read_bytes()[:-100])
    said = call(capsys, "evaluate", tmp_path / "cut.safetensors", *DATA, status=2)
    assert "cut.safetensors" in said
    assert len(said.splitlines()) == 1
