"""The least eps of each example against closed forms, and the curve that comes of it."""

import math

import pytest
import torch

import featlab as fl
from featlab.attacks import Attack

from known import Cube

LENGTHS = {"linf": lambda w: w.abs().sum(), "l2": lambda w: w.norm(), "l1": lambda w: w.abs().max()}
"""The dual norm of each ball: a linear model is fooled at |w.x + b| / |w|_dual."""

SHORT = (Attack("pgd", steps=3, relative_step=0.5),)
"""As good as any on a linear model."""


def exact(linear, images, norm):
    return (linear.value(images) / LENGTHS[norm](linear.weight)).abs().detach()


@pytest.mark.parametrize(("norm", "largest"), [("linf", 0.08), ("l2", 0.25), ("l1", 0.25)])
def test_the_least_eps_of_a_linear_model_is_its_closed_form(linear, middle, norm, largest):
    labels, wanted = linear(middle).argmax(dim=1), exact(linear, middle, norm)
    ball = fl.threat_model(norm, eps=largest)
    found = fl.minimal_distortion(linear, (middle, labels), within=ball, tolerance=largest / 512)
    near = wanted < largest * 0.99
    assert 10 < int(near.sum()) < len(middle)
    assert torch.equal(found.found.isfinite(), wanted < largest)
    assert (found.found >= wanted * (1 - 1e-9)).all()  # An upper bound, always.
    slack = (found.found - wanted)[near]
    assert slack.max() <= largest / 512 + 0.01 * largest
    assert (found.failed <= wanted + 1e-9).all()
    assert (found.found[near] - found.failed[near] <= largest / 512).all()


def test_the_curve_is_the_share_that_no_image_was_found_for(linear, middle):
    labels, wanted = linear(middle).argmax(dim=1), exact(linear, middle, "linf")
    found = fl.minimal_distortion(linear, (middle, labels), within=fl.threat_model("linf", eps=0.1))
    values = [left.accuracy for _, left in found.curve(9)]
    assert values == sorted(values, reverse=True)
    assert values[0] == 1.0
    for eps, left in found.curve(9):
        assert abs(left.accuracy - float((wanted > eps).double().mean())) <= 1 / 32
    at_once = fl.evaluate(linear, (middle, labels), within=fl.threat_model("linf", eps=0.05), suite="quick")
    assert abs(found.accuracy(0.05).accuracy - at_once.robust.accuracy) <= 1 / 32
    assert found.median() == pytest.approx(float(wanted.median()), abs=0.002)


def test_what_is_wrong_at_once_has_distance_zero_and_what_is_never_found_none(linear, middle):
    right = linear(middle).argmax(dim=1)
    labels = torch.where(torch.arange(64) < 20, 1 - right, right)
    found = fl.minimal_distortion(linear, (middle, labels), within=fl.threat_model("l2", eps=1e-6))
    assert (found.found[:20] == 0).all()
    assert (found.failed[:20] == 0).all()
    assert found.found[20:].isinf().all()
    assert (found.failed[20:] == 1e-6).all()
    assert found.accuracy(0.0).accuracy == 44 / 64
    assert found.median() is None
    assert found.record()["points"][0]["accuracy"] == 44 / 64


def test_neither_the_batch_nor_the_neighbours_matter(linear, middle):
    labels = linear(middle).argmax(dim=1)
    ball = fl.threat_model("l2", eps=0.2)
    options = {"within": ball, "suite": SHORT}
    runs = [fl.minimal_distortion(linear, (middle, labels), **options, batch_size=size) for size in (9, 64)]
    assert torch.equal(runs[0].found, runs[1].found)
    part = fl.minimal_distortion(linear, (middle[:20], labels[:20]), **options)
    assert torch.equal(part.found, runs[1].found[:20])


def test_a_search_that_was_stopped_goes_on(linear, middle, tmp_path):
    labels, ball, path = linear(middle).argmax(dim=1), fl.threat_model("linf", eps=0.1), tmp_path / "found.safetensors"
    options = {"within": ball, "suite": SHORT, "batch_size": 16}
    whole = fl.minimal_distortion(linear, (middle, labels), **options)

    def stop(stage, done, total):
        if done == 32:
            raise KeyboardInterrupt

    options["checkpoint"] = path
    with pytest.raises(KeyboardInterrupt):
        fl.minimal_distortion(linear, (middle, labels), **options, progress=stop)
    again = fl.minimal_distortion(linear, (middle, labels), **options)
    assert torch.equal(again.found, whole.found)
    with pytest.raises(ValueError, match="tolerance was"):
        fl.minimal_distortion(linear, (middle, labels), **options, tolerance=0.01)


@pytest.mark.parametrize(
    ("within", "options", "sentence"),
    [
        (fl.threat_model("box"), {}, "no radius that could become"),
        (Cube(torch.ones(64)), {}, "one positive, finite number"),
        (Cube(0.0), {}, "one positive, finite number"),
        (Cube(math.inf), {}, "one positive, finite number"),
        (fl.threat_model("l2:eps=1"), {"tolerance": 0.0}, "tolerance must be positive"),
    ],
    ids=["no size", "many", "none", "everything", "tolerance"],
)
def test_what_cannot_be_searched_is_refused(linear, middle, within, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        fl.minimal_distortion(linear, (middle, linear(middle).argmax(dim=1)), within=within, **options)


def test_the_curve_is_asked_for_where_was_looked(linear, middle):
    found = fl.minimal_distortion(
        linear, (middle, linear(middle).argmax(dim=1)), within=fl.threat_model("l2", eps=0.1), suite=SHORT
    )
    with pytest.raises(ValueError, match="up to where was looked"):
        found.accuracy(0.2)
    with pytest.raises(ValueError, match="2 points or more"):
        found.curve(1)
