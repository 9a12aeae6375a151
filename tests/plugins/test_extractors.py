"""The extractors that come with featlab pass the kit, and give what they say."""

import pytest
import torch

import featlab as fl
from featlab.features.dictionary import sparse_dictionary
from featlab.testing import check_extractor


@pytest.fixture(scope="module")
def model():
    return fl.build("small_cnn", mean=[0.286], std=[0.353], classes=list("0123456789"), shape=(1, 28, 28)).eval()


@pytest.fixture(scope="module")
def images():
    return fl.load_data("fashion-mini", train=False, count=6)[0]


@pytest.mark.parametrize(
    ("spec", "width"),
    [
        ("penultimate:pass_through=true", 3136),
        ("principal:count=3,examples=60", 3),
        ("kernel:count=4,examples=12,unit=2", 4),
        ("bands:count=5", 5),
        ("random:count=7,seed=3", 7),
    ],
)
def test_the_kit(model, images, spec, width):
    made = fl.extractor(model, spec)
    assert made(images).shape == (6, width)
    check_extractor(lambda: made, images=images)


def test_a_dictionary_by_its_path(model, images, tmp_path):
    layer = fl.extractor(model, "layer:where=layer1,pool=true")
    found, _ = sparse_dictionary(layer, (images, torch.zeros(6, dtype=torch.int64)), width=20, epochs=2)
    found.save(tmp_path / "codes.safetensors")
    made = fl.extractor(model, "dictionary", path=tmp_path / "codes.safetensors", where="layer:where=layer1,pool=true")
    assert torch.equal(made(images), found(images))


def test_bands_hold_all_the_energy(images):
    found = fl.extractor(None, "bands:count=4")(images)
    torch.testing.assert_close(found.square().sum(1), images.square().flatten(1).sum(1), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="count must be >= 1"):
        fl.extractor(None, "bands:count=0")
    with pytest.raises(ValueError, match="batch, channels"):
        fl.extractor(None, "bands")(torch.rand(2, 5))


def test_random_features_are_a_function_of_their_seed(images):
    one, same, other = (fl.extractor(None, f"random:count=5,seed={seed}")(images) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
