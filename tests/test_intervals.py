"""Clopper-Pearson bounds against exact binomial tails in rational numbers, and against published values."""

import math
from fractions import Fraction

import pytest
import torch

from featlab.intervals import clopper_pearson_low, incomplete_beta


def tail(k, n, p):
    """Return P(B(n, p) >= k) exactly."""
    p = Fraction(p)
    return sum(math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k, n + 1))


@pytest.mark.parametrize("n", [1, 2, 10, 100])
@pytest.mark.parametrize("alpha", [0.001, 0.025, 0.9])
def test_the_tail_at_the_bound_is_alpha(n, alpha):
    k = torch.arange(1, n + 1, max(1, n // 9))
    for successes, bound in zip(k.tolist(), clopper_pearson_low(k, n, alpha=alpha).tolist()):
        assert float(tail(successes, n, bound)) == pytest.approx(alpha, rel=1e-9)


def test_published_values():
    """Two-sided 95 % intervals for 5 of 10 and 95 of 100: (0.1871, 0.8129) and (0.8872, 0.9836)."""
    assert float(clopper_pearson_low(torch.tensor(5), 10, alpha=0.025)) == pytest.approx(0.1871, abs=5e-5)
    assert float(clopper_pearson_low(torch.tensor(95), 100, alpha=0.025)) == pytest.approx(0.8872, abs=5e-5)
    # The upper end is the lower end of the failures.
    assert 1 - float(clopper_pearson_low(torch.tensor(5), 100, alpha=0.025)) == pytest.approx(0.9836, abs=5e-5)


def test_all_and_none_in_closed_form():
    for n in (1, 7, 1000, 100_000):
        found = clopper_pearson_low(torch.tensor([[0, n]]), n, alpha=0.001)
        assert found.shape == (1, 2)
        assert found[0, 0] == 0
        assert float(found[0, 1]) == pytest.approx(0.001 ** (1 / n), rel=1e-12)


def test_the_bound_grows_with_successes_and_stays_below_their_share():
    k = torch.arange(0, 100_001, 5000)
    found = clopper_pearson_low(k, 100_000, alpha=0.001)
    assert (found.diff() > 0).all()
    assert (found[1:] < k[1:] / 100_000).all()
    assert ((k / 100_000 - found) < 0.006).all()


def test_the_incomplete_beta_function_is_symmetric_and_known_where_it_is_a_power():
    x, a = torch.linspace(0, 1, 21, dtype=torch.float64), torch.tensor(3.5)
    torch.testing.assert_close(incomplete_beta(a, torch.tensor(1.0), x), x**3.5, rtol=1e-12, atol=1e-14)
    b = torch.tensor(0.7)
    both = incomplete_beta(a, b, x) + incomplete_beta(b, a, 1 - x)
    torch.testing.assert_close(both, torch.ones_like(x), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("k", "n", "alpha", "sentence"),
    [(0, 0, 0.5, "trials"), (1, 2, 0.0, "alpha"), (3, 2, 0.5, "between 0 and 2"), (-1, 2, 0.5, "between 0 and 2")],
)
def test_what_has_no_bound_is_refused(k, n, alpha, sentence):
    with pytest.raises(ValueError, match=sentence):
        clopper_pearson_low(torch.tensor([k]), n, alpha=alpha)
