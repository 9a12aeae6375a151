"""Saliency on nets whose maps are known, and the qualities on maps that are known to be good or bad."""

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.features import quality
from featlab.features.saliency import METHODS, edges, grad_cam, integrated_gradients, random, slope, smoothgrad
from featlab.features.saliency_table import saliency_table
from featlab.intervals import Mean

SHAPE = (2, 8, 8)


class Linear(nn.Module):
    """z = W x, so that the gradient is a row of W."""

    def __init__(self, classes=3, seed=0):
        super().__init__()
        self.head = nn.Linear(2 * 64, classes)
        with torch.no_grad():
            self.head.weight.copy_(torch.randn(classes, 128, generator=torch.Generator().manual_seed(seed)))
            self.head.bias.zero_()

    def forward(self, images):
        return self.head(images.flatten(1))


class Corner(nn.Module):
    """A classifier that looks at the upper left quarter alone."""

    def forward(self, images):
        seen = images[:, :, :4, :4].mean(dim=(1, 2, 3))
        return 8 * torch.stack([seen, 1 - seen], dim=1)


def pictures(count=6):
    images = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1))
    return images, torch.arange(count) % 2


def small_net():
    return fl.build("small_cnn", mean=[0.5] * 2, std=[0.25] * 2, classes=["a", "b"], shape=(2, 16, 16))


def test_gradients_of_a_linear_net_are_its_weights():
    model, (images, labels) = Linear(), pictures()
    rows = model.head.weight.detach()[labels].reshape(images.shape)
    for method in (slope, smoothgrad):
        torch.testing.assert_close(method(model, images, labels), rows)
    torch.testing.assert_close(integrated_gradients(model, images, labels), images * rows)


def test_integrated_gradients_sum_to_the_difference_of_the_logits():
    model = small_net().eval()
    images, labels = torch.rand(4, 2, 16, 16), torch.tensor([0, 1, 0, 1])
    maps = integrated_gradients(model, images, labels, baseline=0.5, count=512)
    with torch.no_grad():
        gap = model(images) - model(torch.full_like(images, 0.5))
    torch.testing.assert_close(maps.flatten(1).sum(1), gap.gather(1, labels[:, None])[:, 0], rtol=0.02, atol=2e-3)


def test_grad_cam_points_at_what_the_class_is_made_of():
    """A 1x1 convolution, the mean over positions, a head: the map is relu(sum_k w_k A_k) / positions."""
    torch.manual_seed(0)
    body, head = nn.Conv2d(2, 5, 1), nn.Linear(5, 3)
    model = nn.Sequential(body, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()
    images, labels = torch.rand(3, *SHAPE), torch.tensor([2, 0, 1])
    found = grad_cam(model, images, labels, layer="1")
    maps = body(images).relu()
    wanted = (head.weight[labels][:, :, None, None] / 64 * maps).sum(1, keepdim=True).relu()
    torch.testing.assert_close(found, wanted.expand_as(images))
    assert torch.equal(grad_cam(model, images, labels), found)  # The last map is found by itself.
    assert not body._forward_hooks
    assert not model[1]._forward_hooks
    with pytest.raises(ValueError, match="no layer 'nowhere'"):
        grad_cam(model, images, labels, layer="nowhere")
    with pytest.raises(ValueError, match="gives a map"):
        grad_cam(model, images, labels, layer="4")
    assert not model[4]._forward_hooks
    with pytest.raises(ValueError, match=r"nn\.Module"):
        grad_cam(lambda x: x, images, labels)


def test_edges_see_edges_and_random_sees_nothing():
    images = torch.zeros(1, 1, 8, 8)
    images[..., 4:] = 1
    found = edges(None, images, torch.zeros(1, dtype=torch.int64))
    torch.testing.assert_close(found[0, 0, 4], torch.tensor([0, 0, 0, 0.5, 0.5, 0, 0, 0]))
    again = random(None, images, torch.zeros(1, dtype=torch.int64))
    assert torch.equal(again, random(None, images * 0.3, torch.zeros(1, dtype=torch.int64)))


def oracle(images):
    """Return the map that points where `Corner` looks, and the one that points everywhere else."""
    maps = torch.zeros_like(images)
    maps[:, :, :4, :4] = 1
    return maps, 1 - maps


def test_deletion_insertion_and_road_tell_a_true_map_from_a_false_one():
    model, (images, _) = Corner(), pictures()
    images = images * 0.2
    images[:, :, :4, :4] += 0.8
    labels = torch.zeros(len(images), dtype=torch.int64)
    true, false = oracle(images)
    for baseline in ("black", "blurred"):
        areas = [
            [
                quality.deletion(model, images, labels, maps, baseline=baseline, kept=kept).area()
                for maps in (true, false)
            ]
            for kept in (False, True)
        ]
        assert (areas[0][0] < areas[0][1]).all()
        assert (areas[1][0] > areas[1][1]).all()
    curve = quality.deletion(model, images, labels, true)
    # A quarter of the pixels is all that counts: after 30 % the answer is that of a black image.
    torch.testing.assert_close(curve.values[:, 3:], curve.values[:, -1:].expand(-1, 8))
    assert (quality.road(model, images, labels, true, shares=(0.2,)) > 0.01).all()
    assert (quality.road(model, images, labels, false, shares=(0.2,)) <= 0.01).all()


def test_imputation_solves_its_linear_system():
    images = torch.linspace(0, 1, 12)[None, None, None].expand(1, 1, 12, 12).contiguous()
    gone = torch.zeros(1, 1, 12, 12, dtype=torch.bool)
    gone[..., 3:9, 3:9] = True
    # A ramp is its own weighted mean, so that is what the hole must become.
    found = quality.filled(images * ~gone, gone, noise=0.0)
    torch.testing.assert_close(found, images, rtol=0, atol=1e-4)
    everything = quality.filled(images, torch.ones_like(gone), noise=0.0)
    assert torch.isfinite(everything).all()


def test_infidelity_of_the_gradient_of_a_linear_net_is_nothing():
    model, (images, labels) = Linear(), pictures()
    assert quality.infidelity(model, images, labels, slope(model, images, labels)).max() < 1e-6
    assert quality.infidelity(model, images, labels, random(model, images, labels)).min() > 0.5
    assert quality.infidelity(model, images, labels, torch.zeros_like(images)).min() == 1


def test_sensitivity_and_randomisation():
    model, (images, labels) = Linear(), pictures()
    assert quality.max_sensitivity(slope, model, images, labels).max() == 0
    assert quality.max_sensitivity(edges, model, images, labels).min() > 0
    assert quality.max_sensitivity(lambda m, x, y: 0 * x, model, images, labels).isnan().all()
    assert quality.randomisation(edges, model, images, labels).min() == pytest.approx(1)
    assert quality.randomisation(slope, model, images, labels).abs().max() < 0.35
    before = model.head.weight.clone()
    made = quality.shuffled(model)
    assert torch.equal(model.head.weight, before)
    assert torch.equal(made.head.weight.flatten().sort().values, before.flatten().sort().values)
    assert not torch.equal(made.head.weight, before)


def test_alignment_with_images_and_classes():
    images, labels = pictures()
    assert quality.alignment(-2 * images, images).min() == pytest.approx(1)
    means = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(5))
    towards = means[labels] - images
    assert quality.class_alignment(towards, images, labels, means).min() == pytest.approx(1)
    assert quality.class_alignment(-towards, images, labels, means).max() == pytest.approx(-1)


def test_the_table_has_every_method_and_quality():
    model = small_net().eval()
    images, labels = torch.rand(4, 2, 16, 16), torch.tensor([0, 1, 0, 1])
    table = saliency_table(model, images, labels, means=torch.rand(2, 2, 16, 16))
    assert set(table) == set(METHODS)
    assert all(len(row) == 8 for row in table.values())
    gradient = table["gradient"]["alignment"]
    assert gradient.low <= gradient.value <= gradient.high
    assert gradient.n == 4
    assert Mean.of(torch.tensor([1.0, torch.nan])).n == 1
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        saliency_table(model, images * 3, labels)
