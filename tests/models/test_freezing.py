"""`frozen` leaves everything as it was found, per module and per parameter."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from featlab.models import frozen, small_cnn


def snapshot(model):
    return (
        [(name, module.training) for name, module in model.named_modules()],
        [(name, parameter.requires_grad) for name, parameter in model.named_parameters()],
    )


def mixed():
    """A net in training whose second batch normalisation is frozen, and whose first convolution does not learn."""
    net = small_cnn(channels=(2, 3), strides=(2, 2), size=8)
    net.layer2.bn.eval()
    net.layer1.conv.weight.requires_grad_(False)
    return net


def test_inside_nothing_trains_and_nothing_learns():
    net = mixed()
    with frozen(net):
        assert not any(module.training for module in net.modules())
        assert not any(parameter.requires_grad for parameter in net.parameters())


@settings(deadline=None)
@given(
    training=st.lists(st.booleans(), min_size=11, max_size=11),
    learning=st.lists(st.booleans(), min_size=8, max_size=8),
    fails=st.booleans(),
)
def test_any_mixture_is_restored_even_on_exceptions(training, learning, fails):
    net = small_cnn(channels=(1, 1), strides=(2, 2), size=4)
    modules, parameters = list(net.modules()), list(net.parameters())
    assert (len(modules), len(parameters)) == (11, 8)
    for module, flag in zip(modules, training, strict=True):
        module.training = flag
    for parameter, flag in zip(parameters, learning, strict=True):
        parameter.requires_grad_(flag)
    before = snapshot(net)
    try:
        with frozen(net):
            if fails:
                raise KeyError("inside")
    except KeyError:
        assert fails
    assert snapshot(net) == before


def test_nested_blocks_restore_only_at_the_outer_end():
    net = mixed()
    before = snapshot(net)
    with frozen(net):
        with frozen(net), frozen(net.layer1):
            pass
        assert not any(module.training for module in net.modules())
        assert not any(parameter.requires_grad for parameter in net.parameters())
    assert snapshot(net) == before


def test_a_part_is_frozen_without_the_rest():
    net = mixed()
    with frozen(net.layer1):
        assert net.layer2.conv.training
        assert net.layer2.conv.weight.requires_grad
        assert not net.layer1.bn.training


def test_gradients_buffers_random_state_and_grad_mode_are_untouched():
    net = mixed()
    net(torch.rand(4, 1, 8, 8)).sum().backward()
    gradients = {name: each.grad.clone() for name, each in net.named_parameters() if each.grad is not None}
    buffers = {name: each.clone() for name, each in net.named_buffers()}
    state = torch.get_rng_state()
    with torch.no_grad(), frozen(net):
        assert not torch.is_grad_enabled()
    with frozen(net):
        assert torch.is_grad_enabled()
        net(torch.rand(4, 1, 8, 8, generator=torch.Generator()))
    assert gradients.keys() == {name for name, each in net.named_parameters() if each.grad is not None}
    assert len(gradients) > 3
    for name, each in net.named_parameters():
        assert name not in gradients or torch.equal(each.grad, gradients[name])
    assert all(torch.equal(each, buffers[name]) for name, each in net.named_buffers())
    assert torch.equal(torch.get_rng_state(), state)


def test_an_overridden_train_is_not_called():
    class Stubborn(nn.Linear):
        def train(self, mode=True):
            raise AssertionError("frozen must not call train()")

    with frozen(Stubborn(2, 2)) as nothing:
        assert nothing is None


def test_gradients_still_reach_the_images():
    net = mixed()
    images = torch.rand(2, 1, 8, 8, requires_grad=True)
    with frozen(net):
        scores = net(images)
    scores.sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("value", [lambda images: images, None])
def test_what_is_no_module_has_nothing_to_freeze(value):
    with frozen(value):
        pass
