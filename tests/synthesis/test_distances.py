"""Distances between sets: closed forms, no bias where none is claimed, and intervals that hold the truth."""

import math

import pytest
import torch

import featlab as fl
from featlab.intervals import jackknife
from featlab.synthesis.distances import discrepancy, frechet


def normal(count, width, *, seed, mean=0.0, scale=1.0):
    return mean + scale * torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exactly(rows, mean, covariance):
    """Return the rows moved and stretched so that their moments are exactly these."""
    centred = rows - rows.mean(dim=0)
    own = torch.linalg.cholesky(torch.cov(centred.T))
    return torch.linalg.solve_triangular(own, centred.T, upper=False).T @ torch.linalg.cholesky(covariance).T + mean


def test_frechet_of_commuting_covariances_is_the_closed_form():
    """With shared axes it is |m - m'|^2 + sum (s - s')^2."""
    turn = torch.linalg.qr(normal(5, 5, seed=1)).Q
    sizes = torch.tensor([[1.0, 4.0, 9.0, 0.25, 1e-6], [4.0, 1.0, 9.0, 1e-6, 0.25]], dtype=torch.float64)
    mean = normal(1, 5, seed=2)[0]
    first, second = (
        exactly(normal(50, 5, seed=3 + k), k * mean, turn @ size.diag() @ turn.T) for k, size in enumerate(sizes)
    )
    expected = mean.square().sum() + (sizes[0].sqrt() - sizes[1].sqrt()).square().sum()
    assert fl.frechet_distance(first, second).value == pytest.approx(float(expected), rel=1e-10)


def test_frechet_is_that_of_the_definition_where_covariances_do_not_commute():
    first, second = normal(40, 4, seed=0), normal(60, 4, seed=1, mean=0.3) @ normal(4, 4, seed=2)
    covariances = torch.cov(first.T), torch.cov(second.T)
    # The eigenvalues of S S' are those of S^(1/2) S' S^(1/2).
    cross = torch.linalg.eigvals(covariances[0] @ covariances[1]).real.sqrt().sum()
    apart = (first.mean(dim=0) - second.mean(dim=0)).square().sum()
    expected = apart + covariances[0].trace() + covariances[1].trace() - 2 * cross
    assert fl.frechet_distance(first, second).value == pytest.approx(float(expected), rel=1e-10)
    assert fl.frechet_distance(second, first).value == pytest.approx(float(expected), rel=1e-10)


def test_frechet_of_a_set_with_itself_is_zero_with_dead_features_too():
    rows = normal(30, 6, seed=0)
    rows[:, 4:] = 0
    assert fl.frechet_distance(rows, rows).value == pytest.approx(0, abs=1e-12)


def test_no_interval_of_a_squared_distance_goes_below_zero():
    found = fl.frechet_distance(normal(30, 3, seed=0), normal(30, 3, seed=1))
    assert found.low == 0.0
    assert found.high > 2 * found.value  # to both sides by as much, before it is cut


def test_kernel_distance_is_the_mean_over_pairs():
    first, second = normal(4, 3, seed=0), normal(5, 3, seed=1)

    def kernel(a, b):
        return (float(a @ b) / 3 + 1) ** 3

    def within(rows):
        return [kernel(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]

    across = [kernel(a, b) for a in first for b in second]
    expected = sum(within(first)) / 12 + sum(within(second)) / 20 - 2 * sum(across) / 20
    assert fl.kernel_distance(first, second, groups=2).value == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_of_one_distribution_is_zero_on_average_and_frechet_is_not():
    """The first is unbiased, the second says itself that it is not."""
    pairs = [(normal(20, 4, seed=2 * k), normal(20, 4, seed=2 * k + 1)) for k in range(300)]
    kernels = torch.tensor([discrepancy(*pair) for pair in pairs])
    assert abs(float(kernels.mean())) < 4 * float(kernels.std()) / math.sqrt(len(pairs))
    assert torch.tensor([frechet(*pair) for pair in pairs]).mean() > 0.3


@pytest.mark.parametrize("distance", [fl.frechet_distance, fl.kernel_distance])
def test_distances_grow_with_the_shift_and_tell_shape_errors(distance):
    real = normal(200, 3, seed=0)
    near, far = (distance(normal(200, 3, seed=1, mean=shift), real) for shift in (0.3, 1.0))
    assert near.low < near.value < near.high < far.low
    with pytest.raises(ValueError, match="same features"):
        distance(real, real[:, :2])
    with pytest.raises(ValueError, match="all finite"):
        distance(real, torch.full_like(real, torch.nan))


def test_too_few_examples_for_a_covariance_are_refused():
    with pytest.raises(ValueError, match=r"8 features needs more examples .* got 8 and 30"):
        fl.frechet_distance(normal(8, 8, seed=0), normal(30, 8, seed=1))


def test_jackknife_of_a_difference_of_means_is_its_standard_error():
    """With one row per group it is the textbook error, to the bit of rounding."""
    first, second = normal(40, 1, seed=0), normal(30, 1, seed=1, scale=2.0)[:, :]
    found = jackknife(lambda a, b: float(a.mean() - b.mean()), (first, second[:30]), groups=30, seed=0)
    whole = jackknife(lambda a, b: float(a.mean() - b.mean()), (first[:30], second), groups=30, seed=0)
    error = math.sqrt(float(first[:30].var()) / 30 + float(second.var()) / 30)
    assert whole.high - whole.value == pytest.approx(1.959964 * error, rel=1e-9)
    assert found.value == pytest.approx(float(first.mean() - second.mean()))
    with pytest.raises(ValueError, match="groups must be from 2 to the 30"):
        jackknife(lambda a, b: 0.0, (first, second), groups=31, seed=0)


@pytest.mark.parametrize("statistic", [frechet, discrepancy])
def test_jackknife_intervals_are_as_wide_as_the_draws_scatter(statistic):
    """Over new draws, the spread of the distance is what one draw's interval says, within a third."""
    draws = [(normal(120, 3, seed=2 * k, mean=0.5), normal(120, 3, seed=2 * k + 1)) for k in range(60)]
    scatter = float(torch.tensor([statistic(*pair) for pair in draws]).std())
    said = [jackknife(statistic, pair, groups=20, seed=0) for pair in draws[:15]]
    width = sum(each.high - each.low for each in said) / len(said) / (2 * 1.959964)
    assert width == pytest.approx(scatter, rel=0.34)
