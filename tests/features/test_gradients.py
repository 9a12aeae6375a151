"""Gradients of every class, at the image and all over a set; and the alignment of the two nets that are shipped."""

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.features import quality
from featlab.features.saliency import slope, smoothgrad
from featlab.intervals import Mean


def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()


def curved():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 20), nn.Tanh(), nn.Linear(20, 3)).eval()


IMAGES = 0.3 + 0.4 * torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(2))


def test_a_linear_net_has_its_weights_for_gradients_everywhere():
    net = linear()
    wanted = net[1].weight.detach().reshape(1, 3, 1, 4, 4).expand(4, -1, -1, -1, -1)
    torch.testing.assert_close(fl.class_gradients(net, IMAGES), wanted)
    torch.testing.assert_close(fl.class_gradients(net, IMAGES, within=fl.threat_model("l2:eps=1"), draws=3), wanted)
    torch.testing.assert_close(fl.class_gradients(net, IMAGES, classes=[2, 0]), wanted[:, [2, 0]])


def test_over_a_set_it_is_the_mean_of_the_gradients_there():
    net, within = curved(), fl.threat_model("linf:eps=0.1")
    assert torch.equal(fl.class_gradients(net, IMAGES, classes=[1])[:, 0], slope(net, IMAGES, torch.ones(4).long()))
    found = fl.class_gradients(net, IMAGES, within=within, draws=5, seed=7)
    keys = [fl.Key(seed=7, examples=torch.arange(4), restart=number) for number in range(5)]
    points = [within.sample(IMAGES, key=key) for key in keys]
    for label in range(3):
        wanted = torch.stack([slope(net, each, torch.full((4,), label)) for each in points]).mean(0)
        torch.testing.assert_close(found[:, label], wanted)
    assert not torch.allclose(found, fl.class_gradients(net, IMAGES))


def test_no_example_influences_another():
    net, within = curved(), fl.threat_model("l2:eps=0.5")
    whole = fl.class_gradients(net, IMAGES, within=within, draws=3)
    some = fl.class_gradients(net, IMAGES[2:], within=within, draws=3, examples=torch.tensor([2, 3]))
    torch.testing.assert_close(some, whole[2:])


def test_a_set_whose_points_are_no_images_is_followed_to_its_images():
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    net = fl.load("zoo:fashion-robust", device="cpu")
    found = fl.class_gradients(
        net, images, classes=[4], within=fl.threat_model("rigid:translation=0.1,rotation=10"), draws=2
    )
    assert found.shape == (2, 1, 1, 28, 28)
    assert torch.isfinite(found).all()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="from 0 to 2"):
        fl.class_gradients(linear(), IMAGES, classes=[3])
    with pytest.raises(ValueError, match="from 0 to 2"):
        fl.class_gradients(linear(), IMAGES, classes=[])
    with pytest.raises(ValueError, match="draws must be 1"):
        fl.class_gradients(linear(), IMAGES, draws=0)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        fl.class_gradients(linear(), 3 * IMAGES)


@pytest.mark.parametrize("method", [slope, smoothgrad], ids=["gradient", "smoothgrad"])
def test_the_robust_nets_gradients_are_aligned_with_the_images(method):
    """|cos(gradient, image)| over 60 test images, with intervals apart."""
    images, labels = fl.load_data("fashion-mini", train=False, count=60)
    standard, robust = (
        Mean.of(quality.alignment(method(fl.load(f"zoo:fashion-{name}", device="cpu"), images, labels), images))
        for name in ("standard", "robust")
    )
    assert standard.high < robust.low


def test_where_the_robust_net_would_add_a_class_people_see_that_class():
    """The mean gradient of a class over images of others looks like the class: nearest to its own mean image."""
    data = fl.open_data("fashion-mini", train=True).subset(1000)
    images, labels = data.tensors()
    means = torch.stack([images[labels == label].mean(0) for label in range(10)])
    means = means - means.mean(0)
    tests, _ = fl.load_data("fashion-mini", train=False, count=40)
    ball, right = fl.threat_model("l2:eps=1"), {}
    for name in ("standard", "robust"):
        found = fl.class_gradients(fl.load(f"zoo:fashion-{name}", device="cpu"), tests, within=ball, draws=4).mean(0)
        found = found - found.mean(0)
        cosine = nn.functional.cosine_similarity(found.flatten(1)[:, None], means.flatten(1)[None], dim=2)
        right[name] = float(cosine.diagonal().mean())
    assert right["robust"] > right["standard"] + 0.1
