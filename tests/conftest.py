"""What many tests use: a linear model with known answers, a tiny net, images."""

import pytest
import torch
from torch import nn

from known import Linear


@pytest.fixture
def linear():
    torch.manual_seed(3)
    weight = torch.randn(12, dtype=torch.float64)
    return Linear(weight, -(weight * 0.5).sum())


@pytest.fixture
def middle():
    """Images so far from 0 and 1 that small balls never meet the box."""
    torch.manual_seed(4)
    return 0.3 + 0.4 * torch.rand(64, 3, 2, 2, dtype=torch.float64)


@pytest.fixture
def net():
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(4 * 36, 3)
    )


@pytest.fixture
def images():
    torch.manual_seed(6)
    return torch.rand(10, 1, 8, 8)


@pytest.fixture
def labels():
    return torch.arange(10) % 3
