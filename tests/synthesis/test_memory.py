"""Copies of the training data are found out."""

import torch

import featlab as fl
from featlab.datasets.fashion_mini import open_fashion_mini


def test_a_copy_is_at_distance_zero_and_a_held_out_image_is_not():
    shown = open_fashion_mini(train=True).subset(100)
    images, _ = shown.tensors()
    held, _ = open_fashion_mini(train=False).subset(10).tensors()
    found = fl.nearest_training(torch.cat([images[7:9], (images[3:4] + 0.1).clamp(0, 1), held]), shown, batch_size=30)
    assert float(found[:2].max()) < 1e-6
    assert 0 < found[2] < 0.11
    by_hand = (held[:, None] - images[None]).square().flatten(2).mean(dim=2).sqrt().amin(dim=1)
    torch.testing.assert_close(found[3:], by_hand.double(), rtol=1e-4, atol=1e-5)
