"""The judge says what it sees, and never judges itself."""

import copy

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.synthesis.judging import kinship

from known import Linear


def built(seed, channels=(8, 8)):
    arguments = {"channels": list(channels), "strides": [2, 2]}
    classes = [str(number) for number in range(10)]
    return fl.build(
        "small_cnn", mean=0.3, std=0.3, classes=classes, shape=(1, 28, 28), arguments=arguments, seed=seed
    ).eval()


def test_a_judge_answers_with_its_probability_of_the_wanted_class():
    weight = torch.arange(1.0, 13.0, dtype=torch.float64)
    judge = Linear(weight, -weight.sum() / 2)
    images = torch.stack([torch.full((3, 2, 2), value, dtype=torch.float64) for value in (0.0, 0.49, 0.51, 1.0)])
    labels = torch.tensor([0, 1, 1, 0])
    found = fl.judged(judge, images, labels, made_by=(), batch_size=3)
    assert found.correct.tolist() == [True, False, True, False]
    chance = torch.sigmoid(78 * (torch.tensor([0.0, 0.49, 0.51, 1.0], dtype=torch.float64) - 0.5))
    expected = torch.where(labels == 1, chance, 1 - chance)
    torch.testing.assert_close(found.probability, expected.float(), rtol=1e-5, atol=1e-6)
    assert found.accuracy.accuracy == 0.5
    assert found.confidence.value == pytest.approx(float(expected.mean()), abs=1e-6)


def test_a_net_is_no_judge_of_its_own_images_nor_is_a_copy_of_it():
    maker, images, labels = built(0), torch.rand(4, 1, 28, 28), torch.zeros(4, dtype=torch.int64)
    rounded = copy.deepcopy(maker).half().float()
    trained = copy.deepcopy(maker)
    for parameter in trained.parameters():
        parameter.data += 0.5 * parameter.data.std().nan_to_num() * torch.randn_like(parameter)
    for kin in (maker, rounded, trained):
        with pytest.raises(ValueError, match="independent of the net that made the images"):
            fl.judged(kin, images, labels, made_by=[built(1), maker])
    for other in (built(1), built(0, channels=(8, 9)), nn.Flatten()):
        assert kinship(maker, other) < 0.2
    assert fl.judged(built(1), images, labels, made_by=[maker]).accuracy.n == 4
    assert fl.judged(maker, images, labels, made_by=()).accuracy.n == 4
