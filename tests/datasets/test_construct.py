"""Constructions: functions of row numbers, and what each set and control is by definition."""

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.data import TensorData
from featlab.datasets.construct import (
    Noised,
    Perturbed,
    Relabelled,
    Represented,
    construct,
    lengths_of,
    next_targets,
    random_targets,
    unrelated_rows,
)
from featlab.datasets.constructed import ConstructedWriter

from known import Cube


@pytest.fixture
def data():
    torch.manual_seed(0)
    return TensorData(torch.rand(30, 1, 6, 6), torch.arange(30) % 3)


@pytest.fixture
def model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3)).eval()


def box():
    return Cube(1.0)  # All of [0, 1] around any image.


ALL = torch.arange(30)


def constructions(model, data):
    targets = random_targets(data.labels, classes=3, seed=5)
    device = torch.device("cpu")
    return {
        "perturbed": Perturbed(model, data, targets, Cube(0.1), 5, 0.03),
        "represented": Represented(model[:3], data, unrelated_rows(30, seed=2), box(), 6, 0.05, device),
        "noised": Noised(data, torch.linspace(0.1, 2, 30), targets, seed=3),
        "relabelled": Relabelled(data, targets),
    }


@pytest.mark.parametrize("name", ["perturbed", "represented", "noised", "relabelled"])
def test_rows_do_not_depend_on_their_batch(model, data, name):
    construction = constructions(model, data)[name]
    whole, some = construction(ALL), torch.tensor([17, 4, 29])
    part = construction(some)
    torch.testing.assert_close(part.images, whole.images[some], rtol=0, atol=1e-6)
    assert torch.equal(part.labels, whole.labels[some])
    for column, values in part.columns.items():
        assert torch.equal(values, whole.columns[column][some])


def test_perturbed_images_move_towards_their_targets_and_stay_in_the_set(model, data):
    targets = next_targets(data.labels, classes=3)
    built = Perturbed(model, data, targets, Cube(0.1), 20, 0.02)(ALL)
    assert torch.equal(built.labels, targets)
    assert torch.equal(built.columns["original_label"], data.labels)
    assert ((built.images - data.pixels).abs() <= 0.1 + 1e-6).all()
    with torch.no_grad():
        before = fl.cross_entropy(model, targets)(data.pixels)
        after = fl.cross_entropy(model, targets)(built.images)
    assert (after < before).all()
    assert torch.equal(built.columns["reached"].bool(), fl.predict(model, built.images) == targets)


def test_represented_images_have_the_representation_but_start_elsewhere(model, data):
    starts = unrelated_rows(30, seed=2)
    built = Represented(model[:3], data, starts, box(), 200, 0.01, torch.device("cpu"))(ALL)
    with torch.no_grad():
        wanted, begun, found = (model[:3](images) for images in (data.pixels, data.pixels[starts], built.images))
    assert ((found - wanted).norm(dim=1) < 0.2 * (begun - wanted).norm(dim=1)).all()
    assert torch.equal(built.labels, data.labels)
    assert torch.equal(built.columns["start_index"], starts)


def test_noise_has_exactly_the_length_of_what_it_stands_for(data):
    lengths = torch.linspace(0.05, 2.0, 30)
    built = Noised(data, lengths, data.labels, seed=0)(ALL)
    assert built.images.min() >= 0
    assert built.images.max() <= 1
    torch.testing.assert_close(lengths_of(TensorData(built.images, data.labels), data), lengths, rtol=1e-4, atol=1e-5)


def test_targets():
    labels = torch.arange(9000) % 9
    assert torch.equal(next_targets(labels, classes=9), (labels + 1) % 9)
    random = random_targets(labels, classes=9, seed=1)
    assert torch.equal(random, random_targets(labels, classes=9, seed=1))
    assert not torch.equal(random, random_targets(labels, classes=9, seed=2))
    share = (random == labels).double().mean()  # Over ALL classes: one in nine is its own.
    assert abs(float(share) - 1 / 9) < 4 * (8 / 81 / 9000) ** 0.5
    assert torch.bincount(random).min() > 850


@pytest.mark.parametrize("count", [2, 3, 50])
def test_unrelated_rows_are_other_rows_each_once(count):
    rows = unrelated_rows(count, seed=0)
    assert sorted(rows.tolist()) == list(range(count))
    assert (rows != torch.arange(count)).all()


def test_a_set_is_built_into_its_folder_and_goes_on(tmp_path, model, data):
    construction = constructions(model, data)["perturbed"]

    def writer():
        columns = ("source_index", "original_label", "reached")
        names = ("a", "b", "c")
        return ConstructedWriter(
            tmp_path / "s",
            recipe={"x": 1},
            provenance={},
            total=30,
            shape=(1, 6, 6),
            classes=names,
            columns=columns,
            shard_rows=8,
        )

    steps = construct(construction, writer(), batch_size=5)
    assert [next(steps), next(steps)] == [0, 8]  # Stopped after one shard.
    assert list(construct(construction, writer(), batch_size=3)) == [8, 16, 24, 30]
    built = writer().finish()
    torch.testing.assert_close(built.images(ALL), construction(ALL).images, rtol=0, atol=1e-6)
    assert torch.equal(built.labels, construction.targets)
