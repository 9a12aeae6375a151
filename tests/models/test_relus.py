"""A unit that is off has no slope, but has one where the ReLU before it is open; its value stays."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import featlab as fl


class Functional(nn.Module):
    """Two ReLUs, called in one of the ways in which nets call them."""

    def __init__(self, relu):
        super().__init__()
        self.relu = relu
        self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)
        with torch.no_grad():
            self.second.bias.fill_(-100)  # All units of the second layer are off.

    def forward(self, images):
        return self.head(self.relu(self.second(self.relu(self.first(images)))))


WAYS = [
    F.relu,
    torch.relu,
    nn.ReLU(),
    nn.ReLU(inplace=True),
    lambda x: x.relu(),
    lambda x: x.relu_(),
    lambda x: F.relu(input=x),
    F.relu6,
    nn.ReLU6(),
    nn.ReLU6(inplace=True),
]


@pytest.mark.parametrize("relu", WAYS)
def test_the_last_relu_passes_and_only_that(relu):
    torch.manual_seed(0)
    model = Functional(relu).eval()
    images = torch.rand(7, 4)
    plain, opened = (fl.Layer(model, "penultimate", pass_through=each) for each in (False, True))
    assert torch.equal(plain(images), opened(images))
    slopes = []
    for extract in (plain, opened):
        points = images.clone().requires_grad_()
        slopes.append(torch.autograd.grad(extract(points).sum(), points)[0])
    assert not slopes[0].any()
    # The first ReLU stays as it is: the slope is that of the second linear layer through the open units of the first.
    on = (model.first(images) > 0).float()
    wanted = (model.second.weight.sum(0) * on) @ model.first.weight
    torch.testing.assert_close(slopes[1], wanted)
    assert not model.head._forward_pre_hooks


def test_a_layer_before_any_relu_has_none_to_open():
    model = Functional(F.relu).eval()
    images = torch.rand(2, 4)
    assert torch.equal(fl.Layer(model, "first", pass_through=True)(images), model.first(images))


def test_by_text():
    model = Functional(F.relu).eval()
    assert fl.extractor(model, "penultimate:pass_through=true").pass_through
    assert not fl.extractor(model, "penultimate").pass_through
