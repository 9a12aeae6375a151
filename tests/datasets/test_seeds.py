"""Seeds of classes: the statistics of the data, draws that are each example's own, and what cannot be fitted."""

import pytest
import torch

import featlab as fl


def cloud(count=4000):
    """Two classes of 2 x 4 pixels, one bright to the left and correlated, one dark."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    common, own = torch.randn(count, 1, 1, 1, generator=draw), torch.randn(count, 1, 2, 4, generator=draw)
    mean = torch.where(labels.bool().reshape(-1, 1, 1, 1), 0.3, torch.tensor([0.8, 0.6, 0.5, 0.4]))
    return (mean + 0.05 * common + 0.03 * own).clamp(0, 1), labels


def test_means_and_covariances_are_those_of_the_classes_whatever_the_batches():
    images, labels = cloud()
    whole, parts = (fl.fit_seeds((images, labels), batch_size=size) for size in (4000, 7))
    for label in (0, 1):
        rows = images[labels == label].flatten(1).double()
        torch.testing.assert_close(whole.means[label], rows.mean(0))
        covariance = torch.cov(rows.T, correction=0) + 1e-4 * torch.eye(8, dtype=torch.float64)
        torch.testing.assert_close(whole.factors[label] @ whole.factors[label].T, covariance)
    torch.testing.assert_close(parts.factors, whole.factors)
    assert whole.counts.tolist() == [2000, 2000]


def test_draws_have_the_statistics_and_are_each_examples_own():
    images, labels = cloud()
    seeds = fl.fit_seeds((images, labels))
    asked = torch.arange(4000) % 2
    drawn = seeds(asked, key=fl.Key(seed=1, examples=torch.arange(4000)))
    assert drawn.shape == (4000, 1, 2, 4)
    assert drawn.dtype == torch.float32
    for label in (0, 1):
        mine, theirs = drawn[asked == label].flatten(1), images[labels == label].flatten(1)
        torch.testing.assert_close(mine.mean(0), theirs.mean(0), rtol=0, atol=0.01)
        torch.testing.assert_close(torch.cov(mine.T), torch.cov(theirs.T), rtol=0, atol=5e-4)
    few = seeds(asked[[9, 4]], key=fl.Key(seed=1, examples=torch.tensor([9, 4])))
    assert torch.equal(few, drawn[[9, 4]])
    assert not torch.equal(few, seeds(asked[[9, 4]], key=fl.Key(seed=1, examples=torch.tensor([9, 4]), restart=1)))


@pytest.mark.parametrize("grain", [2, 3])
def test_grain_is_the_side_of_the_blocks_also_where_they_do_not_fit(grain):
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(50, 2, 5, 7, generator=draw)
    seeds = fl.fit_seeds((images, torch.zeros(50, dtype=torch.int64)), grain=grain)
    found = seeds(torch.zeros(3, dtype=torch.int64), key=fl.Key(seed=0, examples=torch.arange(3)))
    assert found.shape == (3, 2, 5, 7)
    for top in range(0, 5, grain):
        for left in range(0, 7, grain):
            block = found[:, :, top : top + grain, left : left + grain].flatten(2)
            assert (block == block[..., :1]).all()
    corner = images[:, :, -(5 % grain) :, -(7 % grain) :].double().mean(dim=(2, 3)).mean(0)
    torch.testing.assert_close(seeds.means[0].reshape(2, -1)[:, -1], corner)  # The smaller block has its own mean.


def test_what_cannot_be_fitted_or_drawn_is_refused():
    images, labels = cloud(20)
    seeds = fl.fit_seeds((images, 2 * labels))
    with pytest.raises(ValueError, match="classes 0, 2; got 1, 5"):
        seeds(torch.tensor([1, 5]), key=fl.Key(seed=0, examples=torch.arange(2)))
    with pytest.raises(ValueError, match="grain >= 1"):
        fl.fit_seeds((images, labels), grain=0)
    with pytest.raises(ValueError, match="larger grain than 1"):
        fl.fit_seeds((torch.zeros(2, 3, 200, 200), torch.tensor([0, 1])))
    with pytest.raises(ValueError, match="pictures of shape"):
        fl.fit_seeds((torch.zeros(2, 5), torch.tensor([0, 1])))
