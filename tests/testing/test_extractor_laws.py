"""Broken extractors, each caught by the name of the law that it breaks."""

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.testing import EXTRACTOR_LAWS, check_extractor, judge_extractor, name_of, text_of


@pytest.fixture
def pictures():
    return torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def hooked(net):
    """Leave a hook behind each time that it is made."""
    net.register_forward_hook(lambda *_: None)
    return net.forward


def switching(net):
    def extract(x):
        net.eval()
        return net(x)

    return extract


def learning(net):
    def extract(x):
        features = net(x)
        features.sum().backward(retain_graph=True)
        return features

    return extract


def thawed(net):
    def extract(x):
        for parameter in net.parameters():
            parameter.requires_grad_(False)
        return net(x)

    return extract


def counting(net):
    """A batch norm in training mode keeps count of what it sees."""
    return net.forward


def once(net):
    made = iter(range(100))
    scale = next(made)

    def extract(x):
        return (scale + next(made)) * x.flatten(1)

    return extract


BROKEN = [
    ("features-shape", lambda net: lambda x: x),
    ("features-shape", lambda net: lambda x: x.flatten(1)[:1]),
    ("features-shape", lambda net: lambda x: (x.flatten(1) * 9).long()),
    ("features-finite", lambda net: lambda x: x.flatten(1) / 0),
    ("arguments-unchanged", lambda net: lambda x: x.mul_(0.5).flatten(1)),
    ("deterministic", lambda net: lambda x: x.flatten(1) + torch.rand(())),
    ("deterministic", once),
    ("model-kept", hooked),
    ("model-kept", switching),
    ("model-kept", learning),
    ("model-kept", thawed),
    ("model-kept", counting),
    ("examples-apart", lambda net: lambda x: x.flatten(1) - 0.5 * x.flatten(1).mean(dim=0)),
    ("examples-apart", lambda net: lambda x: x.flatten(1) + x.mean(dim=0).sum() - x.mean(dim=0).sum().detach()),
    ("features-gradient", lambda net: lambda x: x.flatten(1).detach()),
    ("features-gradient", lambda net: lambda x: x.flatten(1).detach() * torch.ones(1, requires_grad=True)),
    ("features-gradient", lambda net: lambda x: 0 * x.flatten(1)),
    ("features-gradient", lambda net: lambda x: (x.flatten(1) - x.flatten(1).detach()).sqrt()),
    ("layouts", lambda net: lambda x: x.view(len(x), -1)),
    ("layouts", lambda net: lambda x: torch.as_strided(x, (len(x), 36), (108, 1)) + 0 * x.flatten(1)[:, :36]),
]


@pytest.mark.parametrize(("law", "make"), BROKEN, ids=[f"{n}-{law}" for n, (law, _) in enumerate(BROKEN)])
def test_a_broken_extractor_is_caught_by_the_name_of_its_law(law, make, pictures):
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 3)).eval()
    with pytest.raises(AssertionError, match=rf"^{law}: "):
        check_extractor(lambda: make(net), images=pictures, model=net)


def test_every_law_is_broken_by_some_extractor():
    assert {law for law, _ in BROKEN} == {name_of(law) for law in EXTRACTOR_LAWS}
    assert all(text_of(law).endswith(".") for law in EXTRACTOR_LAWS)


def test_featlabs_own_leave_the_model_as_it_was(pictures):
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 3)).train()
    check_extractor(lambda: fl.extractor(net, "penultimate"), images=pictures, model=net)
    assert net[0].training
    assert net[0].num_batches_tracked == 0


def test_without_a_model_that_law_is_not_asked(pictures):
    verdicts = judge_extractor(lambda: lambda x: x.flatten(1), images=pictures)
    assert {each.law: each.outcome for each in verdicts}["model-kept"] == "skip"
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        judge_extractor(lambda: None, images=pictures[:1])
