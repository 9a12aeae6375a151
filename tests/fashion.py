"""A small net that knows its training images, in two seconds, and a set whose points are no images."""

import functools
from dataclasses import dataclass

import torch
from torch import nn

import featlab as fl
from featlab.datasets.fashion_mini import open_fashion_mini


def fitted(images, labels, *, hidden=64, steps=60, count=60):
    """Return a net that was fitted to the images, those of them that it gets right, and their labels."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), hidden), nn.ReLU(), nn.Linear(hidden, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    net.eval()
    right = net(images).argmax(dim=1) == labels
    return net, images[right][:count], labels[right][:count]


@functools.cache
def trained(count=60):
    """Return a net, images that it gets right, and their labels."""
    return fitted(*open_fashion_mini(train=True).subset(1000).tensors(), count=count)


def losses(net, images, labels):
    with torch.no_grad():
        return nn.functional.cross_entropy(net(images), labels, reduction="none")


@dataclass(frozen=True, eq=False)
class Slide(fl.ThreatModel):
    """Pictures shifted by up to `most` pixels each way; the points are the shifts, (batch, 2)."""

    most: float | torch.Tensor = 1.5

    def _most(self):
        return self.most if isinstance(self.most, float) else self.most[:, None]

    @property
    def radius(self):
        return self.most

    def start(self, center):
        return center.new_zeros(len(center), 2)

    def project(self, points, center):
        return points.clamp(-self._most(), self._most())

    def steepest(self, grad):
        return grad.sign()

    def sample(self, center, *, key):
        half = torch.full_like(center.flatten(1)[:, :2], 0.5)
        unit = fl.ops.linf_sample(half, eps=0.5, seed=key.seed, examples=key.examples, restart=key.restart)
        return (2 * unit - 1) * self._most()

    def decode(self, points, center):
        height, width = center.shape[2:]
        size = points.new_tensor([width, height])
        turn = torch.eye(2, dtype=points.dtype).expand(len(points), 2, 2)
        grid = nn.functional.affine_grid(
            torch.cat([turn, (2 * points / size)[:, :, None]], dim=2), list(center.shape), align_corners=False
        )
        return nn.functional.grid_sample(center, grid, align_corners=False).clamp(0, 1)

    def rows(self, index):
        return self if isinstance(self.most, float) else Slide(self.most[index])
