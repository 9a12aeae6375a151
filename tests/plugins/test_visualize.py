"""Feature visualisation: the unit's activation rises, smoothness and maps do what they are for."""

import pytest
import torch

import featlab as fl
from featlab.testing import check_task

visualize = fl.task("visualize")


@pytest.fixture
def classifier():
    arguments = {"channels": [4, 6], "strides": [1, 2]}
    return fl.build(
        "small_cnn", mean=0.5, std=0.5, classes=["a", "b", "c"], shape=(1, 12, 12), arguments=arguments, seed=1
    )


@pytest.fixture
def grey():
    return torch.full((3, 1, 12, 12), 0.4)  # not the mean, at which every ReLU of this net stands still


MOVES = {"jitter": 1, "scale": (0.9, 1.1), "rotate": 10.0}


def test_it_holds_the_kit(classifier, images, grey):
    check_task(lambda: visualize(classifier, grey, "logits:1", noise=0.1, steps=8))
    check_task(lambda: visualize(classifier, grey, "layer1.bn:2", variation=0.1, steps=8, **MOVES))
    ball = fl.threat_model("l2", eps=2.0)
    check_task(lambda: visualize(classifier, grey, "layer2.conv:1@2,2", within=ball, steps=8))


@pytest.mark.parametrize("unit", ["logits:b", "layer2.bn:3", "layer1.conv:1"])
@pytest.mark.parametrize("options", [{}, {"variation": 0.05, **MOVES}], ids=["plain", "regularised"])
def test_the_activation_rises_clearly(classifier, grey, unit, options):
    """It rises by more than it differs among a hundred random images."""
    extract = fl.extractor(classifier, unit)
    problem = visualize(classifier, grey, unit, noise=0.1, steps=40, step_size=0.3, **options)
    found = fl.maximize(problem)
    generator = torch.Generator().manual_seed(0)
    spread = extract(torch.rand(100, 1, 12, 12, generator=generator)).std()
    assert (extract(found) > extract(problem.center) + 2 * spread).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_variation_smooths_at_a_price(classifier, grey):
    extract, found = fl.extractor(classifier, "logits:0"), {}
    for variation in (0.0, 3.0):
        problem = visualize(classifier, grey, "logits:0", noise=0.3, variation=variation, steps=60, step_size=0.3)
        found[variation] = fl.maximize(problem)
    rough, smooth = (fl.ops.total_variation(found[v]) for v in (0.0, 3.0))
    assert (smooth < 0.6 * rough).all()
    assert (extract(found[3.0]) < extract(found[0.0])).all()


def test_it_stays_in_the_set_that_is_given(classifier, grey):
    ball = fl.threat_model("l2", eps=0.5)
    found = fl.maximize(visualize(classifier, grey, "logits:2", within=ball, steps=20))
    distance = (found.double() - grey.double()).flatten(1).norm(dim=1)
    assert (distance <= 0.5).all()
    assert (distance > 0.49).all()


def test_noise_is_a_function_of_seed_and_example(classifier, grey):
    first = visualize(classifier, grey, "logits:0", noise=0.2).center
    assert torch.equal(first, visualize(classifier, grey, "logits:0", noise=0.2).center)
    assert not torch.equal(first, visualize(classifier, grey, "logits:0", noise=0.2, seed=1).center)
    assert not torch.equal(first[0], first[1])
    assert ((first - grey).abs() <= 0.2).all()
    assert torch.equal(visualize(classifier, grey, "logits:0").center, grey)


@pytest.mark.parametrize(("unit", "count"), [("logits", 3), ("layer1", 576), ("layer1@3,3", 4)])
def test_what_is_no_unit_is_refused(classifier, grey, unit, count):
    with pytest.raises(ValueError, match=f"{unit!r} has {count} values"):
        visualize(classifier, grey, unit)


def test_a_unit_that_is_off_is_driven_up_through_its_relu(classifier, grey):
    """Without `pass_through` it has no slope and stays off."""
    with torch.no_grad():
        maps = fl.extractor(classifier, "layer2.bn")(grey).reshape(3, 6, -1)
        classifier.net.layer2.bn.bias[2] -= maps[:, 2].max() + 0.05
    extract, found = fl.extractor(classifier, "layer2.relu:2"), {}
    assert not extract(grey).any()
    for through in (False, True):
        problem = visualize(classifier, grey, "layer2.relu:2", steps=40, step_size=0.5, pass_through=through)
        found[through] = extract(fl.maximize(problem)).detach()
    assert not found[False].any()
    assert found[True].all()
