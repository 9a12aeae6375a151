"""Accuracy, its interval, and the honesty of robust accuracy."""

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.files import read_tensors

from known import Cube, Linear


def test_wilson_interval_against_its_quadratic():
    """low and high solve (p - q)^2 = z^2 q (1 - q) / n in q."""
    verdicts = torch.arange(200) < 137
    found, z = fl.Accuracy.of(verdicts), 1.959964
    assert found.accuracy == 137 / 200
    for edge in (found.low, found.high):
        assert (found.accuracy - edge) ** 2 == pytest.approx(z**2 * edge * (1 - edge) / 200)
    assert found.low < found.accuracy < found.high


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (1, 1)])
def test_the_interval_holds_its_accuracy_and_stays_in_range(right, n):
    found = fl.Accuracy.of(torch.arange(n) < right)
    assert 0 <= found.low <= found.accuracy <= found.high <= 1
    assert found.n == n


def test_no_examples_have_no_accuracy():
    with pytest.raises(ValueError, match="at least one"):
        fl.Accuracy.of(torch.zeros(0, dtype=torch.bool))


def test_batch_size_changes_nothing(linear, middle):
    labels = linear(middle).argmax(dim=1)
    reports = [
        fl.evaluate(linear, (middle, labels), within=Cube(0.02), batch_size=size, suite="pgd") for size in (7, 64)
    ]
    assert torch.equal(reports[0].held, reports[1].held)
    assert reports[0].record() == reports[1].record()


def test_each_attack_only_lowers_what_is_left(linear, middle):
    labels = linear(middle).argmax(dim=1)
    report = fl.evaluate(linear, (middle, labels), within=Cube(0.015), suite="pgd")
    left = [report.clean.accuracy, *[accuracy.accuracy for _, accuracy in report.after]]
    assert left == sorted(left, reverse=True)
    assert left[-1] == report.robust.accuracy
    assert not (report.held & ~report.correct).any()


def test_the_curve_falls_with_eps(linear, middle):
    labels = linear(middle).argmax(dim=1)
    points = fl.curve(linear, (middle, labels), along=[Cube(eps) for eps in (0.0, 0.01, 0.02, 0.2)])
    values = [point.accuracy for point in points]
    assert values[0] == 1.0
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.5


class Saturated(nn.Module):
    """Always certain, so the cross-entropy has no gradient: what gradient masking looks like."""

    def forward(self, images):
        value = images.flatten(1).sum(1) * 0 + 1e4
        return torch.stack([value, -value], dim=1)


def test_zero_gradients_are_said_aloud(images):
    with pytest.warns(UserWarning, match="exactly zero at 10 of 10 images"):
        fl.evaluate(Saturated(), (images, torch.zeros(10, dtype=torch.int64)), within=Cube(0.1), suite="quick")


def test_bad_images_are_refused(linear, middle):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        fl.evaluate(linear, (middle * 255, torch.zeros(64, dtype=torch.int64)), within=Cube(0.1))
    with pytest.raises(ValueError, match="suite must be one of"):
        fl.evaluate(linear, (middle, torch.zeros(64, dtype=torch.int64)), within=Cube(0.1), suite="pdg")


def test_an_evaluation_that_was_stopped_goes_on_to_the_same_result(linear, middle, tmp_path):
    labels, path = linear(middle).argmax(dim=1), tmp_path / "verdicts.safetensors"
    options = {"within": Cube(0.015), "suite": "pgd", "batch_size": 16}
    whole = fl.evaluate(linear, (middle, labels), **options)
    asked = []

    class Counted(Linear):
        def forward(self, images):
            asked.append(len(images))
            return super().forward(images)

    counted = Counted(linear.weight.detach(), linear.bias.detach())
    for stop in ("pgd-ce", "pgd-margin"):

        def interrupt(stage, done, total, stop=stop):
            if stage == stop and 16 <= done < total:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fl.evaluate(counted, (middle, labels), **options, checkpoint=path, progress=interrupt)
    again = fl.evaluate(counted, (middle, labels), **options, checkpoint=path)
    assert again.record() == whole.record()
    assert torch.equal(again.held, whole.held)
    asked.clear()
    assert fl.evaluate(counted, (middle, labels), **options, checkpoint=path).record() == whole.record()
    assert sum(asked) <= 64  # All verdicts are known; only whether it answers twice alike is asked.
    kept = read_tensors(path)[0]
    assert kept["0-pgd-ce"].eq(-1).sum() == 0
    assert torch.equal(kept["1-pgd-margin"] == -1, kept["0-pgd-ce"] != 1)
    assert torch.equal(kept["2-mi-fgsm"] == 1, whole.held)


@pytest.mark.parametrize("change", ["seed", "within", "suite", "model", "data"])
def test_verdicts_of_another_evaluation_are_refused(linear, middle, tmp_path, change):
    labels = linear(middle).argmax(dim=1)
    options = {"within": Cube(0.01), "suite": "quick", "checkpoint": tmp_path / "verdicts.safetensors"}
    fl.evaluate(linear, (middle, labels), **options)
    other = {"seed": {"seed": 1}, "within": {"within": Cube(0.02)}, "suite": {"suite": "pgd"}}.get(change, {})
    model = Linear(linear.weight.detach() * 2, linear.bias.detach()) if change == "model" else linear
    data = (middle.flip(0), labels.flip(0)) if change == "data" else (middle, labels)
    with pytest.raises(ValueError, match="with other arguments"):
        fl.evaluate(model, data, **{**options, **other})


def test_the_union_counts_what_holds_in_every_set(linear, middle):
    labels = linear(middle).argmax(dim=1)
    first, second = (fl.evaluate(linear, (middle, labels), within=Cube(eps), suite="quick") for eps in (0.01, 0.02))
    assert fl.robust_to_all([first, second]) == second.robust  # One set lies in the other.
    wrong = fl.evaluate(linear, (middle, 1 - labels), within=Cube(0.01), suite="quick")
    assert fl.robust_to_all([first, wrong]).accuracy == 0
    with pytest.raises(ValueError, match="all on the same examples"):
        fl.robust_to_all([])
