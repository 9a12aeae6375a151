"""Models against threat models, and gradients beside what they should look like, on models with known answers."""

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.attacks import Attack
from featlab.comparison import Training, class_means
from featlab.data import as_data
from featlab.intervals import Mean

from known import Cube

SHORT = (Attack("pgd", steps=3, relative_step=0.5),)


class Templates(nn.Module):
    """z_c = <x, t_c>: the gradient of the margin is the difference of two templates."""

    def __init__(self, templates):
        super().__init__()
        self.templates = nn.Parameter(templates)

    def forward(self, images):
        return images.flatten(1).to(self.templates.dtype) @ self.templates.T


@pytest.fixture
def three():
    """Images of three classes, noise around a mean each."""
    torch.manual_seed(8)
    means = torch.rand(3, 20, dtype=torch.float64)
    labels = torch.arange(90) % 3
    return (means[labels] + 0.02 * torch.randn(90, 20, dtype=torch.float64)).clamp(0, 1), labels


def test_gradients_of_the_class_means_align_with_them_perfectly(three):
    means = class_means(as_data(three), classes=3)
    torch.testing.assert_close(means[1], three[0][1::3].mean(dim=0))
    found = fl.alignment(Templates(means), three)
    assert found.classes.value == pytest.approx(1.0)
    assert found.classes.n == 90
    assert abs(found.other_classes.value) < 0.9
    opposite = fl.alignment(Templates(-means), three)
    assert opposite.image.value < 1
    assert opposite.classes.value < 0


def test_alignment_with_the_image_is_its_formula(three):
    images, labels = three
    torch.manual_seed(9)
    templates = torch.randn(2, 20, dtype=torch.float64)
    found = fl.alignment(Templates(templates), (images, labels % 2))
    grad = templates[1] - templates[0]
    wanted = (images @ grad).abs() / images.norm(dim=1) / grad.norm()
    assert found.image.value == pytest.approx(float(wanted.mean()))
    half = 1.959964 * float(wanted.std()) / 90**0.5
    assert found.image.high - found.image.value == pytest.approx(half)
    assert found.image.value - found.image.low == pytest.approx(half)
    # With one gradient for all, another's image is as good as one's own.
    assert found.other_image.value == pytest.approx(found.image.value)


def test_examples_without_a_gradient_have_no_direction(three):
    found = fl.alignment(Templates(torch.zeros(3, 20, dtype=torch.float64)), three)
    assert found.image.n == 0
    assert found.record()["image"] == {"value": None, "low": None, "high": None, "n": 0}


def test_the_matrix_is_that_of_single_evaluations(linear, middle, tmp_path):
    labels = linear(middle).argmax(dim=1)
    sets = {"small": Cube(0.01), "large": Cube(0.02)}
    other = nn.Sequential(linear)
    options = {"within": sets, "suite": SHORT, "cards": {"b": CARD}}
    rows = fl.compare_sets({"a": linear, "b": other}, (middle, labels), **options, folder=tmp_path)
    for row in rows:
        for spec, ball in sets.items():
            alone = fl.evaluate(linear, (middle, labels), within=ball, suite=SHORT)
            assert row.robust[spec] == alone.robust
            assert row.clean == alone.clean
        assert row.union == row.robust["large"]
    assert rows[0].training == Training()
    assert rows[1].training.threat_model == "linf:eps=0.1"
    assert len(list(tmp_path.iterdir())) == 4
    assert fl.compare_sets({"a": linear, "b": other}, (middle, labels), **options, folder=tmp_path) == rows
    assert rows[1].record()["training"]["passes"] == 30


CARD = {
    "recipe": {"schedule": {"epochs": 6}, "inner": {"threat_model": "linf:eps=0.1", "steps": 4, "step_size": 0.05}},
    "data": {"name": "fashion-mini", "train": 6000},
    "seconds": 12.5,
}


def test_what_a_card_says_of_training():
    assert Training.of(CARD) == Training("linf:eps=0.1", "fashion-mini", 6000, 6, 30, 12.5)
    plain = {**CARD, "recipe": {"schedule": {"epochs": 6}, "inner": {"threat_model": "", "steps": 0}}}
    assert Training.of(plain) == Training("none", "fashion-mini", 6000, 6, 6, 12.5)
    assert Training.of({"trained_on": "x", "inner": "None"}) == Training()


def test_means_of_one_and_of_none():
    assert Mean.of(torch.tensor([0.25])).record() == {"value": 0.25, "low": None, "high": None, "n": 1}
    assert Mean.of(torch.zeros(0)).record() == {"value": None, "low": None, "high": None, "n": 0}


def test_nothing_to_compare_is_refused(linear, middle):
    with pytest.raises(ValueError, match="takes one model and one threat model"):
        fl.compare_sets({"a": linear}, (middle, linear(middle).argmax(dim=1)), within={})
