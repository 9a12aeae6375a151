"""The nets: sizes known from the papers, shapes, names that checkpoints use, and building by name."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featlab.models import Architecture, architectures, build, resnet18, resnet50, small_cnn
from featlab.models.building import build_net


@pytest.mark.parametrize(("make", "parameters"), [(resnet18, 11_173_962), (resnet50, 23_520_842)])
def test_parameter_counts_of_the_cifar_resnets(make, parameters):
    with torch.device("meta"):
        net = make()
    assert sum(each.numel() for each in net.parameters()) == parameters


def test_resnet_names_are_those_of_the_checkpoints():
    with torch.device("meta"):
        shallow, deep = set(resnet18().state_dict()), set(resnet50().state_dict())
    for names in (shallow, deep):
        assert {"conv1.weight", "bn1.running_var", "layer4.1.conv2.weight", "linear.bias"} <= names
        assert {"layer2.0.shortcut.0.weight", "layer2.0.shortcut.1.running_mean"} <= names
        assert {name.split(".")[0] for name in names} == {
            "conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "linear",
        }  # fmt: skip
    assert "layer1.0.shortcut.0.weight" not in shallow  # the shape stays: no projection
    assert "layer1.0.shortcut.0.weight" in deep
    assert "layer3.5.conv3.weight" in deep


def test_a_residual_block_with_silent_inner_part_is_the_shortcut():
    net = resnet18(width=4).eval()
    block = net.layer1[0]
    torch.nn.init.zeros_(block.bn2.weight)
    maps = torch.rand(2, 4, 6, 6)
    assert torch.equal(block(maps), maps)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(3, 12),
    width=st.integers(3, 12),
    strides=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    kernel=st.sampled_from([1, 3, 5]),
    pool=st.booleans(),
)
def test_small_cnn_fits_any_size(height, width, strides, kernel, pool):
    net = small_cnn(
        classes=4,
        channels=[3] * len(strides),
        strides=strides,
        in_channels=2,
        size=(height, width),
        kernel=kernel,
        pool=pool,
    ).eval()
    assert net(torch.rand(2, 2, height, width)).shape == (2, 4)


def test_every_architecture_is_built_by_name():
    for name in architectures():
        with torch.device("meta"):
            net = build_net(Architecture(name))
        assert net.architecture.name == name


def test_the_data_decide_classes_channels_and_size():
    net = build("small_cnn", mean=0, std=1, classes=["x", "y"], shape=(3, 10, 12)).net
    assert net.architecture.arguments["size"] == [10, 12]
    assert (net.linear.out_features, net.layer1.conv.in_channels) == (2, 3)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (Architecture("resnet20"), "did you mean 'resnet"),
        (Architecture("resnet18", {"widht": 4}), "widht"),
        (Architecture("small_cnn", {"channels": [1, 2]}), "one stride per block"),
        (Architecture("small_cnn", {"size": [4, 4, 4]}), "takes pictures"),
        (Architecture("resnet18", {"width": -1}), "cannot be built"),
        (Architecture("tensorflow:resnet"), "package of an architecture"),
    ],
)
def test_impossible_architectures_are_refused(architecture, message):
    with pytest.raises(ValueError, match=message):
        build_net(architecture)


@pytest.mark.parametrize("record", [None, {}, {"name": 3}, {"name": "resnet18", "arguments": []}])
def test_a_record_that_is_no_architecture_is_refused(record):
    with pytest.raises(ValueError, match="architecture"):
        Architecture.from_record(record)


def test_an_mlp_without_hidden_layers_is_linear():
    model = build("mlp", mean=0.25, std=0.5, classes="abc", shape=(2, 3, 4), arguments={"hidden": []}, seed=0)
    one, other = torch.rand(2, 5, 2, 3, 4)
    zero = model(torch.zeros(5, 2, 3, 4))
    torch.testing.assert_close(model(one) + model(other) - zero, model(one + other), rtol=1e-4, atol=1e-5)
    deep = build("mlp", mean=0.25, std=0.5, classes="abc", shape=(2, 3, 4), arguments={"hidden": [7, 5]}, seed=0)
    assert deep(one).shape == (5, 3)
    assert {name.split(".")[1] for name, _ in deep.named_parameters()} == {"layer1", "layer2", "linear"}
    with pytest.raises(ValueError, match="widths"):
        build("mlp", mean=0.25, std=0.5, classes="abc", shape=(2, 3, 4), arguments={"hidden": [0]})
