"""Directions, dictionaries and kernel features, on data whose structure is known."""

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.features.dictionary import load_dictionary, sparse_dictionary
from featlab.features.directions import principal_directions
from featlab.features.kernel import kernel_features, slopes
from featlab.testing import check_extractor


def plain(images):
    return images.flatten(1)


def labelled(images):
    return images, torch.zeros(len(images), dtype=torch.int64)


def test_principal_directions_of_a_stretched_cloud():
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64)).Q
    sizes = torch.tensor([0.05, 0.02, 0.01, 0.004, 0.001], dtype=torch.float64)
    images = 0.5 + torch.randn(4000, 5, generator=generator, dtype=torch.float64) * sizes @ axes.T
    found = principal_directions(plain, labelled(images), count=3)
    assert (found.weight @ axes[:, :3]).abs().diagonal().min() > 0.99
    values = found(images)
    torch.testing.assert_close(values.mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)
    assert (torch.corrcoef(values.T) - torch.eye(3)).abs().max() < 1e-6
    assert float(found.share[0]) == pytest.approx(0.05**2 / float(sizes.square().sum()), rel=0.1)
    with pytest.raises(ValueError, match="5 principal directions"):
        principal_directions(plain, labelled(images), count=6)


def test_a_dictionary_finds_sparse_causes(tmp_path):
    """Each example is a sum of two of sixteen directions in twelve dimensions."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(16, 12, generator=generator)
    truth = truth / truth.norm(dim=1, keepdim=True)
    codes = torch.zeros(3000, 16)
    for _ in range(2):
        chosen = torch.randint(16, (3000, 1), generator=generator)
        codes.scatter_(1, chosen, torch.rand(3000, 1, generator=generator) + 0.5)
    images = ((codes @ truth) * 0.1 + 0.5).clamp(0, 1)
    found, fit = sparse_dictionary(plain, labelled(images), width=20, sparsity=0.3, epochs=60, lr=1e-2)
    assert fit.unexplained < 0.2
    assert fit.active < 6
    near = (found.autoencoder.decoder @ truth.T).amax(dim=0)
    assert float((near > 0.9).double().mean()) > 0.7
    torch.testing.assert_close(found.autoencoder.decoder.norm(dim=1), torch.ones(20))
    path = tmp_path / "codes.safetensors"
    found.save(path)
    assert torch.equal(load_dictionary(plain, path)(images[:9]), found(images[:9]))
    check_extractor(lambda: found, images=images[:8])
    with pytest.raises(ValueError, match="nothing to write"):
        sparse_dictionary(plain, labelled(torch.full((10, 3), 0.5)), width=4)
    other = tmp_path / "other.safetensors"
    fl.save(fl.build("small_cnn", mean=[0.5], std=[0.5], classes=["a", "b"], shape=(1, 8, 8)), other)
    with pytest.raises(ValueError, match="no dictionary"):
        load_dictionary(plain, other)


def test_kernel_features_sum_to_the_kernel_regression():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 2)).double().eval()
    images = torch.rand(12, 6, dtype=torch.float64)
    labels = torch.arange(12) % 2
    features = kernel_features(model, images, labels, unit=1, count=12, floor=0.0)
    # On the images themselves the features sum to the targets, and one feature is one eigenvector's part of them.
    torch.testing.assert_close(features(images).sum(1), 2.0 * labels.double() - 1)
    rows = slopes(model, images, 1)
    other = torch.rand(5, 6, dtype=torch.float64)
    wanted = slopes(model, other, 1) @ rows.T @ torch.linalg.solve(rows @ rows.T, 2.0 * labels.double() - 1)
    torch.testing.assert_close(features(other).sum(1), wanted)
    check_extractor(lambda: features, images=other)
    assert (features.eigenvalues.diff() <= 0).all()
    with pytest.raises(ValueError, match="eigenvalues above the floor"):
        kernel_features(model, images, labels, count=13)


def test_slopes_are_the_parameters_gradient():
    model = fl.build("small_cnn", mean=[0.5], std=[0.5], classes=["a", "b"], shape=(1, 8, 8)).eval()
    images = torch.rand(3, 1, 8, 8)
    rows = slopes(model, images, 1)
    grads = torch.autograd.grad(model(images[:1])[0, 1], list(model.parameters()))
    torch.testing.assert_close(rows[0], torch.cat([grad.flatten() for grad in grads]), rtol=1e-3, atol=1e-5)
