"""Usefulness and robust usefulness, against closed forms and on planted data."""

import pytest
import torch

import featlab as fl
from featlab.data import as_data
from featlab.features.extremes import extremes, read

from known import SIGMA, pixels, planted


def standardised(values):
    return (values - values.mean(0)) / values.std(0, correction=0)


@pytest.mark.parametrize(("spec", "dual"), [("linf", 1), ("l2", 2)])
def test_linear_features_have_the_closed_form(spec, dual):
    """For f = <a, x>: gamma = rho - eps |a|_dual / std (Goh 2019), where no image touches the box."""
    images, labels = planted(300, shifts=[0.05, -0.03, 0.01])
    weight = torch.randn(5, images.shape[1], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = fl.usefulness(
        lambda x: x @ weight.T, (images, labels), within=fl.threat_model(spec, eps=0.02), resamples=20
    )
    values = images @ weight.T
    rho = ((2.0 * labels - 1)[:, None] * standardised(values)).mean(0).abs()
    lost = 0.02 * torch.linalg.vector_norm(weight, dual, dim=1) / values.std(0, correction=0)
    for label in (0, 1):
        torch.testing.assert_close(found.rho.value[label], rho, rtol=0, atol=1e-9)
        torch.testing.assert_close(found.gamma.value[label], rho - lost, rtol=0, atol=1e-6)


def test_planted_features_are_told_apart():
    images, labels = planted(800, shifts=[0.1, -0.1, 0.01, -0.01, 0.0, 0.0])
    found = fl.usefulness(
        pixels(6), (images, labels), within=fl.threat_model("linf:eps=0.03"), steps=4, relative_step=0.5, resamples=200
    )
    assert found.verdicts() == ["robust", "robust", "non-robust", "non-robust", "useless", "useless"]
    assert found.sign[1].tolist()[:4] == [1, -1, 1, -1]
    assert found.record()["features"][1]["verdict"] == "robust"
    # A set so small that the interval of gamma reaches over zero decides nothing.
    torch.testing.assert_close(found.rho.value[0], found.rho.value[1])


def test_one_class_against_the_rest():
    """With three classes a pixel that knows one of them is useful for it, and its rho is E[y f]."""
    labels = torch.arange(300) % 3
    images = torch.full((300, 3), 0.5, dtype=torch.float64)
    images[:, 1] += 0.3 * (labels == 2)
    images[:, 0] += 0.01 * torch.randn(300, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = fl.usefulness(pixels(3), (images, labels), resamples=50)
    # One class in three: f = sqrt(2) on it, -1/sqrt(2) elsewhere.
    assert float(found.rho.value[2, 1]) == pytest.approx((2**0.5 + 2 * 2**-0.5) / 3, abs=1e-9)
    assert int(found.best_class()[1]) == 2
    assert found.gamma is None
    assert found.rho.value[:, 2].abs().max() == 0  # A constant pixel.
    with pytest.raises(ValueError, match="within="):
        found.verdicts()


def test_intervals_cover_at_the_stated_rate():
    """rho of a planted pixel is shift / sqrt(shift^2 + sigma^2); gamma loses eps over that root."""
    shift, eps, trials = 0.015, 0.01, 150
    scale = (shift**2 + SIGMA**2) ** 0.5
    inside = torch.zeros(2)
    for seed in range(trials):
        data = planted(150, shifts=[shift], seed=seed, width=1)
        found = fl.usefulness(
            pixels(1),
            data,
            within=fl.threat_model("linf", eps=eps),
            steps=1,
            relative_step=2.0,
            resamples=200,
            seed=seed,
        )
        for place, (interval, truth) in enumerate(
            [(found.rho, shift / scale), (found.gamma, shift / scale - eps / scale)]
        ):
            inside[place] += bool(interval.low[1, 0] <= truth <= interval.high[1, 0])
    # 95 % of 150 is 142.5, with a standard deviation of 2.7.
    assert ((inside >= 132) & (inside <= 150)).all(), inside


def test_extremes_are_inside_and_bracket_the_feature():
    images, _ = fl.load_data("fashion-mini", train=False, count=10)
    model = fl.build("small_cnn", mean=0.286, std=0.353, classes=[str(c) for c in range(10)], shape=(1, 28, 28))
    features = fl.extractor(model, "logits")
    data = as_data((images, torch.zeros(10, dtype=torch.int64)))
    values, columns = read(features, data)
    found = extremes(features, data, within=fl.threat_model("l2:eps=0.5"), units=columns[:3], steps=3, batch_size=7)
    assert (found.low < values[:, :3]).all()
    assert (found.high > values[:, :3]).all()
    again = extremes(features, data, within=fl.threat_model("l2:eps=0.5"), units=columns[:3], steps=3, batch_size=30)
    torch.testing.assert_close(again.low, found.low, rtol=1e-5, atol=1e-5)


def test_two_threat_models_agree_about_what_both_call_fragile():
    images, labels = planted(400, shifts=[0.1, 0.01, 0.0])
    options = {"steps": 3, "relative_step": 0.5, "resamples": 100}
    small, large = (
        fl.usefulness(pixels(3), (images, labels), within=fl.threat_model("linf", eps=eps), **options)
        for eps in (0.03, 0.2)
    )
    assert fl.agreement(small, small) == {"jaccard": 1.0, "spearman": pytest.approx(1.0)}
    assert fl.agreement(small, large)["jaccard"] == 0.5


def test_what_cannot_be_measured_is_said_in_one_sentence():
    images, labels = planted(10, shifts=[0.1])
    with pytest.raises(ValueError, match="two classes"):
        fl.usefulness(pixels(1), (images, torch.zeros(10, dtype=torch.int64)))
    with pytest.raises(ValueError, match="columns from 0 to 0"):
        fl.usefulness(pixels(1), (images, labels), units=[3])
    with pytest.raises(ValueError, match="NaN or inf"):
        fl.usefulness(lambda x: x / 0 - x / 0, (images, labels))
    with pytest.raises(ValueError, match="batch, features"):
        fl.usefulness(lambda x: x[:, None], (images, labels))
