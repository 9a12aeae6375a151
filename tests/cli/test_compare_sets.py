"""`featlab compare-sets` and `featlab certify` on small nets."""

import json

import pytest

import featlab as fl
from featlab.cli import main
from featlab.cli.compare import named

COUNT = ("--count", "40", "--data", "fashion-mini", "--device", "cpu")


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """Two small nets, one of which says what it was trained on."""
    folder = tmp_path_factory.mktemp("nets")
    small = {"channels": [4, 8], "strides": [2, 2]}
    data = fl.open_data("fashion-mini", train=True, count=600)
    recipe = {"schedule": {"epochs": 2}, "inner": {"threat_model": "", "steps": 0}}
    for name, card in (("plain", {"recipe": recipe, "data": {"name": "fashion-mini", "train": 600}}), ("other", {})):
        model = fl.build(
            "small_cnn", mean=0.3, std=0.35, classes="0123456789", shape=(1, 28, 28), arguments=small, seed=len(card)
        )
        list(fl.train(model, data, schedule=fl.Schedule(epochs=2, lr=0.1, batch_size=50)))
        fl.save(model, folder / f"{name}.safetensors", card=card)
    return folder / "plain.safetensors", folder / "other.safetensors"


def call(capsys, *arguments, status=0):
    with pytest.raises(SystemExit) as leave:
        main([*map(str, arguments)])
    said = capsys.readouterr()
    assert leave.value.code == status, said.err
    return said.out if status == 0 else said.err


def test_a_comparison_is_a_run_with_a_page(nets, capsys, tmp_path):
    command = ("compare-sets", *nets, *COUNT, "--threat-models", "linf:eps=8/255 l2:eps=1/2", "--suite", "quick")
    found = json.loads(call(capsys, *command, "--out", tmp_path / "run", "--json"))
    assert [row["model"] for row in found["models"]] == ["plain", "other"]
    assert [row["training"]["images"] for row in found["models"]] == [600, None]
    model = fl.load(str(nets[1]), device="cpu")
    alone = fl.evaluate(
        model,
        fl.open_data("fashion-mini", train=False, count=40),
        within=fl.threat_model("l2:eps=1/2"),
        suite="quick",
        batch_size=256,
    )
    assert found["models"][1]["robust"]["l2:eps=1/2"] == alone.robust.record()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Which set of perturbations" in page
    (tmp_path / "run" / "report.html").unlink()
    text = call(capsys, *command, "--out", tmp_path / "run")
    assert "Robust accuracy in %" in text
    assert (tmp_path / "run" / "report.html").read_text() == page
    assert call(capsys, *command, "--seed", 1, "--out", tmp_path / "run", status=2).count("\n") == 1
    assert json.loads(call(capsys, *command, "--json")) == found


def test_certificates_are_those_of_the_function(nets, capsys, tmp_path):
    command = ("certify", nets[0], *COUNT, "--sigma", "1/8", "--n0", "20", "--n", "50", "--alpha", "0.01")
    found = json.loads(call(capsys, *command, "--out", tmp_path / "run", "--json"))
    data = fl.open_data("fashion-mini", train=False, count=40)
    same = fl.certify(fl.load(str(nets[0]), device="cpu"), data, sigma=0.125, n0=20, n=50, alpha=0.01, batch_size=256)
    assert found == {"model": str(nets[0]), "data": "fashion-mini", **json.loads(json.dumps(same.record()))}
    text = call(capsys, *command, "--out", tmp_path / "run")
    assert "smoothed accuracy" in text
    assert "within 0.0000" in text


def test_names_are_short_where_they_can_be():
    assert named(["a/linf.safetensors", "file:b/l2.safetensors"]) == {
        "linf": "a/linf.safetensors",
        "l2": "file:b/l2.safetensors",
    }
    alike = ["a/net.safetensors", "b/net.safetensors"]
    assert named(alike) == dict(zip(alike, alike))


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("compare-sets", ("--threat-models", "linf:eps=8/255 lnif:eps=1"), "did you mean 'linf'?"),
        ("compare-sets", (), "Missing option '--threat-models'"),
        ("compare-sets", ("--threat-models", "l2:eps=1", "--suite", "pgdd"), "did you mean 'pgd'?"),
        ("certify", ("--sigma", "0"), "sigma must be positive"),
        ("certify", ("--sigma", "much"), "must be a number"),
    ],
)
def test_bad_arguments_are_one_sentence(nets, capsys, command, arguments, sentence):
    said = call(capsys, command, nets[0], *COUNT, *arguments, status=2)
    assert sentence in said
    assert len(said.splitlines()) == 1
