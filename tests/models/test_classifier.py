"""The classifier's normalisation, types, hash and refusals."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from featlab.models import Architecture, Classifier, build, small_cnn

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


class Same(nn.Module):
    """Answers with the first pixel of each channel, so that the logits are the normalised values."""

    def forward(self, images):
        return images.flatten(2)[:, :, 0] if images.dim() > 2 else images


def same(**options):
    chosen = {"mean": MEAN, "std": STD, "classes": "abc", "shape": (3, 2, 2)} | options
    return Classifier(Same(), **chosen)


def small(dtype=torch.float32, seed=0, **arguments):
    made = build(
        "small_cnn",
        mean=0.286,
        std=0.353,
        classes=["a", "b", "c"],
        shape=(1, 8, 8),
        seed=seed,
        arguments={"channels": [4, 6], "strides": [1, 2]} | arguments,
    )
    return made.eval().to(dtype)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_normalisation_is_that_computed_by_hand_in_float64(seed, batch):
    images = torch.rand(batch, 3, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mean, std = (torch.tensor(each, dtype=torch.float64) for each in (MEAN, STD))
    by_hand = (images[:, :, 0, 0] - mean) / std
    linear = Classifier(nn.Sequential(Same(), nn.Identity()), mean=MEAN, std=STD, classes="abc", shape=(3, 2, 2))
    torch.testing.assert_close(linear(images.float()), by_hand.float(), rtol=0, atol=1e-6)
    wide = Classifier(
        nn.Sequential(Same(), nn.Linear(3, 3, bias=False).double()), mean=MEAN, std=STD, classes="abc", shape=(3, 2, 2)
    )
    wide.net[1].weight.data.copy_(torch.eye(3))
    assert wide(images).dtype == torch.float64
    torch.testing.assert_close(wide(images), by_hand, rtol=0, atol=1e-14)


@settings(deadline=None)
@given(st.integers(1, 5), st.booleans())
def test_normalisation_of_vectors(width, shared):
    mean = 0.25 if shared else [0.1 * index for index in range(width)]
    std = 0.5 if shared else [1.0 + index for index in range(width)]
    model = Classifier(Same(), mean=mean, std=std, classes=[str(index) for index in range(width)], shape=(width,))
    vectors = torch.rand(4, width)
    by_hand = (vectors.double() - torch.tensor(mean).double()) / torch.tensor(std).double()
    torch.testing.assert_close(model(vectors), by_hand.float(), rtol=1e-5, atol=1e-6)


def test_a_plain_normalisation_changes_no_bit():
    images = torch.rand(5, 3, 2, 2)
    assert torch.equal(same(mean=0, std=1)(images), images[:, :, 0, 0])


@pytest.mark.parametrize("images", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("net", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_any_image_type_meets_any_net_type(net, images):
    pixels = torch.rand(3, 1, 8, 8).to(images)
    reference = small(torch.float64)(pixels.double())
    logits = small(net)(pixels)
    assert logits.dtype == (torch.float64 if net == torch.float64 else torch.float32)
    error = {torch.float64: 1e-6, torch.float32: 1e-4, torch.bfloat16: 0.1}[net]  # float64: from float32 weights
    torch.testing.assert_close(logits.double(), reference, rtol=0, atol=error)


def test_a_cast_does_not_round_the_normalisation():
    model = same().to(torch.bfloat16)
    images = torch.full((1, 3, 2, 2), 128 / 255)
    assert torch.equal(model(images), same()(images))
    assert model.double().float().mean == MEAN


def test_normalisation_moves_with_a_net_that_has_no_weights():
    assert same().to("meta").scale.device.type == "meta"


def test_pixels_are_not_rounded_before_the_normalisation_of_a_bfloat16_net():
    # As bfloat16 these two pixels are one number; normalised in float32 they are two, apart even in bfloat16.
    model = Classifier(nn.Sequential(Same()), mean=0.88, std=0.05, classes="a", shape=(1, 1, 1)).bfloat16()
    model.net.append(nn.Linear(1, 1, bias=False).bfloat16())
    model.net[1].weight.data.fill_(1.0)
    levels = torch.tensor([0.8782, 0.8797]).reshape(2, 1, 1, 1)
    assert levels.bfloat16()[0] == levels.bfloat16()[1]
    dark, bright = model(levels)
    assert dark < bright


def test_channels_last_images_give_the_same_logits():
    model = build(
        "resnet18", mean=MEAN, std=STD, classes="ab", shape=(3, 16, 16), seed=1, arguments={"width": 8}
    ).eval()
    images = torch.rand(2, 3, 16, 16)
    seen = []
    model.net.conv1.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    last = model(images.contiguous(memory_format=torch.channels_last))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, model(images), rtol=1e-4, atol=1e-4)


def test_gradient_with_respect_to_the_images_is_that_of_the_formula():
    images = torch.rand(1, 3, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(same()(images).sum(), images)
    torch.testing.assert_close(gradient[0, :, 0, 0], 1 / torch.tensor(STD))


def test_normalisation_is_no_part_of_the_state():
    model = same()
    assert not model.state_dict()
    assert not list(model.parameters())


def test_images_are_resized_before_the_net():
    seen = []

    class Watch(Same):
        def forward(self, images):
            seen.append(images)
            return super().forward(images)

    model = Classifier(Watch(), mean=0.5, std=0.5, classes="a", shape=(1, 8, 8), resize=4)
    image = torch.arange(8.0).div(8).repeat(8, 1)[None, None]
    model(image)
    assert seen[0].shape == (1, 1, 4, 4)
    # Antialiased bilinear halving of a ramp keeps it a ramp in the interior.
    torch.testing.assert_close(seen[0][0, 0, 0, 1:3] / 2 + 0.5, torch.tensor([2.5, 4.5]) / 8)
    # Each input pixel has its share in a strong reduction; plain bilinear sampling would skip the first column.
    first = torch.zeros(1, 1, 8, 8)
    first[..., 0] = 1
    Classifier(Watch(), mean=0, std=1, classes="a", shape=(1, 8, 8), resize=2)(first)
    assert seen[1][0, 0, 0, 0] > 0.05


def test_hash_sees_weights_normalisation_and_architecture():
    model = small()
    hashes = {model.hash(), small(seed=1).hash(), small(strides=[2, 1]).hash(), small(kernel=5).hash()}
    shifted = Classifier(model.net, mean=0.3, std=0.353, classes="abc", shape=(1, 8, 8))
    assert len(hashes | {shifted.hash()}) == 5
    changed = copy.deepcopy(model)
    changed.net.linear.bias.data[0] += 1e-7
    assert changed.hash() != model.hash()
    assert copy.deepcopy(model).hash() == model.hash()


def test_hash_is_of_values_not_of_their_storage():
    model = small()
    before = model.hash()
    assert model.to(memory_format=torch.channels_last).hash() == before
    half = small(torch.bfloat16)
    assert half.hash() == copy.deepcopy(half).float().hash()
    assert half.hash() != before


def test_equal_seeds_give_equal_weights_and_leave_the_random_state():
    state = torch.get_rng_state()
    first, second, third = small(seed=3), small(seed=3), small(seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.net.linear.weight, second.net.linear.weight)
    assert not torch.equal(first.net.linear.weight, third.net.linear.weight)


def test_with_shape_shares_the_net():
    model = build("resnet18", mean=MEAN, std=STD, classes="ab", shape=(3, 16, 16), arguments={"width": 4}).eval()
    larger = model.with_shape((3, 24, 24))
    assert larger.net is model.net
    assert larger(torch.rand(1, 3, 24, 24)).shape == (1, 2)


def test_layers_are_the_dotted_names_of_the_net():
    model = small()
    assert model.layers()["layer2.bn"] is model.net.layer2.bn
    assert "" not in model.layers()


class Record(nn.Module):
    def forward(self, images):
        return type("Output", (), {"logits": images.flatten(1)[:, :2]})()


def test_a_record_with_logits_is_understood():
    images = torch.rand(2, 1, 2, 2)
    assert torch.equal(Classifier(Record(), mean=0, std=1, classes="ab", shape=(1, 2, 2))(images), images[:, 0, 0, :2])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 3, 4, 4), r"shape \(batch, 3, 2, 2\).*got torch.float32 of shape \(2, 3, 4, 4\)"),
        (torch.zeros(3, 2, 2), "shape"),
        (torch.zeros(1, 3, 2, 2, dtype=torch.uint8), "got torch.uint8"),
    ],
)
def test_images_that_do_not_fit_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        same()(images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (0.1, 0.2)}, "one number or one per channel, 3"),
        ({"std": 0.0}, "std positive"),
        ({"mean": float("nan")}, "finite"),
        ({"classes": []}, "names of its classes"),
        ({"shape": (), "mean": 0, "std": 1}, "one image's"),
        ({"shape": (3,), "resize": 4}, "only pictures"),
        ({"resize": (4, 4, 4)}, "resize must be"),
    ],
)
def test_a_classifier_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        same(**options)


def test_the_number_of_logits_must_be_that_of_the_classes():
    with pytest.raises(ValueError, match=r"must answer \(batch, 4\) logits.*got shape \(1, 3\)"):
        same(classes="abcd")(torch.zeros(1, 3, 2, 2))


def test_nets_of_featlab_say_how_they_were_built():
    made = small_cnn(channels=(2,), strides=(1,), size=(4, 6), classes=3)
    wrapped = Classifier(made, mean=0, std=1, classes="abc", shape=(1, 4, 6))
    assert wrapped.architecture == Architecture("small_cnn", made.architecture.arguments)
    assert wrapped.architecture.arguments["size"] == [4, 6]
    assert same().architecture is None
