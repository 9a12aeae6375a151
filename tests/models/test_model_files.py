"""Saved classifiers: round trips, cards, and files that are not what they should be."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from featlab.files import read_tensors, write_tensors
from featlab.models import Architecture, Classifier, build, card, load, read_card, save, zoo

IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def small(**options):
    chosen = {"mean": 0.286, "std": 0.353, "classes": ["a", "b", "c"], "shape": (1, 8, 8), "seed": 0} | options
    model = build("small_cnn", arguments={"channels": [4, 6], "strides": [1, 2]}, title="tiny", **chosen)
    model.train()(IMAGES)  # so that the running statistics are not the initial ones
    return model.eval()


def edit(path, change):
    """Rewrite a file's record."""
    tensors, facts = read_tensors(path)
    record = json.loads(facts["featlab"])
    change(record)
    write_tensors(path, tensors, {"featlab": json.dumps(record)})


def test_a_saved_classifier_comes_back_bit_for_bit(tmp_path):
    model = small()
    path = tmp_path / "tiny.safetensors"
    save(model, path, card={"recipe": "none", "accuracy": {"clean": 0.5}})
    for spec in (path, str(path), f"file:{path}"):
        again = load(spec, device="cpu")
        assert torch.equal(again(IMAGES), model(IMAGES))
        assert again.hash() == model.hash()
        assert (again.classes, again.shape, again.mean, again.name) == (("a", "b", "c"), (1, 8, 8), (0.286,), "tiny")
        assert not any(module.training for module in again.modules())
    assert [each.name for each in tmp_path.iterdir()] == ["tiny.safetensors"]


def test_equal_classifiers_give_equal_files(tmp_path):
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    save(small(), first, card={"b": 1, "a": 2})
    save(small(), second, card={"a": 2, "b": 1})
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("stored", "asked", "loaded"),
    [
        (torch.float16, None, torch.float32),
        (torch.bfloat16, None, torch.float32),
        (torch.float64, None, torch.float64),
        (None, torch.bfloat16, torch.bfloat16),
        (torch.float16, torch.float64, torch.float64),
    ],
)
def test_types_of_files_and_of_loaded_nets(tmp_path, stored, asked, loaded):
    model = small()
    path = tmp_path / "model.safetensors"
    save(model, path, dtype=stored)
    with safe_open(path, framework="pt") as file:
        assert file.get_tensor("linear.weight").dtype == (stored or torch.float32)
        assert file.get_tensor("layer1.bn.num_batches_tracked").dtype == torch.int64
    again = load(path, device="cpu", dtype=asked)
    assert {each.dtype for each in again.parameters()} == {loaded}
    rounded = model.net.linear.weight.to(stored or torch.float32).to(loaded)
    assert torch.equal(again.net.linear.weight, rounded)
    torch.testing.assert_close(again(IMAGES).float(), model(IMAGES), rtol=0.1, atol=0.1)


def test_the_hash_of_a_half_precision_file_is_stable(tmp_path):
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    save(small(), first, dtype=torch.float16)
    again = load(first, device="cpu")
    save(again, second, dtype=torch.float16)
    assert read_card(first)["sha256"] == again.hash() == load(second, device="cpu").hash()


def test_saving_changes_nothing_and_loading_draws_no_random_number(tmp_path):
    model = small().to(torch.bfloat16).to(memory_format=torch.channels_last).train()
    before = model.hash()
    state = torch.get_rng_state()
    save(model, tmp_path / "model.safetensors", dtype=torch.float16)
    load(tmp_path / "model.safetensors", device="cpu")
    assert torch.equal(torch.get_rng_state(), state)
    assert (model.hash(), model.training, model.dtype) == (before, True, torch.bfloat16)


def test_the_card_is_read_without_the_weights(tmp_path):
    path = tmp_path / "model.safetensors"
    save(small(), path, card={"seed": 7})
    record = card(path)
    assert record["card"] == {"seed": 7}
    assert record["architecture"] == {"name": "small_cnn", "arguments": small().net.architecture.arguments}
    assert record["normalization"] == {"mean": [0.286], "std": [0.353], "resize": None}
    assert record["sha256"] == small().hash()


def test_resize_and_shape_come_back(tmp_path):
    path = tmp_path / "model.safetensors"
    model = Classifier(small().net, mean=0.1, std=0.2, classes="abc", shape=(1, 16, 16), resize=8)
    save(model, path)
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(load(path, device="cpu")(images), model.eval()(images))


def test_shared_weights_are_saved(tmp_path):
    model = small(classes=["a", "b"])
    model.net.layer1.bn.bias = model.net.layer1.bn.weight
    save(model, tmp_path / "model.safetensors")
    assert torch.equal(load(tmp_path / "model.safetensors", device="cpu")(IMAGES), model(IMAGES))


def test_torchvision_nets_are_saved(tmp_path):
    pytest.importorskip("torchvision")
    model = build("torchvision:squeezenet1_1", mean=0.5, std=0.5, classes=list("abc"), shape=(3, 40, 40)).eval()
    save(model, tmp_path / "model.safetensors", dtype=torch.float16)
    images = torch.rand(2, 3, 40, 40)
    again = load(tmp_path / "model.safetensors", device="cpu")
    torch.testing.assert_close(again(images), model(images), rtol=0.05, atol=0.05)


def test_a_foreign_net_is_refused_unless_its_architecture_is_told(tmp_path):
    path = tmp_path / "model.safetensors"
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    with pytest.raises(ValueError, match="'Sequential' cannot be saved, because nothing says how to build"):
        save(Classifier(net, mean=0, std=1, classes="ab", shape=(1, 8, 8)), path)
    assert not path.exists()
    made = Architecture("small_cnn", small().net.architecture.arguments)
    save(Classifier(small().net, mean=0, std=1, classes="abc", shape=(1, 8, 8), architecture=made), path)
    assert load(path, device="cpu").architecture == made


@pytest.mark.parametrize("options", [{"card": {"x": float("nan")}}, {"card": {"x": object()}}])
def test_a_card_that_is_no_json_leaves_no_file(tmp_path, options):
    with pytest.raises((ValueError, TypeError)):
        save(small(), tmp_path / "model.safetensors", **options)
    assert list(tmp_path.iterdir()) == []


def test_only_safetensors_are_written(tmp_path):
    with pytest.raises(ValueError, match=r"saved as NAME\.safetensors"):
        save(small(), tmp_path / "model.pt")


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path, keep):
    path = tmp_path / "model.safetensors"
    save(small(), path)
    path.write_bytes(path.read_bytes()[:keep])
    for read in (load, card):
        with pytest.raises(ValueError, match="not a whole safetensors file"):
            read(path)


def test_a_changed_weight_is_noticed(tmp_path):
    path = tmp_path / "model.safetensors"
    save(small(), path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not those that were saved"):
        load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.pop("classes"), "lacks classes"),
        (lambda record: record.update(version=99), "record version 99"),
        (lambda record: record["architecture"]["arguments"].update(channels=[4, 7]), "differs"),
        (lambda record: record.update(shape=[]), "one image's"),
        (lambda record: record.update(shape=7), "does not fit its weights"),
        (lambda record: record.update(classes=[]), "names of its classes"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path, change, message):
    path = tmp_path / "model.safetensors"
    save(small(), path)
    edit(path, change)
    with pytest.raises(ValueError, match=message):
        load(path)


def test_weights_of_another_architecture_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save(small(), path)
    other = tmp_path / "other.safetensors"
    model = build("small_cnn", mean=0, std=1, classes="abc", shape=(1, 8, 8))
    wrong = Architecture("small_cnn", {"channels": [4, 6], "strides": [1, 2]})
    save(Classifier(model.net, mean=0, std=1, classes="abc", shape=(1, 8, 8), architecture=wrong), other)
    with pytest.raises(ValueError, match="does not fit its weights"):
        load(other)


def test_weights_alone_are_no_classifier(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    for read in (load, card):
        with pytest.raises(ValueError, match="holds weights only"):
            read(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    for read in (load, card):
        with pytest.raises(FileNotFoundError, match="there is no file"):
            read(tmp_path / "none.safetensors")
        with pytest.raises(FileNotFoundError, match="there is no file"):
            read(f"file:{tmp_path}")


def test_every_zoo_classifier_loads_and_has_a_card():
    for name in zoo():
        model = load(f"zoo:{name}", device="cpu")
        assert model(torch.rand(2, *model.shape)).shape == (2, len(model.classes))
        assert card(f"zoo:{name}")["sha256"] == model.hash()


def test_the_zoo_is_found_by_name(tmp_path, monkeypatch):
    shipped = {"tiny": tmp_path / "tiny.safetensors"}
    save(small(), shipped["tiny"])
    monkeypatch.setattr("featlab.models.files.zoo", lambda: shipped)
    assert load("zoo:tiny", device="cpu").hash() == small().hash() == card("zoo:tiny")["sha256"]
    with pytest.raises(ValueError, match="did you mean 'tiny'"):
        load("zoo:tinny")
    monkeypatch.setattr("featlab.models.files.zoo", dict)
    with pytest.raises(ValueError, match="ships no trained classifiers"):
        load("zoo:tiny")
