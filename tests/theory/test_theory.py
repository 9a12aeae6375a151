"""The formulas of the papers against numbers: minimisation, simulation, and the figures that were published."""

import math

import pytest
import torch

import featlab as fl
from featlab.theory import gaussian, linear
from featlab.theory.schmidt import Samples
from featlab.theory.tsipras import AtOdds

SPECTRUM = torch.tensor([0.05, 0.1, 0.3, 1.0, 2.0, 5.0], dtype=torch.float64)


def test_theorem_1_against_simulation_and_ascent():
    closed = gaussian.adversarial_excess(SPECTRUM, 40.0)
    assert gaussian.simulated_excess(SPECTRUM, 40.0) == pytest.approx(closed, rel=0.01)
    # The adversary's move is where its gain, loss less penalty, has no slope.
    offset = torch.randn(6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    move = (offset / (40.0 * SPECTRUM - 1)).requires_grad_()
    gain = 0.5 * ((offset + move).square() / SPECTRUM).sum() - 20.0 * move.square().sum()
    (slope,) = torch.autograd.grad(gain, move)
    assert slope.abs().max() < 1e-12


def test_theorem_1_the_isotropic_metric_loses_least():
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(2000, 6, generator=generator, dtype=torch.float64) + 0.05
    shares = shares / shares.sum(dim=1, keepdim=True) * 6
    even = gaussian.adversarial_excess(torch.ones(6), 60.0)
    assert all(gaussian.adversarial_excess(each, 60.0) > even for each in shares if float(each.min()) * 60 > 1)


@pytest.mark.parametrize("dual", [100.0, 30.0, 3.0])
def test_theorem_2_is_the_minimum(dual):
    learned = gaussian.robust_spectrum(SPECTRUM, dual)
    # Golden-section search on each eigenvalue's own loss, without the formula.
    low, high = torch.full_like(SPECTRUM, 1 / dual * (1 + 1e-9)), torch.full_like(SPECTRUM, 50.0)
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(120):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        better = gaussian.robust_loss(SPECTRUM, left, dual) < gaussian.robust_loss(SPECTRUM, right, dual)
        low, high = torch.where(better, low, left), torch.where(better, right, high)
    torch.testing.assert_close(learned, (low + high) / 2, rtol=1e-6, atol=0)


def test_theorem_2_radius_and_dual_belong_together():
    for dual, eps in ((100.0, 0.053), (30.0, 0.149), (10.0, 0.352)):
        assert gaussian.eps_of(SPECTRUM, dual) == pytest.approx(eps, abs=1e-3)
        assert gaussian.dual_of(SPECTRUM, gaussian.eps_of(SPECTRUM, dual)) == pytest.approx(dual, rel=1e-9)
    conditions = [
        float(each.max() / each.min()) for each in (gaussian.robust_spectrum(SPECTRUM, d) for d in (100, 30, 10))
    ]
    assert conditions == pytest.approx([73.2, 47.7, 26.0], abs=0.1)


def test_theorem_3_robust_gradients_point_to_the_other_class():
    def cosine(mean, spectrum):
        return float(torch.nn.functional.cosine_similarity(mean, mean / spectrum, dim=0))

    before = 0.0
    for spectrum in (SPECTRUM, gaussian.robust_spectrum(SPECTRUM, 30), gaussian.robust_spectrum(SPECTRUM, 3)):
        least = gaussian.alignment(spectrum)
        assert cosine(gaussian.least_aligned(spectrum), spectrum) == pytest.approx(least, abs=1e-12)
        means = torch.randn(5000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        assert all(cosine(mean, spectrum) >= least - 1e-12 for mean in means)
        assert least > before
        before = least
    assert gaussian.alignment(SPECTRUM) == pytest.approx(0.1980, abs=1e-4)


def test_two_classes_of_tsipras():
    data = AtOdds(dimension=1000, p=0.95, eta=4 / math.sqrt(1000))
    eps = 2 * data.eta
    assert data.mean_accuracy() == pytest.approx(0.99997, abs=1e-5)
    assert data.mean_accuracy(eps=eps) == pytest.approx(3.2e-5, rel=0.02)
    assert data.mean_accuracy(eps=eps) <= data.bound(data.mean_accuracy()) == pytest.approx(6.0e-4, rel=0.02)
    assert data.strong_accuracy(eps=eps) == 0.95
    points, y = AtOdds(dimension=100, p=0.9, eta=0.1).sample(20_000)
    small = AtOdds(dimension=100, p=0.9, eta=0.1)
    assert float((points[:, 0] == y).double().mean()) == pytest.approx(0.9, abs=0.01)
    right = (y * points[:, 1:].mean(dim=1) > 0).double().mean()
    assert float(right) == pytest.approx(small.mean_accuracy(), abs=0.01)
    fooled = (y * (points[:, 1:] - 0.15 * y[:, None]).mean(dim=1) > 0).double().mean()
    assert float(fooled) == pytest.approx(small.mean_accuracy(eps=0.15), abs=0.01)


def test_samples_of_schmidt():
    table = {1: (0.843, 0.164, 0.0015), 10: (0.9986, 0.844, 0.165), 30: (1.0, 0.997, 0.787), 100: (1.0, 1.0, 0.9985)}
    data = Samples(dimension=10_000)
    for count, wanted in table.items():
        found = [data.accuracy(count, eps=eps) for eps in (0.0, 0.25, 0.5)]
        assert found == pytest.approx(list(wanted), abs=0.012)


@pytest.mark.parametrize(("norm", "spec"), [("l2", "l2"), ("linf", "linf")])
def test_linear_usefulness_is_what_the_measure_measures(norm, spec):
    """The formula and `fl.usefulness` on a sample of the same data agree as well as the sample allows."""
    generator = torch.Generator().manual_seed(0)
    mean, spread = torch.tensor([0.06, 0.02, 0.0], dtype=torch.float64), torch.tensor([1e-3, 4e-4, 1e-3])
    labels = torch.arange(4000) % 2
    noise = torch.randn(4000, 3, generator=generator, dtype=torch.float64) * spread.double().sqrt()
    images = 0.5 + noise + (2.0 * labels - 1)[:, None] * mean
    weight = torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64)
    found = fl.usefulness(
        lambda x: x @ weight[:, None],
        (images, labels),
        within=fl.threat_model(spec, eps=0.01),
        steps=2,
        relative_step=1.0,
    )
    for interval, eps in ((found.rho, 0.0), (found.gamma, 0.01)):
        truth = linear.robust_usefulness(weight, mean, spread.double(), eps=eps, norm=norm)
        assert float(interval.low[1, 0]) <= truth <= float(interval.high[1, 0])
    right = (2.0 * labels - 1) * ((images - 0.5) @ weight) > 0.01 * torch.linalg.vector_norm(weight, linear.DUAL[norm])
    wanted = linear.accuracy(weight, mean, spread.double(), eps=0.01, norm=norm)
    assert float(right.double().mean()) == pytest.approx(wanted, abs=0.02)


def test_bad_values_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="unbounded"):
        gaussian.adversarial_excess(SPECTRUM, 10.0)
    with pytest.raises(ValueError, match="eigenvalues > 0"):
        gaussian.robust_spectrum(torch.tensor([1.0, -1.0]), 3.0)
    with pytest.raises(ValueError, match="dual variable"):
        gaussian.robust_spectrum(SPECTRUM, 0.0)
    with pytest.raises(ValueError, match="eps must be > 0"):
        gaussian.dual_of(SPECTRUM, 0.0)
    with pytest.raises(ValueError, match="p in"):
        AtOdds(dimension=10, p=1.0, eta=0.1)
    with pytest.raises(ValueError, match="dimension"):
        Samples(dimension=0)
