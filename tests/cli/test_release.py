"""A net is released in half precision, and its card says what evaluating it again finds."""

import json

import pytest
from click.testing import CliRunner

import featlab as fl
from featlab.cli import group
from featlab.models import read_card, zoo


@pytest.fixture
def trained(tmp_path):
    net = fl.build(
        "small_cnn",
        mean=[0.286],
        std=[0.353],
        classes=fl.open_data("fashion-mini", train=False, count=10).classes,
        shape=(1, 28, 28),
        arguments={"channels": [4, 4], "strides": [2, 2]},
    )
    path = tmp_path / "net.safetensors"
    fl.save(net, path, card={"recipe": {"data": "fashion-mini"}, "seed": 3, "clean": {"accuracy": 2.0}})
    return path


def test_the_card_says_what_evaluation_finds(trained, tmp_path):
    out = tmp_path / "zoo" / "tiny.safetensors"
    arguments = [
        "release",
        str(trained),
        "--out",
        str(out),
        "--data",
        "fashion-mini",
        "--count",
        "30",
        "--device",
        "cpu",
    ]
    done = CliRunner().invoke(
        group,
        [*arguments, "--suite", "quick", "--engine", "auto", "--threat-model", "linf:eps=0.05", "--json"],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    card = json.loads(done.stdout)
    assert out.stat().st_size < 0.8 * trained.stat().st_size
    net, tests = fl.load(str(out), device="cpu"), fl.open_data("fashion-mini", train=False)
    assert fl.accuracy(net, tests).accuracy == pytest.approx(card["clean"]["accuracy"], abs=1e-9)
    again = fl.evaluate(
        net,
        fl.open_data("fashion-mini", train=False, count=30),
        within=fl.threat_model("linf:eps=0.05"),
        suite="quick",
        batch_size=256,
    )
    (row,) = card["robust"]
    assert row["accuracy"] == again.robust.accuracy
    assert row["n"] == 30
    assert card["recipe"] == {"data": "fashion-mini"}
    assert net.name == "tiny"
    assert read_card(out)["card"] == card


def test_the_zoo_lists_its_nets_with_their_accuracy():
    listed = CliRunner().invoke(group, ["models"], catch_exceptions=False).output
    for name, path in zoo().items():
        card = read_card(path)["card"]
        assert f"zoo:{name}" in listed
        assert f"{card['clean']['accuracy']:.1%}" in listed
