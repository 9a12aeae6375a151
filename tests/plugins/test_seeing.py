"""Interpolation, feature addition and rationalisation do what they say; retrieval finds what is there."""

import pytest
import torch

import featlab as fl
from featlab.testing import check_task

interpolate, add_feature, rationalize = (fl.task(name) for name in ("interpolate", "add-feature", "rationalize"))


@pytest.fixture(scope="module")
def model():
    return fl.build(
        "small_cnn", mean=0.3, std=0.3, classes=list("0123456789"), shape=(1, 28, 28),
        arguments={"channels": [6, 8], "strides": [2, 2], "pool": True}, seed=3,
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def pictures():
    return fl.load_data("fashion-mini", train=False, count=10)


def test_they_hold_the_kit(model, pictures):
    images = pictures[0][:3]
    check_task(lambda: interpolate(model, images[:2], images[1:], points=3, steps=4))
    check_task(lambda: add_feature(model, images, "layer2:3", steps=4))
    check_task(lambda: rationalize(model, images, rank=2, steps=4, within=fl.threat_model("l2:eps=3")))


def test_interpolation_goes_from_one_end_to_the_other(model, pictures):
    first, second = pictures[0][:2], pictures[0][2:4]
    problem = interpolate(model, first, second, points=5, steps=30)
    found = fl.maximize(problem).reshape(2, 5, *first.shape[1:])
    torch.testing.assert_close(found[:, 0], first)
    torch.testing.assert_close(found[:, -1], second)
    features = fl.extractor(model, "penultimate")
    with torch.no_grad():
        ends = features(first), features(second)
        middle = (ends[0] + ends[1]) / 2
        blend = (features((first + second) / 2) - middle).norm(dim=1)
        ours = (features(found[:, 2]) - middle).norm(dim=1)
    assert (ours < 0.5 * blend).all()
    with pytest.raises(ValueError, match="points >= 2"):
        interpolate(model, first, second, points=1)


def test_a_feature_is_added_up_to_its_level(model, pictures):
    images = pictures[0][:4]
    extract = fl.extractor(model, "layer2:3")
    with torch.no_grad():
        before = extract(images)[:, 0]
    level = float(before.max()) + 0.05
    found = fl.maximize(add_feature(model, images, "layer2:3", level=level, steps=200, step_size=0.1))
    with torch.no_grad():
        after = extract(found)[:, 0]
    assert (after > level - 1e-4).all()
    assert (after < level + 0.15).all()  # One step may leap over it.
    with pytest.raises(ValueError, match="address of one unit"):
        add_feature(model, images, "layer2")


def test_rationalising_raises_the_unit_that_was_responsible(model, pictures):
    images = pictures[0]
    head, features = fl.head_of(model), fl.extractor(model, "penultimate")
    with torch.no_grad():
        values, answers = features(images), model(images).argmax(1)
    parts = head.weight[answers] * values
    units = parts.argmax(1)
    found = fl.maximize(rationalize(model, images, steps=20))
    with torch.no_grad():
        after = features(found)
    rows = torch.arange(len(images))
    assert (after[rows, units] > values[rows, units]).all()
    with pytest.raises(ValueError, match="from 1 to 8"):
        rationalize(model, images, rank=9)


def test_activating_images_are_the_extremes(model, pictures):
    extract = fl.extractor(model, "penultimate")
    found = fl.activating(extract, pictures, units=[2, 5], count=3, batch_size=4)
    with torch.no_grad():
        values = extract(pictures[0])[:, [2, 5]]
    torch.testing.assert_close(found.top_values[:, 0], values.amax(0).double())
    torch.testing.assert_close(found.bottom_values[:, 0], values.amin(0).double())
    assert torch.equal(found.top[:, 0], values.argmax(0))
    assert (found.top_values.diff(dim=1) <= 0).all()
    with pytest.raises(ValueError, match="count must be from 1 to the 10"):
        fl.activating(extract, pictures, count=11)


def test_an_image_is_its_own_nearest_neighbour(model, pictures):
    extract = fl.extractor(model, "penultimate")
    index, distance = fl.nearest(extract, pictures[0][:4], pictures, count=3, batch_size=3)
    assert index[:, 0].tolist() == [0, 1, 2, 3]
    assert distance[:, 0].max() < 1e-5
    whole = torch.cdist(extract(pictures[0][:4]).detach().double(), extract(pictures[0]).detach().double())
    torch.testing.assert_close(distance, whole.sort(dim=1).values[:, :3], rtol=1e-4, atol=1e-5)
