"""Checkpoints in the layout of MadryLab robustness, made here, and pickles that want to run."""

import pickle
from collections import OrderedDict

import pytest
import torch
from torch import nn

from featlab.models import Architecture, load, resnet18, resnet50, save
from featlab.models.building import build_net

LEGACY_MEAN, LEGACY_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def net(make=resnet18):
    made = make(width=4)
    made.train()(IMAGES)
    return made.eval()


def tensors(made, *, attacker_only=False, mean=LEGACY_MEAN, std=LEGACY_STD, prefix="module."):
    """Return weights named as DataParallel(AttackerModel(net)) names them."""
    state = OrderedDict()
    column = {name: torch.tensor(value)[:, None, None] for name, value in (("new_mean", mean), ("new_std", std))}
    places = [("attacker.model.", "attacker.normalize.")] + [("model.", "normalizer.")] * (not attacker_only)
    for model, normalizer in places:
        state |= {f"{prefix}{normalizer}{name}": value for name, value in column.items()}
        state |= {f"{prefix}{model}{name}": value for name, value in made.state_dict().items()}
    return state


def by_hand(made, mean=LEGACY_MEAN, std=LEGACY_STD):
    with torch.no_grad():
        columns = (torch.tensor(each, dtype=torch.float64)[:, None, None] for each in (mean, std))
        shift, scale = columns
        return made.double()((IMAGES.double() - shift) / scale)


@pytest.mark.parametrize("make", [resnet18, resnet50])
@pytest.mark.parametrize("key", ["model", "state_dict"])
@pytest.mark.parametrize("attacker_only", [False, True])
def test_a_checkpoint_gives_the_logits_of_its_net(tmp_path, make, key, attacker_only):
    made = net(make)
    path = tmp_path / "cifar_l2_0_5.pt"
    torch.save({key: tensors(made, attacker_only=attacker_only), "epoch": 150, "nat_prec1": 0.9}, path)
    model = load(f"robustness:{path}", device="cpu")
    assert (model.mean, model.std, model.shape) == (LEGACY_MEAN, LEGACY_STD, (3, 32, 32))
    assert model.classes[:2] == ("airplane", "automobile")
    assert model.architecture.name == make.__name__
    torch.testing.assert_close(model(IMAGES).double(), by_hand(made), rtol=1e-4, atol=1e-4)


def test_the_normalisation_is_the_checkpoints_own(tmp_path):
    made = net()
    own = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    torch.save({"model": tensors(made, mean=own[0], std=own[1])}, tmp_path / "m.pt")
    model = load(f"robustness:{tmp_path / 'm.pt'}", device="cpu")
    assert (model.mean, model.std) == own
    torch.testing.assert_close(model(IMAGES).double(), by_hand(made, *own), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("data", ["cifar10", "cinic"])
def test_without_a_normaliser_that_of_the_data_is_taken(tmp_path, data):
    state = {f"module.model.{name}": value for name, value in net().state_dict().items()}
    torch.save({"model": state}, tmp_path / "m.pt")
    model = load(f"robustness:{tmp_path / 'm.pt'}?data={data}&arch=resnet18", device="cpu")
    assert (model.std == LEGACY_STD) == (data == "cifar10")


def test_unwrapped_doubly_wrapped_and_old_files_are_read(tmp_path):
    made = net()
    plain = OrderedDict(made.state_dict())
    double = OrderedDict((f"module.model.model.{name}", value) for name, value in plain.items())
    old = OrderedDict((name, value) for name, value in plain.items() if "num_batches" not in name)
    for index, content in enumerate((plain, {"model": double}, {"state_dict": old})):
        path = tmp_path / f"{index}.pt"
        torch.save(content, path, _use_new_zipfile_serialization=index != 2)
        torch.testing.assert_close(load(f"robustness:{path}", device="cpu").net(IMAGES), made(IMAGES))


def test_an_imagenet_checkpoint_becomes_the_torchvision_net(tmp_path):
    pytest.importorskip("torchvision")
    made = build_net(Architecture("torchvision:resnet18", {"classes": 9}))
    torch.save({"model": tensors(made, mean=(0.4717, 0.4499, 0.3837), std=(0.26, 0.2516, 0.2575))}, tmp_path / "m.pt")
    model = load(f"robustness:{tmp_path / 'm.pt'}", device="cpu")
    assert model.architecture == Architecture("torchvision:resnet18", {"classes": 9})
    assert (model.classes[0], model.shape) == ("dog", (3, 224, 224))


def test_a_converted_checkpoint_is_saved_and_loaded(tmp_path):
    torch.save({"model": tensors(net())}, tmp_path / "m.pt")
    model = load(f"robustness:{tmp_path / 'm.pt'}", device="cpu")
    save(model, tmp_path / "m.safetensors")
    assert torch.equal(load(tmp_path / "m.safetensors", device="cpu")(IMAGES), model(IMAGES))


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_never_run(tmp_path, zipped):
    trace = tmp_path / "trace"
    path = tmp_path / "evil.pt"
    torch.save({"model": tensors(net()), "args": Evil(trace)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"cannot be read as plain weights.*if you trust it, convert it") as error:
        load(f"robustness:{path}")
    assert not trace.exists()
    assert not zipped or "io.open" in str(error.value)
    pickle.loads(pickle.dumps(Evil(trace))).close()
    assert trace.exists()  # so the file would have been made


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off", b"\x80\x02}q\x00."])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "m.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.pt"):
        load(f"robustness:{path}")


def test_half_a_checkpoint_is_refused(tmp_path):
    path = tmp_path / "m.pt"
    torch.save({"model": tensors(net())}, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="damaged"):
        load(f"robustness:{path}")


def changed(**changes):
    state = tensors(net())
    for name, value in changes.items():
        key = "module.model." + name.replace("__", ".")
        if value is None:
            del state[key]
        else:
            state[key] = value
    return {"model": state}


@pytest.mark.parametrize(
    ("content", "query", "message"),
    [
        ({"epoch": 3}, "", "has no weights: neither"),
        ({"model": {}}, "", "has no weights"),
        ({"model": nn.Linear(2, 2).state_dict()}, "", "does not say which data"),
        ({"model": nn.Linear(2, 2).state_dict()}, "?data=cifar10", "holds no ResNet that featlab knows"),
        (changed(), "?arch=resnet50", "holds a resnet18, not a resnet50"),
        (changed(), "?arch=resnet19", "did you mean 'resnet18'"),
        (changed(), "?data=cifar", "did you mean 'cifar10'"),
        (changed(linear__weight=torch.zeros(7, 32)), "", "does not say which data"),
        (changed(bn1__weight=None), "", "no bn1.weight"),
        (changed(extra=torch.zeros(1)), "", "unknown extra"),
        (changed(bn1__weight=torch.zeros(5)), "", "does not fit resnet18"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, content, query, message):
    path = tmp_path / "m.pt"
    torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        load(f"robustness:{path}{query}")


def test_a_missing_checkpoint_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load(f"robustness:{tmp_path / 'none.pt'}")
