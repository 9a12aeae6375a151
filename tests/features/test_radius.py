"""The eps at which robust usefulness reaches 0, against the closed form of linear features and on planted data."""

import json
import math

import pytest
import torch

import featlab as fl
from featlab.data import as_data
from featlab.features.extremes import extremes, read

from known import pixels, planted


def closed_form(weight, images, labels, dual):
    """Return rho std / |w|_dual, written out anew."""
    values = images @ weight.T
    centred = values - values.mean(0)
    return ((2.0 * labels - 1)[:, None] * centred).mean(0).abs() / torch.linalg.vector_norm(weight, dual, dim=1)


@pytest.mark.parametrize(("spec", "dual"), [("linf", 1), ("l2", 2)])
def test_linear_features_have_the_closed_form(spec, dual):
    images, labels = planted(300, shifts=[0.05, -0.03, 0.02], width=6)
    weight = torch.randn(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    truth = closed_form(weight, images, labels, dual)
    within = fl.threat_model(spec, eps=0.02)
    found = fl.robustness_radius(lambda x: x @ weight.T, (images, labels), within=within, resamples=50)
    torch.testing.assert_close(found.zero.value, truth, rtol=0, atol=1e-6)
    exact = fl.linear_radius(weight, (images, labels), within=within, resamples=50)
    torch.testing.assert_close(exact.zero.value, truth, rtol=0, atol=1e-12)
    for end in ("low", "high"):
        torch.testing.assert_close(getattr(found.zero, end), getattr(exact.zero, end), rtol=0, atol=1e-6)
    # The whole curve: gamma(eps) = rho - eps |w|_dual / std.
    std = (images @ weight.T).std(0, correction=0)
    for column in range(5):
        for eps, gamma in found.curve(column):
            slope = torch.linalg.vector_norm(weight[column], dual) / std[column]
            assert gamma["value"] == pytest.approx(float(slope * (truth[column] - eps)), abs=1e-6)


def test_the_curve_begins_at_rho_and_meets_usefulness():
    images, labels = planted(200, shifts=[0.1, 0.02, 0.0])
    within, options = fl.threat_model("linf:eps=0.03"), {"steps": 4, "relative_step": 0.5, "resamples": 40}
    found = fl.robustness_radius(pixels(3), (images, labels), within=within, **options)
    known = fl.usefulness(pixels(3), (images, labels), within=within, **options)
    for column, label in enumerate(known.best_class().tolist()):
        curve = dict(found.curve(column))
        assert curve[0.0]["value"] == pytest.approx(float(known.rho.value[label, column]), abs=1e-12)
        if 0.03 in curve:
            assert curve[0.03]["value"] == pytest.approx(float(known.gamma.value[label, column]), abs=1e-9)
    assert 0.03 in dict(found.curve(0))
    values = [gamma["value"] for _, gamma in found.curve(0)]
    assert values == sorted(values, reverse=True)


def test_a_feature_that_is_lost_is_not_attacked_further_and_one_that_holds_is_beyond():
    images, labels = planted(200, shifts=[0.2, 0.02])
    within = fl.threat_model("linf:eps=0.03")
    found = fl.robustness_radius(pixels(2), (images, labels), within=within, largest=2, refine=0, resamples=100)
    assert found.zero.value[0] == math.inf
    assert float(found.zero.value[1]) == pytest.approx(0.02, abs=0.004)
    assert [eps for eps, _ in found.curve(0)] == [0.0, 0.03, 0.06]
    assert [eps for eps, _ in found.curve(1)] == [0.0, 0.03]
    row = json.loads(json.dumps(found.record(), allow_nan=False))
    assert row["features"][0]["zero"] == {"value": None, "low": None, "high": None}
    assert row["features"][1]["zero"]["low"] < row["features"][1]["zero"]["value"]
    assert row["largest"] == 0.06


def test_what_was_measured_before_is_not_measured_again():
    images, labels = planted(100, shifts=[0.1, 0.02])
    within, data = fl.threat_model("linf:eps=0.03"), as_data((images, labels))
    values, columns = read(pixels(2), data)
    known = values, extremes(pixels(2), data, within=within, units=columns)
    asked = []

    def counted(x):
        asked.append(len(x))
        return x[:, :2]

    first = fl.robustness_radius(counted, data, within=within, resamples=20)
    cost = sum(asked)
    asked.clear()
    again = fl.robustness_radius(counted, data, within=within, resamples=20, known=known)
    assert sum(asked) < cost
    torch.testing.assert_close(again.zero.value, first.zero.value, rtol=0, atol=1e-9)


def test_a_curved_feature_is_bracketed_and_refined():
    """f = d + 100 d^3, d = pixel - 1/2, moves by other amounts at every eps; the crossing is bisected here."""
    images, labels = planted(400, shifts=[0.1], width=1)

    def bent(x):
        offset = x[:, :1] - 0.5
        return offset + 100 * offset**3

    def gamma(eps):
        side = 2.0 * labels - 1
        values, moved = bent(images)[:, 0], bent(images - eps * side[:, None])[:, 0]
        return float((side * (moved - values.mean())).mean())

    low, high = 0.0, 0.3
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if gamma(middle) > 0 else (low, middle)
    options = {"within": fl.threat_model("linf:eps=0.06"), "resamples": 30}
    rough, fine = (
        float(fl.robustness_radius(bent, (images, labels), refine=refine, **options).zero.value[0]) for refine in (0, 4)
    )
    assert abs(fine - low) < 1e-6 < 1e-5 < abs(rough - low)


def test_intervals_cover_at_the_stated_rate():
    """The radius of a planted pixel in the max norm is its shift."""
    shift, trials = 0.015, 150
    within = fl.threat_model("linf:eps=0.02")
    weight = torch.ones(1, 1)
    found = [
        fl.linear_radius(weight, planted(150, shifts=[shift], seed=seed, width=1), within=within, resamples=200).zero
        for seed in range(trials)
    ]
    inside = sum(bool(each.low[0] <= shift <= each.high[0]) for each in found)
    assert 132 <= inside <= 150  # 95 % of 150 is 142.5, with a standard deviation of 2.7.


def test_constant_and_useless_features_have_no_radius():
    images, labels = planted(300, shifts=[0.05, 0.0])
    images[:, 2] = 0.5
    found = fl.robustness_radius(pixels(3), (images, labels), within=fl.threat_model("linf:eps=0.05"), resamples=50)
    assert found.zero.value[2] == 0 == found.zero.high[2]
    assert found.zero.value[1] < 0.005


def test_batches_change_nothing_and_units_pick_columns():
    images, labels = planted(60, shifts=[0.05, -0.02, 0.01])
    within = fl.threat_model("l2:eps=0.04")
    whole = fl.robustness_radius(pixels(3), (images, labels), within=within, resamples=20)
    parts = fl.robustness_radius(pixels(3), (images, labels), within=within, resamples=20, units=[2, 1], batch_size=7)
    assert parts.units.tolist() == [2, 1]
    torch.testing.assert_close(parts.zero.value, whole.zero.value[[2, 1]], rtol=0, atol=1e-12)


def test_a_set_that_ends_somewhere_ends_the_search():
    images, labels = planted(100, shifts=[0.45], width=1)
    found = fl.robustness_radius(pixels(1), (images, labels), within=fl.threat_model("linf:eps=0.3"), resamples=20)
    assert found.largest == 0.6  # 1.2 is no eps of the max norm.


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"within": "rigid"}, "size"),
        ({"within": "box"}, "resized|size"),
        ({"within": "l2:eps=1", "largest": 0.5}, "at least 1"),
    ],
)
def test_what_has_no_radius_is_said_in_one_sentence(options, sentence):
    images, labels = torch.rand(6, 1, 8, 8), torch.arange(6) % 2
    chosen = {**options, "within": fl.threat_model(options["within"])}
    with pytest.raises(ValueError, match=sentence):
        fl.robustness_radius(lambda x: x.flatten(1)[:, :2], (images, labels), **chosen)
    with pytest.raises(ValueError, match="two classes"):
        fl.robustness_radius(lambda x: x.flatten(1), (images, 0 * labels), within=fl.threat_model("l2:eps=1"))
    with pytest.raises(ValueError, match="closed form"):
        fl.linear_radius(torch.ones(1, 64), (images, labels), within=fl.threat_model("rigid"))
