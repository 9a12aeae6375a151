"""Randomised smoothing against a linear model, whose smoothed radius is its distance to the boundary."""

import math

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.intervals import clopper_pearson_low
from featlab.smoothing import chi_squared, gaussian

SIGMA = 0.25


@pytest.fixture
def case(linear, middle):
    """Return a linear model in float32, images, its answers, and the distance of each image to the boundary."""
    distance = (linear.value(middle) / linear.weight.norm()).abs().detach()
    return linear.float(), (middle.float(), linear(middle).argmax(dim=1)), distance


def test_the_radius_of_a_linear_model_is_its_distance(case):
    """Phi^-1(P(w.(x + s z) + b > 0)) s = |w.x + b| / |w|: certified radii lie below it, and not far."""
    model, data, distance = case
    n = 2000
    found = fl.certify(model, data, sigma=SIGMA, n=n, alpha=0.001)
    sure, clear = found.classes >= 0, distance > 0.1
    assert (found.classes == data[1])[clear].all()
    assert (found.radius <= distance)[sure].all()
    assert (found.radius[~sure] == 0).all()
    # What the bound gives for the count that is expected, six of its deviations up and down.
    share = torch.special.ndtr(distance / SIGMA)[clear]
    for deviations, compare in ((-6, torch.ge), (6, torch.le)):
        count = (n * share + deviations * (n * share * (1 - share)).sqrt()).round().clamp(0, n).long()
        bound = SIGMA * torch.special.ndtri(clopper_pearson_low(count, n, alpha=0.001))
        assert compare(found.radius[clear], bound).all()


def test_certified_accuracy_falls_with_the_radius_and_wrong_answers_do_not_count(case):
    model, (images, labels), _ = case
    right = fl.certify(model, (images, labels), sigma=SIGMA, n=300)
    values = [left.accuracy for _, left in right.curve()]
    assert values == sorted(values, reverse=True)
    assert right.accuracy(right.largest() + 1e-6).accuracy == 0
    wrong = fl.certify(model, (images, 1 - labels), sigma=SIGMA, n=300)
    assert wrong.accuracy().accuracy == 0
    assert torch.equal(wrong.radius, right.radius)
    record = right.record()
    assert record["accuracy"]["accuracy"] == values[0]
    assert record["largest_radius"] == pytest.approx(
        SIGMA * float(torch.special.ndtri(torch.tensor(0.001 ** (1 / 300))))
    )


def test_neither_the_batch_nor_the_neighbours_matter(case):
    model, (images, labels), _ = case
    whole = fl.certify(model, (images, labels), sigma=SIGMA, n=200)
    parts = fl.certify(model, (images, labels), sigma=SIGMA, n=200, batch_size=77)
    some = fl.certify(model, (images[:9], labels[:9]), sigma=SIGMA, n=200)
    assert torch.equal(whole.radius, parts.radius)
    assert torch.equal(whole.radius[:9], some.radius)
    other = fl.certify(model, (images, labels), sigma=SIGMA, n=200, seed=1)
    assert not torch.equal(whole.radius, other.radius)


def test_a_model_that_is_always_sure_gets_the_largest_radius(images):
    class Constant(nn.Module):
        def forward(self, images):
            return torch.tensor([[0.0, 1.0, 0.0]]).expand(len(images), 3)

    found = fl.certify(Constant(), (images, torch.ones(10, dtype=torch.int64)), sigma=0.5, n=100, alpha=0.01)
    wanted = 0.5 * float(torch.special.ndtri(torch.tensor(0.01, dtype=torch.float64) ** 0.01))
    assert found.radius.tolist() == pytest.approx([wanted] * 10)
    assert found.largest() == pytest.approx(wanted)
    assert found.accuracy(found.largest()).accuracy == 1.0


def test_a_coin_abstains(images):
    class Coin(nn.Module):
        def forward(self, images):
            side = images.flatten(1).sum(dim=1).mul(1e4).sin()
            return torch.stack([side, -side], dim=1)

    found = fl.certify(Coin(), (images, torch.zeros(10, dtype=torch.int64)), sigma=0.5, n=400)
    assert (found.classes == -1).all()
    assert found.record()["abstained"]["accuracy"] == 1.0


def test_selection_and_estimation_see_other_noise(images):
    assert not torch.equal(*(gaussian(images, examples=torch.arange(10), seed=0, restart=n) for n in (0, 1)))


def test_the_noise_is_standard_normal():
    noise = gaussian(torch.zeros(20_000, 6, dtype=torch.float64), examples=torch.arange(20_000), seed=3)
    assert noise.mean(dim=0).abs().max() < 0.03
    torch.testing.assert_close(noise.T.cov(), torch.eye(6, dtype=torch.float64), rtol=0, atol=0.04)
    ordered = noise.flatten().sort().values
    share = (torch.arange(len(ordered)) + 0.5) / len(ordered)
    assert (torch.special.ndtr(ordered) - share).abs().max() < 1.6 / math.sqrt(len(ordered))  # Kolmogorov and Smirnov.
    # The length is independent of the direction: of |z| and z_1 / |z| neither tells of the other.
    length, first = noise.norm(dim=1), noise[:, 0] / noise.norm(dim=1)
    assert torch.stack([length, first.abs()]).corrcoef()[0, 1].abs() < 0.03


@pytest.mark.parametrize("freedom", [1, 2, 3, 12, 784, 150_528])
def test_quantiles_of_chi_squared(freedom):
    uniform = torch.tensor([2.0**-53, 1e-6, 0.1, 0.5, 0.9, 1 - 1e-6, 1 - 2.0**-50], dtype=torch.float64)
    found = chi_squared(uniform, freedom=freedom)
    back = torch.special.gammainc(torch.full_like(found, freedom / 2), found / 2)
    torch.testing.assert_close(back, uniform, rtol=0, atol=1e-6)
    assert found.isfinite().all()
    assert (found.diff() > 0).all()
    if freedom == 2:
        torch.testing.assert_close(found[1:-1], -2 * torch.log1p(-uniform[1:-1]), rtol=1e-6, atol=0)


def test_a_certification_that_was_stopped_goes_on_and_alpha_is_free(case, tmp_path):
    model, data, _ = case
    options = {"sigma": SIGMA, "n": 200, "checkpoint": tmp_path / "counts.safetensors", "batch_size": 1000}
    whole = fl.certify(model, data, sigma=SIGMA, n=200)

    def stop(stage, done, total):
        if done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fl.certify(model, data, **options, progress=stop)
    assert torch.equal(fl.certify(model, data, **options).radius, whole.radius)
    again = fl.certify(model, data, **options, alpha=0.05)
    assert (again.radius >= whole.radius).all()
    with pytest.raises(ValueError, match="sigma was"):
        fl.certify(model, data, **{**options, "sigma": 0.5})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sigma": 0.0}, "sigma must be positive"),
        ({"sigma": 0.1, "n": 0}, "n0 and n"),
        ({"sigma": 0.1, "alpha": 1.0}, "alpha is the probability"),
    ],
    ids=["sigma", "n", "alpha"],
)
def test_what_cannot_be_certified_is_refused(case, options, sentence):
    model, data, _ = case
    with pytest.raises(ValueError, match=sentence):
        fl.certify(model, data, **options)
