"""Which layers carry style: the last of each size of maps, in nets of several kinds."""

import pytest
import torch

import featlab as fl
from featlab_plugins.tasks.stylize import maps_of, stages


def test_a_resnet_gives_its_stages():
    model = fl.build("resnet18", mean=0.5, std=0.5, classes="ab", shape=(3, 32, 32), seed=0).eval()
    found = stages(maps_of(model, torch.rand(1, 3, 32, 32)))
    assert found[-3:] == ["layer2", "layer3", "layer4"]
    assert len(found) == 4


def test_a_net_in_one_sequence_is_read_inside_it():
    blocks = [layer for width in (3, 4, 5, 6) for layer in (torch.nn.Conv2d(width, width + 1, 3, padding=1),
              torch.nn.ReLU(), torch.nn.MaxPool2d(2))]  # fmt: skip
    net = torch.nn.Sequential()
    net.features = torch.nn.Sequential(*blocks)
    net.head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(7 * 4, 2))
    known = maps_of(net, torch.rand(1, 3, 32, 32))
    assert stages(known) == ["features.1", "features.4", "features.7", "features.10", "features.11"]


def test_layers_that_run_twice_and_nets_without_maps_have_none():
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.relu = torch.nn.Conv2d(3, 3, 3), torch.nn.ReLU()

        def forward(self, images):
            return self.relu(self.first(self.relu(images))).mean(dim=(2, 3))

    assert list(maps_of(Twice(), torch.rand(1, 3, 8, 8))) == ["first"]
    with pytest.raises(ValueError, match="no layer of this model has any"):
        maps_of(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)), torch.rand(1, 3, 2, 2))
