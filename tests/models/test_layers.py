"""Addresses, reading and its hooks, extractors, and the list of layers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from featlab.models import Classifier, Layer, Where, build, find, layer_shapes, penultimate, reading

IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def cnn():
    return build(
        "small_cnn", mean=0.3, std=0.3, classes=["cat", "dog", "bird"], shape=(3, 16, 16), seed=0,
        arguments={"channels": [4, 6], "strides": [2, 2]},
    ).eval()  # fmt: skip


def residual():
    return build("resnet18", mean=0.3, std=0.3, classes=["a", "b"], shape=(3, 16, 16), seed=0, arguments={"width": 4})


def hooks(model):
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in model.modules())


@settings(deadline=None)
@given(
    layer=st.from_regex(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+){0,3}", fullmatch=True),
    unit=st.none() | st.integers(0, 9999),
    at=st.none() | st.tuples(st.integers(0, 99)) | st.tuples(st.integers(0, 99), st.integers(0, 99)),
)
def test_an_address_is_read_as_it_is_written(layer, unit, at):
    where = Where(layer, unit, at)
    assert Where.parse(str(where)) == where


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("layer4.1", Where("layer4.1")),
        ("layer4.1:768", Where("layer4.1", 768)),
        ("layer4.1:768@3,5", Where("layer4.1", 768, (3, 5))),
        ("layer4.1@3,5", Where("layer4.1", None, (3, 5))),
        ("logits:dog", Where("logits", "dog")),
        ("logits:great white shark", Where("logits", "great white shark")),
    ],
)
def test_addresses(text, where):
    assert Where.parse(text) == where


@pytest.mark.parametrize("text", ["", "a:", "a@", ":3", "a@x", "a:1@2,", "a@1:2", "a b"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="a layer is addressed as"):
        Where.parse(text)


@pytest.mark.parametrize("make", [cnn, residual])
def test_penultimate_times_weight_plus_bias_is_the_logits(make):
    model = make()
    head = model.net.linear
    features = penultimate(model)(IMAGES)
    assert features.shape == (3, head.in_features)
    with torch.no_grad():
        torch.testing.assert_close(features @ head.weight.T + head.bias, model.eval()(IMAGES), rtol=1e-5, atol=1e-6)


def test_a_layer_is_the_same_by_name_module_and_address():
    model = cnn()
    expected = model.net.layer1((IMAGES - 0.3) / 0.3)
    for where in ("layer1", model.net.layer1, Where("layer1")):
        torch.testing.assert_close(Layer(model, where)(IMAGES), expected.flatten(1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(Layer(model, "layer1", pool=True)(IMAGES), expected.mean((2, 3)))
    torch.testing.assert_close(Layer(model, "layer1:2")(IMAGES), expected[:, 2:3].mean((2, 3)))
    torch.testing.assert_close(Layer(model, "layer1@3,5")(IMAGES), expected[:, :, 3, 5])
    torch.testing.assert_close(Layer(model, "layer1:2@3,5")(IMAGES), expected[:, 2:3, 3, 5])


def test_logits_by_number_name_and_module():
    model = cnn()
    logits = model(IMAGES)
    assert torch.equal(Layer(model, "logits")(IMAGES), logits)
    assert torch.equal(Layer(model, model)(IMAGES), logits)
    for unit in ("logits:1", "logits:dog"):
        assert torch.equal(Layer(model, unit)(IMAGES), logits[:, 1:2])


def test_values_are_those_before_an_in_place_operation():
    model = cnn()  # its ReLU works in place on the output of bn
    values = Layer(model, "layer1.bn")(IMAGES)
    assert values.min() < 0
    assert torch.equal(values.clamp_min(0), Layer(model, "layer1.relu")(IMAGES))


def test_reading_several_layers_changes_no_logit_and_follows_the_last_pass():
    model = cnn()
    plain = model(IMAGES)
    with reading(model, "layer1", "layer2", "penultimate", "logits") as read:
        assert torch.equal(model(IMAGES), plain)
        first = read["layer1"]
        model(IMAGES[:1])
        assert len(read["layer1"]) == len(read["logits"]) == 1
    assert len(first) == 3
    assert list(read) == ["layer1", "layer2", "penultimate", "logits"]


def test_hooks_are_gone_after_the_block_and_after_an_exception():
    model = cnn()
    with reading(model, "layer1", "penultimate", "logits"):
        assert hooks(model) == 4
    assert hooks(model) == 0
    with pytest.raises(KeyError), reading(model, "layer1"):
        raise KeyError("inside")
    with pytest.raises(ValueError, match="takes float images"):
        Layer(model, "layer1")(IMAGES[:, :1])
    with pytest.raises(ValueError, match="no layer"), reading(model, "layer1", "nothing"):
        pass
    assert hooks(model) == 0


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()
        self.unused = nn.ReLU()
        self.pair = nn.Identity()
        self.linear = nn.Linear(4, 2)

    def forward(self, images):
        pair = self.pair({"value": self.act(images)})
        return self.linear(self.act(pair["value"]))


def test_a_layer_without_a_single_value_is_refused_with_the_reason():
    model = Classifier(Twice(), mean=0, std=1, classes="ab", shape=(4,))
    vectors = torch.rand(2, 4)
    with pytest.raises(ValueError, match="'act' runs more than once in one forward pass"):
        Layer(model, "act")(vectors)
    with pytest.raises(ValueError, match="'unused' took no part"):
        Layer(model, "unused")(vectors)
    with pytest.raises(ValueError, match="'pair' answers with a dict"):
        Layer(model, "pair")(vectors)
    assert hooks(model) == 0
    assert {row.name: row.runs for row in layer_shapes(model)} == {"act": 2, "unused": 0, "pair": 1, "linear": 1}
    assert Layer(model, "linear")(vectors).shape == (2, 2)  # and the next pass is not disturbed


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("layre1", "no layer 'layre1'; did you mean 'layer1'"),
        ("logit", "did you mean 'logits'"),
        ("logits:dgo", "did you mean 'dog'"),
        ("layer1:dog", "a unit is a number"),
        (nn.ReLU(), "this ReLU is no module of the model"),
    ],
)
def test_unknown_layers_are_refused_before_any_pass(where, message):
    with pytest.raises(ValueError, match=message):
        find(cnn(), where)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("layer1:4", "units 0 to 3; got 4"),
        ("layer1@8,0", "positions below 8,8"),
        ("layer1@1", "positions below 8,8; got @1"),
        ("logits@1,1", "no positions"),
    ],
)
def test_units_and_positions_beyond_the_map_are_refused(where, message):
    with pytest.raises(ValueError, match=message):
        Layer(cnn(), where)(IMAGES)


def test_extractors_leave_the_model_as_it_was_and_let_gradients_through():
    model = cnn().train()
    buffers = {name: each.clone() for name, each in model.named_buffers()}
    images = IMAGES.clone().requires_grad_()
    Layer(model, "layer2:1")(images).sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(each.grad is None and each.requires_grad for each in model.parameters())
    assert all(torch.equal(each, buffers[name]) for name, each in model.named_buffers())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(("dtype", "expected"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_features_have_the_precision_of_logits(dtype, expected):
    model = cnn().to(dtype)
    assert Layer(model, "layer1")(IMAGES).dtype == expected
    assert penultimate(model)(IMAGES).dtype == expected


class Tokens(nn.Module):
    """Patches as tokens (batch, tokens, channels), the mean of which is classified."""

    def __init__(self):
        super().__init__()
        self.signal = nn.Conv1d(3, 5, 1)
        self.mix = nn.Identity()
        self.linear = nn.Linear(5, 2)

    def forward(self, images):
        tokens = self.mix(self.signal(images).movedim(1, 2))
        return self.linear(tokens.mean(1))


def test_channels_of_tokens_are_last_and_of_signals_first():
    model = Tokens()
    images = torch.rand(2, 3, 7)
    maps = model.signal(images)
    torch.testing.assert_close(Layer(model, "signal:4@6")(images), maps[:, 4:5, 6])
    torch.testing.assert_close(Layer(model, "mix:4@6")(images), maps[:, 4:5, 6])
    torch.testing.assert_close(Layer(model, "mix", pool=True)(images), maps.mean(2))


class Patches(nn.Module):
    """A square image as tokens of 2 x 2 pixels, after so many tokens that are no patches."""

    def __init__(self, before=1):
        super().__init__()
        self.cut = nn.Conv2d(3, 5, 2, 2)
        self.mix = nn.Identity()
        self.linear = nn.Linear(5, 2)
        self.before = before

    def forward(self, images):
        patches = self.cut(images).flatten(2).mT
        tokens = self.mix(torch.cat([torch.zeros(len(images), self.before, 5), patches], dim=1))
        return self.linear(tokens[:, 0])


@pytest.mark.parametrize("before", [0, 1])
def test_patches_go_by_row_and_column_too(before):
    model, images = Patches(before), torch.rand(2, 3, 8, 8)
    maps = model.cut(images)
    torch.testing.assert_close(Layer(model, "mix:4@3,1")(images), maps[:, 4:5, 3, 1])
    torch.testing.assert_close(Layer(model, "mix@0,2")(images), maps[:, :, 0, 2])
    torch.testing.assert_close(Layer(model, f"mix:4@{before + 6}")(images), maps[:, 4:5, 1, 2])
    with pytest.raises(ValueError, match="has 4 x 4 patches; got @4,0"):
        Layer(model, "mix:4@4,0")(images)


def test_tokens_that_are_no_square_grid_go_by_their_number_alone():
    with pytest.raises(ValueError, match=r"has positions below 18; got @3,1"):
        Layer(Patches(2), "mix:4@3,1")(torch.rand(2, 3, 8, 8))
    with pytest.raises(ValueError, match=r"has positions below 17; got @1,1"):
        Layer(Patches(1), "mix:4@1,1")(torch.rand(2, 3, 4, 16))


def test_a_net_without_linear_head_has_no_penultimate_layer():
    conv = nn.Sequential(nn.Linear(4, 3), nn.Unflatten(1, (3, 1)), nn.Conv1d(3, 2, 1), nn.Flatten())
    model = Classifier(conv, mean=0, std=1, classes="ab", shape=(4,))
    with pytest.raises(ValueError, match="does not end in a linear module"):
        penultimate(model)


def test_a_bare_linear_net_has_its_input_as_penultimate_layer():
    model = Classifier(nn.Linear(4, 2), mean=0.5, std=0.5, classes="ab", shape=(4,))
    vectors = torch.rand(3, 4)
    torch.testing.assert_close(penultimate(model)(vectors), vectors * 2 - 1)


def test_layer_shapes_of_a_resnet():
    model = residual().train()
    rows = {row.name: row for row in layer_shapes(model)}
    assert rows["conv1"].shape == (4, 16, 16)
    assert rows["layer4"].shape == (32, 2, 2)
    assert rows["linear"].shape == (2,)
    assert rows["linear"].parameters == 32 * 2 + 2
    assert rows["layer2.0.shortcut.0"].kind == "Conv2d"
    assert set(rows) == set(model.layers())
    assert hooks(model) == 0
    assert model.net.bn1.num_batches_tracked == 0
    assert model.training
    larger = {row.name: row.shape for row in layer_shapes(model, shape=(3, 32, 32))}
    assert larger["layer4"] == (32, 4, 4)


def test_layer_shapes_of_a_plain_module_need_a_shape():
    net = nn.Sequential(nn.Linear(3, 2))
    assert layer_shapes(net, shape=(3,))[0].shape == (2,)
    with pytest.raises(ValueError, match="needs shape="):
        layer_shapes(net)
    with pytest.raises(ValueError, match=r"does not take images of shape \(4,\)"):
        layer_shapes(net, shape=(4,))


def test_an_extractor_says_what_it_is():
    assert "layer1" in repr(Layer(cnn(), "layer1:2"))
    assert "Conv2d" not in repr(Layer(cnn(), "layer1:2"))
