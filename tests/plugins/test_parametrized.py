"""Images as spectra and decorrelated colours: what stands for what, where steps lead, and the task that uses them."""

import pytest
import torch

import featlab as fl
from featlab.testing import check_task, check_threat_model
from featlab_plugins.threat_models.parametrized import amplitudes

NAMES = ["fourier", "decorrelated"]


@pytest.mark.parametrize("shape", [(3, 6, 8), (1, 5, 7)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_they_hold_the_kit(name, shape):
    check_threat_model(lambda: fl.threat_model(name), shape=shape, moves_images=False, examples=4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_start_stands_for_the_centre_also_where_it_is_black_or_white(name, channels):
    torch.manual_seed(0)
    images = torch.rand(4, channels, 9, 12)
    images[0], images[1], images[2, :, ::2] = 0.0, 1.0, 1.0
    for center in (images, images.double()):
        within = fl.threat_model(name)
        found = within.decode(within.start(center), center)
        assert found.dtype == center.dtype
        assert (found - center).abs().max() <= 1e-6
        assert ((found >= 0) & (found <= 1)).all()


def test_colours_are_mixed_as_those_of_natural_images():
    within, grey = fl.threat_model("decorrelated"), torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64)
    assert within.start(grey).abs().max() < 1e-12
    brighter = torch.zeros_like(grey)
    brighter[:, 0] = 1.0
    mixed = fl.ops.imagenet_colours()[:, 0]
    wanted = (mixed.sigmoid() - 1e-3) / (1 - 2e-3)
    torch.testing.assert_close(within.decode(brighter, grey)[0, :, 0, 0], wanted)


@pytest.mark.parametrize("size", [(8, 8), (7, 10)], ids=str)
def test_a_coefficient_is_a_wave_whose_height_falls_with_its_frequency(size):
    """One coefficient moves the image along one cosine; twice the frequency, half the height."""
    height, width = size
    within, grey = fl.threat_model("fourier"), torch.full((1, 1, *size), 0.5, dtype=torch.float64)
    place = torch.arange(width, dtype=torch.float64)
    heights = []
    for frequency in (1, 2):
        points = within.start(grey)
        points[0, 0, 0, frequency, 0] += 0.01
        change = (torch.logit(1e-3 + (1 - 2e-3) * within.decode(points, grey)))[0, 0]
        wave = torch.cos(2 * torch.pi * frequency * place / width)
        torch.testing.assert_close(change, change.max() * wave.expand(height, -1), atol=1e-9, rtol=1e-6)
        heights.append(float(change.max()))
    assert abs(heights[0] / heights[1] - 2) < 1e-6
    full = torch.cat([amplitudes(*size), amplitudes(*size)[:, 1 : width - width // 2].flip(1)], dim=1)
    torch.testing.assert_close(full.square().mean(), torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize("name", NAMES)
def test_random_starts_are_small_and_keyed(name):
    grey = torch.full((6, 3, 16, 16), 0.5)
    within, key = fl.threat_model(name), fl.Key(seed=1, examples=torch.arange(6))
    images = within.decode(within.sample(grey, key=key), grey)
    assert 0.002 < (images - grey).std() < 0.03
    assert not torch.equal(images[0], images[1])
    some = torch.tensor([4, 0])
    torch.testing.assert_close(within.decode(within.sample(grey[some], key=key.rows(some)), grey[some]), images[some])
    wide = fl.threat_model(f"{name}:spread=0")
    assert torch.equal(wide.sample(grey, key=key), wide.start(grey))


def coarse(images):
    """Return the share of the change's power that lies below a quarter of the highest frequency."""
    power = torch.fft.fft2(images - images.mean(dim=(2, 3), keepdim=True)).abs().square()
    along = torch.fft.fftfreq(images.shape[2]).abs() <= 0.125
    low = along[:, None] & along[None, :]
    return power[..., low].sum(dim=(1, 2)) / power.sum(dim=(1, 2, 3))


@pytest.mark.parametrize("name", NAMES)
def test_units_are_visualised_in_them(name):
    arguments = {"channels": [4, 6], "strides": [1, 2]}
    net = fl.build("small_cnn", mean=0.5, std=0.5, classes=["a", "b"], shape=(1, 12, 12), arguments=arguments, seed=1)
    grey, visualize = torch.full((2, 1, 12, 12), 0.4), fl.task("visualize")
    within = fl.threat_model(name)
    check_task(lambda: visualize(net, grey, "logits:1", within=within, noise=0.1, steps=8))
    options = {"noise": 0.02, "steps": 60, "step_size": 1.0}
    found = fl.maximize(visualize(net, grey, "layer2.bn:3", within=within, **options))
    extract = fl.extractor(net, "layer2.bn:3")
    random = extract(torch.rand(100, 1, 12, 12, generator=torch.Generator().manual_seed(0)))
    assert (extract(found) > extract(grey) + 2 * random.std()).all()
    if name == "fourier":
        first, plain = (
            fl.maximize(visualize(net, grey, "layer2.bn:3", within=each, steps=1)) for each in (within, None)
        )
        assert (coarse(first) > 2 * coarse(plain)).all()


@pytest.mark.parametrize("name", NAMES)
def test_they_are_climbed_by_attacks_too(name, linear, middle):
    labels = linear(middle).argmax(dim=1)
    problem = fl.pgd(linear, middle, labels, within=fl.threat_model(name), steps=30, step_size=1.0, stop=True)
    assert (linear(fl.maximize(problem)).argmax(dim=1) != labels).all()


def test_what_does_not_fit_is_refused(images):
    with pytest.raises(ValueError, match=r"spectra need pictures of shape .*, got \(10, 64\)"):
        fl.threat_model("fourier").start(images.flatten(1))
    for name in NAMES:
        with pytest.raises(ValueError, match=r"a number >= 0, got -1\.0"):
            fl.threat_model(f"{name}:spread=-1")
