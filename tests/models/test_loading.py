"""Models by one line of text."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from featlab.models import Architecture, build, card, load, pick_device, save
from featlab.models.building import build_net
from featlab.models.loading import Spec, parse_shape
from featlab.models.optional import imagenet_classes, torchvision_arguments, torchvision_expects, torchvision_weights

FACTORY = """
from __future__ import annotations
from dataclasses import dataclass
import torch
from torch import nn
from featlab.models import Classifier

@dataclass
class Sizes:
    inputs: int = 12

def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(Sizes().inputs, 5))

def wrapped():
    return Classifier(plain(), mean=0.5, std=0.5, classes=list("vwxyz"), shape=(3, 2, 2))

def nothing():
    return 3
"""


@pytest.fixture
def factory(tmp_path):
    path = tmp_path / "my_models.py"
    path.write_text(FACTORY)
    return path


@pytest.mark.parametrize(
    ("text", "scheme", "target", "options"),
    [
        ("zoo:fashion", "zoo", "fashion", {}),
        ("a/b.safetensors", "file", "a/b.safetensors", {}),
        ("file:b.safetensors", "file", "b.safetensors", {}),
        (
            "torchvision:resnet50?weights=x.pth&classes=7",
            "torchvision",
            "resnet50",
            {"weights": "x.pth", "classes": "7"},
        ),
        ("dir/m.py:make?shape=3,2,2", "factory", "dir/m.py:make", {"shape": "3,2,2"}),
        ("robustness:c.pt?arch=resnet50&data=cifar10", "robustness", "c.pt", {"arch": "resnet50", "data": "cifar10"}),
    ],
)
def test_specs(text, scheme, target, options):
    assert Spec.parse(text) == Spec(scheme, target, options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("torchvison:resnet50", "did you mean 'torchvision'"),
        ("resnet50", "a model is zoo:NAME"),
        ("model.pt", "a model is zoo:NAME"),
        ("file:model.pt", "write robustness:model.pt"),
        ("zoo:", "names no model after zoo:"),
        ("torchvision:resnet50?weight=x", "did you mean 'weights'"),
        ("torchvision:resnet50?classes=ten", "classes must be a number"),
        ("torchvision:resnet5", "did you mean 'resnet50'"),
        ("robustness:x.pt?shape=3;2", "a shape is written 3,32,32"),
        ("robustness:x.pt?shape=3,0,2", "at least 1"),
    ],
)
def test_what_names_no_model_is_refused(text, message):
    if "torchvision" in text:
        pytest.importorskip("torchvision")
    with pytest.raises(ValueError, match=message):
        load(text)


def test_torchvision_weights_from_a_file(tmp_path):
    pytest.importorskip("torchvision")
    net = build_net(Architecture("torchvision:squeezenet1_1", {"classes": 4}), seed=5)
    path = tmp_path / "weights.pth"
    torch.save(net.state_dict(), path)
    model = load(f"torchvision:squeezenet1_1?weights={path}&classes=4&shape=3,32,32", device="cpu")
    assert (model.mean, model.classes, model.shape) == ((0.485, 0.456, 0.406), ("0", "1", "2", "3"), (3, 32, 32))
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in model.net.state_dict().items())
    with pytest.raises(ValueError, match="do not fit"):
        load(f"torchvision:squeezenet1_1?weights={path}&classes=5")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load("torchvision:squeezenet1_1?weights=none.pth")
    with pytest.raises(ValueError, match="did you mean 'IMAGENET1K_V1'"):
        load("torchvision:squeezenet1_1?weights=IMAGENET_V1")


def test_torchvision_nets_know_their_classes_and_leave_the_random_state():
    pytest.importorskip("torchvision")
    state = torch.get_rng_state()
    model = load("torchvision:squeezenet1_1", device="cpu")
    assert torch.equal(torch.get_rng_state(), state)
    assert (len(model.classes), model.classes[2], model.shape) == (1000, "great white shark", (3, 224, 224))
    assert not model.training


def test_published_torchvision_weights_are_fetched_as_plain_weights(monkeypatch):
    torchvision = pytest.importorskip("torchvision")
    net = build_net(Architecture("torchvision:squeezenet1_1"), seed=5)
    asked = []

    def fetch(url, **options):
        asked.append((url, options))
        return net.state_dict()

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", fetch)
    model = load("torchvision:squeezenet1_1?weights=DEFAULT", device="cpu")
    ((url, options),) = asked
    assert "squeezenet1_1" in url
    assert options["weights_only"] is True
    assert options["check_hash"] is True
    assert torch.equal(model.net.classifier[1].bias, net.classifier[1].bias)


def test_published_weights_decide_what_the_net_must_be():
    models = pytest.importorskip("torchvision").models
    entry = torchvision_weights("vit_b_16", "IMAGENET1K_SWAG_E2E_V1")
    assert torchvision_arguments("vit_b_16", entry, published=True) == {"image_size": 384}
    assert torchvision_expects(entry, classes=None).shape == (3, 384, 384)
    # torchvision builds these two with transform_input=True when it loads its own weights.
    inception = torchvision_weights("inception_v3")
    assert torchvision_arguments("inception_v3", inception, published=True) == {"transform_input": True}
    assert torchvision_arguments("inception_v3", inception, published=False) == {}
    assert len(imagenet_classes()) == 1000
    for name in models.list_models(module=models):
        expected = torchvision_expects(torchvision_weights(name), classes=7)
        assert (len(expected.classes), expected.shape[0]) == (7, 3)


def test_nets_with_records_of_outputs_train():
    pytest.importorskip("torchvision")
    model = load("torchvision:googlenet?classes=3&shape=3,64,64", device="cpu").train()
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 3)


def test_timm_nets(tmp_path):
    pytest.importorskip("timm")
    model = load("timm:resnet18?classes=4&shape=3,32,32", device="cpu")
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 4)
    save(model, tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors", device="cpu").hash() == model.hash()
    with pytest.raises(ValueError, match="did you mean 'resnet18"):
        load("timm:resnet18x")


def test_timm_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"timm:NAME needs the package timm.*pip install timm"):
        load("timm:resnet18")


def test_a_factory_that_returns_a_classifier(factory):
    model = load(f"{factory}:wrapped", device="cpu")
    assert (model.classes, model.mean) == (tuple("vwxyz"), (0.5, 0.5, 0.5))
    assert not model.training


def test_a_factory_that_returns_a_net_takes_images_as_they_are(factory):
    for model in (load(f"{factory}:plain?shape=3,2,2", device="cpu"), load(f"{factory}:plain", shape=(3, 2, 2))):
        images = torch.rand(2, 3, 2, 2).to(model.device)
        assert torch.equal(model(images), model.net(images))
        assert (model.classes, model.name) == (tuple("01234"), "plain")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plain", r"say what it takes: .*plain\?shape=3,32,32"),
        ("plain?shape=3,4,4", r"does not take images of shape \(3, 4, 4\)"),
        ("plane", "did you mean 'plain'"),
        ("nothing", "must return a Classifier or an nn.Module; got int"),
    ],
)
def test_factories_that_give_no_classifier_are_refused(factory, name, message):
    with pytest.raises(ValueError, match=message):
        load(f"{factory}:{name}")


def test_a_factory_file_that_fails_is_named(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("1 / 0")
    modules = set(sys.modules)
    with pytest.raises(ValueError, match=r"broken\.py could not be run: ZeroDivisionError"):
        load(f"{path}:make")
    assert set(sys.modules) <= modules
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load(f"{tmp_path / 'none.py'}:make")


def test_shape_and_type_may_be_chosen(tmp_path):
    path = tmp_path / "m.safetensors"
    save(build("resnet18", mean=0, std=1, classes="ab", shape=(3, 8, 8), arguments={"width": 2}), path)
    model = load(path, device="cpu", dtype=torch.float64, shape=(3, 16, 16))
    assert model(torch.rand(1, 3, 16, 16)).dtype == torch.float64


def test_devices():
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="device must be"):
        pick_device("gpu")
    with pytest.raises(ValueError, match="there is no device cuda:99"):
        pick_device("cuda:99")


def test_only_files_have_cards():
    with pytest.raises(ValueError, match=r"only zoo:NAME, get:NAME and file:PATH have cards"):
        card("torchvision:resnet18")


def test_weights_alone_may_be_safetensors(tmp_path):
    pytest.importorskip("torchvision")
    net = build_net(Architecture("torchvision:squeezenet1_1", {"classes": 4}), seed=5)
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    model = load(f"torchvision:squeezenet1_1?weights={tmp_path / 'w.safetensors'}&classes=4", device="cpu")
    assert torch.equal(model.net.classifier[1].bias, net.classifier[1].bias)


@pytest.mark.parametrize("text", ["3,32,32", "3x32x32"])
def test_shapes(text):
    assert parse_shape(text) == (3, 32, 32)
