"""Sequences: a picture is shifted, and the noise is around the shifted picture."""

import re

import pytest
import torch
from fashion import Slide, losses, trained

import featlab as fl
from featlab.testing import check_threat_model

NOISE = "linf:eps=8/255"


def sequence(*of):
    return fl.threat_model("sequential", of=[fl.threat_model(each) if isinstance(each, str) else each for each in of])


def lengths(directions, members):
    """The norm in which a steepest direction has length one, for parts that move images of one shape."""
    parts = directions.flatten(1).chunk(2, dim=1)
    euclidean, largest = parts[0].norm(dim=1) / members[0].radius, parts[1].abs().amax(dim=1) / members[1].radius
    return torch.maximum(euclidean, largest)


def test_it_holds_the_kit():
    each = torch.linspace(0.1, 1.0, 5)
    members = [fl.threat_model("l2:eps=0.5"), fl.threat_model(NOISE)]
    for make, shape, options in (
        (lambda: sequence(*members), (3, 5, 7), {"length": lambda directions: lengths(directions, members)}),
        (lambda: sequence(Slide(), NOISE), (1, 6, 8), {}),
        (lambda: sequence(Slide(each), fl.threat_model("linf", eps=each / 10)), (1, 8, 8), {}),
        (lambda: sequence(NOISE, "l2:eps=0.5"), (17,), {}),
    ):
        check_threat_model(make, shape=shape, moves_images=False, examples=4, **options)


def test_the_noise_is_exactly_around_the_shifted_picture():
    net, images, labels = trained()
    slide, noise = Slide(), fl.threat_model(NOISE)
    within = sequence(slide, noise)
    key = fl.Key(seed=0, examples=torch.arange(len(images)))
    points = within.sample(images, key=key)
    problem = fl.pgd(net, images, labels, within=within, steps=5, step_size=0.3, random_start=True)
    climbed = points + 0.4 * within.steepest(torch.randn(points.shape, generator=torch.Generator().manual_seed(0)))
    for at in (points, within.project(climbed, images)):
        shifted, found = slide.decode(at[:, :2], images), within.decode(at, images)
        assert not torch.equal(shifted, images)
        assert ((found - shifted).abs() <= 8 / 255).all()
        assert ((found >= 0) & (found <= 1)).all()
        assert (at[:, :2].abs() <= 1.5).all()
    assert (losses(net, fl.maximize(problem), labels) > losses(net, images, labels)).all()


def test_it_finds_more_than_each_of_its_parts():
    net, images, labels = trained()
    slide, noise = Slide(1.0), fl.threat_model("linf:eps=4/255")
    fooled = {}
    for name, each in (("slide", slide), ("noise", noise), ("both", sequence(slide, noise))):
        problem = fl.pgd(net, images, labels, within=each, steps=20, step_size=0.125 * each.radius)
        fooled[name] = int((net(fl.maximize(problem)).argmax(dim=1) != labels).sum())
    assert fooled["both"] > max(fooled["slide"], fooled["noise"]) + 5
    found = fl.evaluate(net, (images, labels), within=sequence(slide, noise), suite="quick")
    assert int(found.held.sum()) <= len(images) - fooled["both"] + 3


def test_its_gradient_is_that_of_the_sum():
    torch.manual_seed(0)
    center = 0.3 + 0.4 * torch.rand(2, 1, 5, 5, dtype=torch.float64)
    within = sequence(Slide(), fl.threat_model("linf:eps=0.1"))
    points = within.project(0.02 * torch.randn(2, 27, dtype=torch.float64), center).requires_grad_()
    weight = torch.randn(2, 1, 5, 5, dtype=torch.float64)
    (grad,) = torch.autograd.grad((weight * within.decode(points, center)).sum(), points)
    step = 1e-6 * torch.randn(2, 27, dtype=torch.float64)
    rise = (weight * (within.decode(points + step, center) - within.decode(points, center))).sum()
    torch.testing.assert_close(rise, (grad * step).sum(), rtol=1e-4, atol=0)


def test_parts_draw_numbers_of_their_own(images):
    within = sequence("linf:eps=0.1", "linf:eps=0.1")
    drawn = within.sample(0.4 + 0.2 * images, key=fl.Key(seed=3, examples=torch.arange(len(images))))
    first, second = drawn.chunk(2, dim=1)
    assert abs(float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])) < 0.1


def test_variants_of_the_parts_are_all_tried():
    union = fl.threat_model("union:of=linf:eps=0.1+l2:eps=1")
    within = sequence(union, "l1:eps=3", fl.threat_model("union:of=l2:eps=2+l1:eps=1+linf:eps=0.2"))
    assert within.variants == 6
    names = [[type(getattr(part, "inside", part)).__name__ for part in within.at(restart).of] for restart in range(7)]
    assert names[0] == names[6]
    assert names[:6] == [[first, "L1", last] for last in ("L2", "L1", "Linf") for first in ("Linf", "L2")]
    net, images, labels = trained()
    problem = fl.pgd(net, images[:4], labels[:4], within=within, steps=1, step_size=0.5)
    assert len(list(fl.ascend(problem))) == 12


def test_it_trains_a_net_and_follows_its_rows():
    _, images, labels = trained()
    net = fl.build("small_cnn", classes=[*"abcdefghij"], shape=(1, 28, 28), seed=1, mean=0.3, std=0.35)
    inner = fl.Adversary(sequence(Slide(), NOISE), 2, 0.6)
    (epoch,) = fl.train(net, (images, labels), schedule=fl.Schedule(epochs=1, lr=0.05, batch_size=30), inner=inner)
    assert epoch.loss > 0
    sizes = torch.linspace(0.0, 0.3, len(images))
    within = sequence(Slide(10 * sizes), fl.threat_model("linf", eps=sizes / 4))
    net, options = trained()[0], {"steps": 4, "step_size": 0.3, "stop": True}
    whole = fl.maximize(fl.pgd(net, images, labels, within=within, **options))
    some = torch.tensor([50, 7])
    part = fl.maximize(fl.pgd(net, images[some], labels[some], within=within.rows(some), **options))
    torch.testing.assert_close(part, whole[some], atol=1e-5, rtol=0)


def test_it_is_written_as_text_and_refuses_what_it_cannot_read(images):
    within = fl.threat_model("sequential:of=l2:eps=1/2+[linf:eps=8/255,low=0]")
    assert [type(each).__name__ for each in within.of] == ["L2", "Linf"]
    assert repr(within).startswith("Sequential(of=(L2(")
    with pytest.raises(ValueError, match=re.escape("a sequence is made of one threat model or more; got none")):
        sequence()
    with pytest.raises(ValueError, match="must be that of points from start"):
        within.steepest(torch.zeros(2, 5))
    within.start(images)
    assert within.steepest(torch.zeros(2, 128)).shape == (2, 128)
