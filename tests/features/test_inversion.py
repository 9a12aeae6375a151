"""Inversions and how near they come: on nets whose inversion is known, and on the two nets that are shipped."""

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.features.inversion import MEASURES, noise, others, resampled


@pytest.fixture(scope="module")
def pictures():
    return fl.load_data("fashion-mini", train=False, count=12)


def reads(weight):
    """A net whose penultimate layer is weight @ pixels."""
    body = nn.Linear(784, len(weight), bias=False)
    body.weight = nn.Parameter(weight)
    return nn.Sequential(nn.Flatten(), body, nn.Linear(len(weight), 3)).eval()


def test_where_the_representation_is_the_image_the_inversion_is_too(pictures):
    found = fl.inversion_distances(reads(torch.eye(784)), pictures, steps=150, step_size=0.2)
    assert found.near["representation"].max() < 0.05
    assert found.near["psnr"].min() > 25
    assert (found.near["psnr"] > found.baseline["psnr"] + 10).all()
    assert (found.near["ssim"] > found.baseline["ssim"] + 0.3).all()
    torch.testing.assert_close(found.near["psnr"], fl.psnr(found.found, pictures[0]).double())


def test_what_the_representation_does_not_read_stays_as_it_was(pictures):
    """A net that sees the upper half alone leaves the start's lower half where it was."""
    found = fl.inversion_distances(reads(torch.eye(784)[:392]), pictures, steps=150, step_size=0.2)
    assert found.near["representation"].max() < 0.05
    torch.testing.assert_close(found.found[:, :, 14:], found.start[:, :, 14:])
    assert (found.found[:, :, :14] - pictures[0][:, :, :14]).abs().max() < 0.2


def test_starts_are_other_images_or_noise_whatever_the_batches(pictures):
    net = reads(torch.eye(784))
    whole = fl.inversion_distances(net, pictures, steps=3)
    parts = fl.inversion_distances(net, pictures, steps=3, batch_size=5)
    torch.testing.assert_close(whole.found, parts.found)
    torch.testing.assert_close(whole.near["haarpsi"], parts.near["haarpsi"])
    assert not (whole.start == pictures[0]).flatten(1).all(dim=1).any()
    assert all(any(torch.equal(start, image) for image in pictures[0]) for start in whole.start)
    from_noise = fl.inversion_distances(net, pictures, steps=3, start="noise")
    assert abs(float(from_noise.start.mean()) - 0.5) < 0.01
    assert abs(float(from_noise.start.std()) - 0.05) < 0.01
    assert torch.equal(from_noise.baseline["psnr"], whole.baseline["psnr"])
    index = torch.arange(4, 8)
    assert torch.equal(others(index, 12, seed=3), others(torch.arange(12), 12, seed=3)[4:8])
    assert torch.equal(
        noise(pictures[0][4:8], seed=3, examples=index), noise(pictures[0], seed=3, examples=torch.arange(12))[4:8]
    )
    assert not torch.equal(others(index, 1000, seed=3), others(index, 1000, seed=4))


def test_an_image_is_never_its_own_start():
    rows = torch.arange(7)
    drawn = torch.stack([others(rows, 7, seed=seed) for seed in range(60)])
    assert not (drawn == rows).any()
    assert all(set(drawn[:, row].tolist()) == set(range(7)) - {row} for row in range(7))


def test_means_have_bootstrap_intervals(pictures):
    found = fl.inversion_distances(reads(torch.eye(784)[:100]), pictures, steps=2)
    means = found.means()
    assert set(means) == set(found.baseline_means()) == set(MEASURES)
    assert all(each.low < each.value < each.high for each in means.values())
    scores = torch.randn(400, generator=torch.Generator().manual_seed(0))
    made = resampled(scores, resamples=2000, seed=0)
    assert made.high - made.low == pytest.approx(2 * 1.96 * float(scores.std()) / 20, rel=0.1)


def test_small_and_strange_images_have_the_measures_that_they_can():
    net = nn.Sequential(nn.Flatten(), nn.Linear(2 * 64, 4), nn.ReLU(), nn.Linear(4, 3)).eval()
    images, labels = torch.rand(3, 2, 8, 8), torch.arange(3)
    assert set(fl.inversion_distances(net, (images, labels), steps=1).near) == {"representation"}
    net[1] = nn.Linear(64, 4)
    assert set(fl.inversion_distances(net, (images[:, :1], labels), steps=1).near) == {"representation", "psnr"}
    with pytest.raises(ValueError, match="at least two of them; got 1"):
        fl.inversion_distances(net, (images[:1, :1], labels[:1]))
    with pytest.raises(ValueError, match="'other' or 'noise'"):
        fl.inversion_distances(net, (images[:, :1], labels), start="grey")


@pytest.mark.slow
@pytest.mark.parametrize("start", ["other", "noise"])
def test_the_robust_net_is_inverted_nearer_to_the_image(start):
    """On 50 test images, by measures that know no net, with intervals apart; both inversions succeed."""
    data = fl.open_data("fashion-mini", train=False).subset(50)
    standard, robust = (
        fl.inversion_distances(fl.load(f"zoo:fashion-{name}", device="cpu"), data, steps=40, step_size=0.5, start=start)
        for name in ("standard", "robust")
    )
    first, second = standard.means(), robust.means()
    for name in ("haarpsi", "ssim", "psnr"):
        assert first[name].high < second[name].low, name
    for each in (standard, robust):
        assert each.means()["representation"].high < 0.5 * each.baseline_means()["representation"].low
    if start == "other":
        assert second["haarpsi"].low > robust.baseline_means()["haarpsi"].high
