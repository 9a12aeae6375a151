"""Layers, flips, spectra, interference and probes on cases whose answer is known."""

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.features.flips import flips
from featlab.features.layers import layer_robustness
from featlab.features.probe import probe, sparse_path
from featlab.features.spectrum import interference, radial_spectrum


def test_layer_robustness_of_a_linear_layer():
    """|A d| is largest along A's first singular direction: R = eps sigma_1 / mean distance."""
    images = 0.5 + 0.05 * torch.randn(60, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = layer_robustness(
        lambda x: x @ matrix.T,
        (images, torch.zeros(60, dtype=torch.int64)),
        within=fl.threat_model("l2:eps=0.05"),
        steps=400,
    )
    features = images @ matrix.T
    apart = torch.pdist(features).mean()
    wanted = 0.05 * float(torch.linalg.matrix_norm(matrix, 2) / apart)
    assert found.value == pytest.approx(wanted, rel=1e-3)
    assert found.low < found.value < found.high
    few = layer_robustness(
        lambda x: x @ matrix.T,
        (images[:3], torch.zeros(3, dtype=torch.int64)),
        within=fl.threat_model("l2:eps=0.05"),
        steps=20,
    )
    assert 0 < few.low <= few.value <= few.high < float("inf")
    with pytest.raises(ValueError, match="two of them"):
        layer_robustness(
            lambda x: x, (images[:1], torch.zeros(1, dtype=torch.int64)), within=fl.threat_model("linf:eps=0.1")
        )
    with pytest.raises(ValueError, match="no unit"):
        constant = (images, torch.zeros(60, dtype=torch.int64))
        layer_robustness(lambda x: 0 * x, constant, within=fl.threat_model("linf:eps=0.1"))


def test_contributions_sum_to_the_change_of_the_lead():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    images = torch.rand(30, 1, 4, 4)
    with torch.no_grad():
        model[3].bias -= model(images).mean(0)  # All classes are answers.
    changed = fl.maximize(
        fl.pgd(model, images, model(images).argmax(1), within=fl.threat_model("linf:eps=0.3"), steps=10, step_size=0.1)
    )
    found = flips(model, images, changed)
    assert bool(found.flipped().any())
    with torch.no_grad():
        first, second = model(images), model(changed)
    rows = torch.arange(30)
    rival = second.scatter(1, found.before[:, None], -torch.inf).argmax(1)
    gain = (second[rows, rival] - first[rows, rival]) - (second[rows, found.before] - first[rows, found.before])
    torch.testing.assert_close(found.contributions.sum(1), gain, rtol=1e-4, atol=1e-5)
    assert torch.equal(found.after, second.argmax(1))
    shares = found.by_group(["even", "odd"] * 4)
    assert shares["even"] + shares["odd"] == pytest.approx(1)
    unit, added = found.strongest(0, 1)[0]
    assert added == float(found.contributions[0].max())
    assert found.contributions[0, unit] == found.contributions[0].max()
    with pytest.raises(ValueError, match="one group for each of 8"):
        found.by_group(["all"])
    with pytest.raises(ValueError, match="one shape"):
        flips(model, images, changed[:3])


def test_spectra_of_waves():
    at = torch.arange(16.0)
    constant = torch.ones(1, 1, 16, 16)
    slow = torch.cos(2 * torch.pi * at / 16).expand(1, 1, 16, 16)
    fast = (-1.0) ** (at[:, None] + at)[None, None]
    found = radial_spectrum(torch.cat([constant, slow, fast, 0 * fast]), bands=4)
    torch.testing.assert_close(found[:, 0], torch.tensor([1.0, 1, 0, 0], dtype=torch.float64))
    torch.testing.assert_close(found[:, 3], torch.tensor([0.0, 0, 1, 0], dtype=torch.float64))
    noise = radial_spectrum(torch.randn(50, 3, 16, 16, generator=torch.Generator().manual_seed(0)), bands=4)
    torch.testing.assert_close(noise.sum(1), torch.ones(50, dtype=torch.float64))
    assert radial_spectrum(torch.zeros(0, 3, 16, 16), bands=4).shape == (0, 4)
    with pytest.raises(ValueError, match="batch, channels"):
        radial_spectrum(torch.zeros(2, 5))


def test_interference_of_known_directions():
    orthogonal = interference(torch.eye(4) * 3)
    assert orthogonal["mean_squared_cosine"] == 0
    assert orthogonal["dimensions_per_feature"] == pytest.approx(1)
    pairs = interference(torch.cat([torch.eye(3), -torch.eye(3), torch.zeros(1, 3)]))
    assert pairs["dimensions_per_feature"] == pytest.approx(0.5)  # Antipodal pairs share a dimension.
    crowd = interference(torch.randn(400, 20, generator=torch.Generator().manual_seed(0)))
    assert crowd["mean_squared_cosine"] == pytest.approx(1 / 20, rel=0.05)


def planted(count, *, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=generator)
    features = torch.randn(count, 20, generator=generator)
    features[:, :3] += 3 * nn.functional.one_hot(labels, 3)
    return features, labels


def test_a_sparse_layer_finds_the_planted_features_first():
    features, labels = planted(600, seed=0)
    path = sparse_path(features, labels, count=8, smallest=1e-2)
    assert path[0].used().sum() == 0
    assert [int(each.used().sum()) for each in path] == sorted(int(each.used().sum()) for each in path)
    first = next(each for each in path if int(each.used().sum()) >= 3)
    assert set((first.weight != 0).any(dim=0).nonzero()[:, 0].tolist()) <= {0, 1, 2}
    tests, truth = planted(600, seed=1)
    dense = probe(features, labels)
    assert dense.accuracy(tests, truth).accuracy > 0.9
    assert path[5].accuracy(tests, truth).accuracy > 0.9


def test_the_probe_is_at_its_minimum():
    features, labels = planted(200, seed=2)
    found = probe(features, labels, ridge=0.1, sweeps=3000)
    weight, bias = (each.clone().requires_grad_() for each in (found.weight, found.bias))
    scaled = (features.double() - found.mean) / found.std
    loss = nn.functional.cross_entropy(scaled @ weight.T + bias, labels) + 0.05 * weight.square().sum()
    assert max(float(each.abs().max()) for each in torch.autograd.grad(loss, (weight, bias))) < 1e-8


def test_leakage_is_what_chosen_features_learn():
    features, labels = planted(400, seed=3)
    tests, truth = planted(400, seed=4)
    robust = probe(features[:, :3], labels).accuracy(tests[:, :3], truth)
    other = probe(features[:, 3:], labels).accuracy(tests[:, 3:], truth)
    assert robust.low > 0.85
    assert other.accuracy < 0.45
    with pytest.raises(ValueError, match="two classes"):
        probe(features, torch.zeros(400, dtype=torch.int64))
