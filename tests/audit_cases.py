"""Tiny nets and data for audits, whose classes are told apart by where the light is."""

from dataclasses import replace

import torch
from torch import nn

import featlab as fl
from featlab.audit import Limits, Subject

SMALL = Limits(images=12, units=4, seen=2, inversions=6, saliency=4, mistakes=2, train=24, radii=8)


def lights(count, *, classes=3, shape=(1, 8, 8), seed=0):
    """Images with noise, and a bright block whose place is the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    images = 0.3 * torch.rand(count, *shape, generator=generator)
    for image, label in zip(images, labels.tolist()):
        left = label * shape[2] // classes
        image[:, 2:6, left : left + 2] += 0.6
    names = tuple("abcdefghij"[:classes])
    return fl.Dataset(pixels=images, labels=labels, classes=names, name="lights", split="test")


def trained(*, classes=3, shape=(1, 8, 8), net=None):
    """A classifier that learned the lights."""
    torch.manual_seed(0)
    width = 6
    net = net or nn.Sequential(
        nn.Conv2d(shape[0], width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width * ((shape[1] - 3) // 2 + 1) * ((shape[2] - 3) // 2 + 1), 12),
        nn.ReLU(),
        nn.Linear(12, classes),
    )
    model = fl.Classifier(net, mean=0.3, std=0.3, classes=tuple("abcdefghij"[:classes]), shape=shape, name="tiny")
    images, labels = lights(60, classes=classes, shape=shape, seed=1).tensors()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    for parameter in model.parameters():
        parameter.grad = None
    return model.eval()


class Constant(nn.Module):
    """A net that answers the same to everything, as its head is zero, and stays so: no attack changes an image."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(64, 3)
        nn.init.zeros_(self.inner.weight)

    def forward(self, images):
        return 0 * self.inner(images.flatten(1))


def subject_of(model, *, specs=("l2:eps=0.5",), test=None, train=None, limits=SMALL, **options):
    shape, classes = model.shape, len(model.classes)
    test = test or lights(24, classes=classes, shape=shape, seed=2)
    train = train or replace(lights(30, classes=classes, shape=shape, seed=3), split="train")
    within = tuple(map(fl.threat_model, specs))
    return Subject(model, "torchvision:tiny", test, train, specs, within, limits=limits, suite="quick", **options)
