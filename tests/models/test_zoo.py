"""The nets that come with featlab: small files, whole cards, and what the cards say."""

import pytest
import torch

import featlab as fl
from featlab.fetching import data_root
from featlab.models import read_card, zoo

NETS = zoo()


def test_there_is_a_standard_and_a_robust_net_and_they_are_small():
    assert {"fashion-standard", "fashion-robust", "cifar10-small-standard", "cifar10-small-l2"} <= NETS.keys()
    assert all(path.stat().st_size < 6e6 for path in NETS.values())


@pytest.mark.parametrize("name", NETS)
def test_its_card_says_how_it_was_made_and_measured(name):
    card = read_card(NETS[name])["card"]
    assert {"recipe", "data", "clean", "robust", "seed", "seconds", "tests", "torch"} <= card.keys()
    assert {"sha256", "train"} <= card["data"].keys()
    for row in card["robust"]:
        assert row["suite"] == "standard"
        assert row["low"] <= row["accuracy"] <= row["high"]


@pytest.mark.parametrize("name", [name for name in NETS if name.startswith("fashion")])
def test_it_does_what_its_card_says_on_the_embedded_images(name):
    """They are a sample of the test images of the card."""
    card = read_card(NETS[name])["card"]
    net = fl.load(f"zoo:{name}", device="cpu")
    found = fl.accuracy(net, fl.open_data("fashion-mini", train=False))
    assert found.low <= card["clean"]["accuracy"] <= found.high


@pytest.mark.parametrize("name", NETS)
def test_its_clean_accuracy_is_that_of_its_card(name):
    """On all test images, to 0.1 points, where they were fetched; .ci/run fetches them."""
    card = read_card(NETS[name])["card"]
    data = card["data"]["name"]
    if not (data_root() / data).is_dir():
        pytest.skip(f"needs `featlab data get {data}`, which was not run here")
    found = fl.accuracy(fl.load(f"zoo:{name}", device="cpu"), fl.open_data(data, train=False))
    assert found.n == card["clean"]["n"] == 10000
    assert found.accuracy == pytest.approx(card["clean"]["accuracy"], abs=0.001)


def test_the_robust_net_is_the_robust_one():
    images, labels = fl.load_data("fashion-mini", train=False, count=60)
    ball = fl.threat_model("l2:eps=1.5")
    left = {
        name: fl.evaluate(fl.load(f"zoo:fashion-{name}", device="cpu"), (images, labels), within=ball, suite="quick")
        for name in ("standard", "robust")
    }
    assert left["standard"].robust.high < left["robust"].robust.low
    assert torch.equal(left["robust"].held & ~left["robust"].correct, torch.zeros(60, dtype=torch.bool))
