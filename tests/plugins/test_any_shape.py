"""Pixel balls are for any numbers in [0, 1]: signals over time, and tables, are attacked inside their sets."""

import pytest
import torch
from torch import nn

import featlab as fl


def signals():
    """Waves of two frequencies, and a net that tells them apart."""
    torch.manual_seed(0)
    time, labels = torch.arange(40) / 40, torch.arange(80) % 2
    phase = torch.rand(80, 1, 1)
    wave = torch.sin(2 * torch.pi * ((3 + 2 * labels)[:, None, None] * time + phase))
    images = 0.5 + 0.12 * wave + 0.02 * torch.randn(80, 1, 40)
    net = nn.Sequential(nn.Conv1d(1, 8, 9), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(32, 2))
    return net, images, labels


def table():
    """Rows of twelve numbers, and a net that asks whether the first six are larger."""
    torch.manual_seed(1)
    rows = torch.rand(80, 12)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2)), rows, (rows[:, :6].sum(1) > 3).long()


def fitted(net, images, labels):
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    right = net(images).argmax(dim=1) == labels
    assert right.double().mean() > 0.9
    return net.eval(), images[right], labels[right]


def half(shape):
    return (torch.arange(torch.Size(shape).numel()) % 2).reshape(shape).float()


SETS = {
    "linf": (lambda shape: fl.threat_model("linf", eps=0.1), lambda change: change.abs().amax(1) <= 0.1),
    "l2": (lambda shape: fl.threat_model("l2", eps=0.5), lambda change: change.norm(dim=1) <= 0.5),
    "l1": (lambda shape: fl.threat_model("l1", eps=2.0), lambda change: change.abs().sum(1) <= 2),
    "l0": (lambda shape: fl.threat_model("l0", count=4), lambda change: (change != 0).sum(1) <= 4),
    "l0-pixel": (lambda shape: fl.threat_model("l0:count=4,per=pixel"), lambda change: (change != 0).sum(1) <= 4),
    "box": (lambda shape: fl.threat_model("box"), lambda change: change.abs().amax(1) <= 1),
    "masked": (
        lambda shape: fl.threat_model("masked", inside=fl.threat_model("linf", eps=0.3), mask=half(shape)),
        lambda change: ~(change[:, ::2] != 0).any(1),
    ),
    "union": (
        lambda shape: fl.threat_model("union:of=linf:eps=0.1+l2:eps=0.5"),
        lambda change: (change.abs().amax(1) <= 0.1) | (change.norm(dim=1) <= 0.5),
    ),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("make", [signals, table])
def test_signals_and_tables_are_attacked(make, name):
    net, images, labels = fitted(*make())
    within, inside = SETS[name][0](images.shape[1:]), SETS[name][1]
    problem = fl.pgd(net, images, labels, within=within, steps=20, step_size=0.15 * within.radius)
    found = fl.maximize(problem)
    assert found.shape == images.shape
    assert ((found >= 0) & (found <= 1)).all()
    assert inside((found.double() - images.double()).flatten(1)).all()
    fooled = int((net(found).argmax(dim=1) != labels).sum())
    random = within.at(0).sample(images, key=fl.Key(seed=0, examples=torch.arange(len(images))))
    assert fooled > 0.2 * len(images)
    if name != "box":
        assert fooled > int((net(random).argmax(dim=1) != labels).sum())
    report = fl.evaluate(net, (images, labels), within=within, suite="quick")
    assert report.robust.accuracy < 0.85
