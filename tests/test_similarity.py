"""Measures of likeness beside values that other programs gave, and what must hold for any pictures."""

import math

import pytest
import torch

import featlab as fl
from featlab.datasets.fashion_mini import open_fashion_mini

MEASURES = {"psnr": fl.psnr, "ssim": fl.ssim, "haarpsi": fl.haarpsi, "gmsd": fl.gmsd}
PERFECT = {"psnr": math.inf, "ssim": 1.0, "haarpsi": 1.0, "gmsd": 0.0}
EVERY = pytest.mark.parametrize("name", list(MEASURES))

# Noise, blur, and less contrast, of the pictures below: what piq 0.8.0 gives, for SSIM without its shrinking.
KNOWN = {
    ("ssim", 1, 28, 28): (0.8729388919, 0.9143283550, 0.9940424427),
    ("ssim", 3, 33, 41): (0.8731849604, 0.8544752137, 0.9940117137),
    ("haarpsi", 1, 28, 28): (0.8077138559, 0.7543126264, 0.9930942062),
    ("haarpsi", 3, 28, 28): (0.8630616384, 0.8203717028, 0.9926547537),
    ("haarpsi", 3, 33, 41): (0.8979706943, 0.8247179980, 0.9928105688),
    ("gmsd", 1, 28, 28): (0.0429035199, 0.0596922291, 0.0021442822),
    ("gmsd", 3, 28, 28): (0.0377826002, 0.0778513018, 0.0022302980),
    ("gmsd", 3, 33, 41): (0.0402126610, 0.0718606762, 0.0022183421),
}


def pairs(channels, height, width):
    """Return three pictures beside what noise, a blur and a loss of contrast make of each."""
    c = torch.arange(channels, dtype=torch.float64)[:, None, None]
    i, j = torch.arange(height, dtype=torch.float64)[:, None], torch.arange(width, dtype=torch.float64)
    base = 0.5 + 0.3 * torch.sin(i / 3 + c) * torch.cos(j / 4 - c) + 0.2 * torch.sin(i * j / 20)
    noise = 0.5 + 0.5 * torch.sin(37 * (i + 1) * (j + 2) + 11 * c)
    blurred = (base + base.roll(1, 1) + base.roll(1, 2)) / 3
    changed = torch.stack([0.8 * base + 0.2 * noise, blurred, 0.9 * base + 0.05])
    return base.expand_as(changed).clamp(0, 1), changed.clamp(0, 1)


@pytest.mark.parametrize("case", list(KNOWN), ids=str)
def test_values_are_those_of_another_program(case):
    name, *shape = case
    expected = torch.tensor(KNOWN[case], dtype=torch.float64)
    torch.testing.assert_close(MEASURES[name](*pairs(*shape)), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 33, 41)])
def test_ssim_and_psnr_are_those_of_scikit_image(shape):
    metrics = pytest.importorskip("skimage.metrics")
    images, others = pairs(*shape)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    for first, second, similar, noisy in zip(
        images, others, fl.ssim(images, others), fl.psnr(images, others), strict=True
    ):
        x, y = first.numpy(), second.numpy()
        expected = metrics.structural_similarity(x, y, channel_axis=0, **options)
        assert float(similar) == pytest.approx(expected, abs=1e-9)
        assert float(noisy) == pytest.approx(metrics.peak_signal_noise_ratio(x, y, data_range=1.0), abs=1e-9)


def test_psnr_of_a_known_error():
    images = torch.full((1, 3, 4, 5), 0.25)
    assert fl.psnr(images, images + 0.1).item() == pytest.approx(20.0, abs=1e-4)


@EVERY
@pytest.mark.parametrize("channels", [1, 3])
def test_equal_pictures_are_perfectly_alike_black_and_flat_ones_too(name, channels):
    images = torch.stack([pairs(channels, 28, 28)[0][0].float(), *(torch.full((channels, 28, 28), v) for v in (0, 1))])
    expected = torch.full((3,), PERFECT[name])
    torch.testing.assert_close(MEASURES[name](images, images), expected, rtol=0, atol=2e-4)


@EVERY
def test_measures_are_symmetric_and_each_pair_stands_alone(name):
    images, others = pairs(3, 32, 30)
    found = MEASURES[name](images, others)
    torch.testing.assert_close(MEASURES[name](others, images), found)
    torch.testing.assert_close(MEASURES[name](images[1:2], others[1:2]), found[1:2])


@EVERY
def test_more_noise_is_less_alike_on_real_pictures(name):
    images, _ = open_fashion_mini(train=False).subset(16).tensors()
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    means = torch.stack(
        [MEASURES[name](images, (images + size * noise).clamp(0, 1)).mean() for size in (0.03, 0.1, 0.3)]
    )
    assert (means.diff() * (1 if name == "gmsd" else -1) > 0).all()


@EVERY
def test_float32_and_half_are_near_float64(name):
    images, others = pairs(3, 28, 28)
    exact = MEASURES[name](images, others)
    single = MEASURES[name](images.float(), others.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-5)
    halves = images.half(), others.half()
    torch.testing.assert_close(MEASURES[name](*halves), MEASURES[name](*(each.float() for each in halves)))


@EVERY
@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_are_those_of_the_value(name, channels):
    images, others = pairs(channels, 16, 17)
    others = (0.5 * images + 0.5 * others).clamp(0.05, 0.95).requires_grad_()
    assert torch.autograd.gradcheck(lambda given: MEASURES[name](images, given), others, fast_mode=True)


@pytest.mark.parametrize("name", ["ssim", "haarpsi", "gmsd"])
def test_gradients_are_finite_where_pictures_are_equal(name):
    images = torch.stack([pairs(1, 28, 28)[0][0], torch.zeros(1, 28, 28, dtype=torch.float64)]).requires_grad_()
    (grad,) = torch.autograd.grad(MEASURES[name](images, images.detach()).sum(), images)
    assert torch.isfinite(grad).all()


@EVERY
def test_what_cannot_be_compared_is_refused(name):
    measure, images = MEASURES[name], torch.rand(2, 1, 28, 28)
    with pytest.raises(ValueError, match=r"one shape"):
        measure(images, images[:1])
    with pytest.raises(ValueError, match=r"one shape"):
        measure(images.expand(-1, 2, -1, -1), images.expand(-1, 2, -1, -1))
    for wrong in (images + 0.5, images - 0.5, images * torch.nan, (255 * images).to(torch.uint8)):
        with pytest.raises(ValueError, match=r"floats in \[0, 1\].*clamp or scale"):
            measure(images, wrong)


@pytest.mark.parametrize(("name", "least"), [("ssim", 11), ("haarpsi", 16), ("gmsd", 6)])
def test_pictures_that_are_too_small_are_refused(name, least):
    images = torch.rand(1, 1, least, least)
    assert torch.isfinite(MEASURES[name](images, 1 - images)).all()
    with pytest.raises(ValueError, match=f"{least} x {least} pixels or more"):
        MEASURES[name](images[..., 1:], images[..., 1:])
