"""Perceptual balls: what is inside, the way back, and the penalty."""

import pytest
import torch
from fashion import losses, trained
from torch import nn

import featlab as fl
from featlab.testing import check_threat_model
from featlab_plugins.threat_models.perceptual import backtracked, beyond


def conv(*, dtype=torch.float64):
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.Tanh(), nn.Conv2d(5, 3, 3, stride=2), nn.Tanh())
    return net.to(dtype)


def ball(net, **options):
    return fl.threat_model("perceptual", model=net, **options)


def test_it_holds_the_kit():
    """On a smooth net, in float64 as it computes; a projection is the last point found inside."""
    net = conv()
    for eps in (0.3, torch.tensor([0.0, 0.05, 0.1, 0.5, 3.0])):
        within = ball(net, eps=eps, tries=20)

        def contains(points, center, within=within, eps=eps):
            return within.distance(points, center) <= eps

        check_threat_model(lambda within=within: within, shape=(2, 6, 6), contains=contains, examples=4)


def test_the_distance_is_that_of_activations_at_length_one():
    net = conv()
    within = ball(net, eps=1.0)
    assert within.layers == ("1", "3")
    images = torch.rand(3, 2, 6, 6, dtype=torch.float64)
    first = net[1](net[0](images))
    maps = [first, net[3](net[2](first))]
    parts = [
        (each / each.norm(dim=1, keepdim=True)).flatten(1) / (each.shape[2] * each.shape[3]) ** 0.5 for each in maps
    ]
    torch.testing.assert_close(within.features(images), torch.cat(parts, dim=1))
    torch.testing.assert_close(within.features(images).norm(dim=1), torch.full((3,), 2**0.5, dtype=torch.float64))
    other = images.flip(0)
    wanted = (within.features(images) - within.features(other)).norm(dim=1)
    assert torch.equal(within.distance(images, other), wanted)
    assert within.distance(images, images).max() == 0


def test_the_way_back_ends_just_inside():
    within = ball(conv(), eps=0.2)
    torch.manual_seed(0)
    center = torch.rand(40, 2, 6, 6, dtype=torch.float64)
    far = center + torch.randn_like(center)
    found = within.project(far, center)
    distance = within.distance(found, center)
    assert (distance <= 0.2).all()
    assert (distance > 0.19).double().mean() > 0.9
    # On the line between the two.
    share = (found - center).flatten(1).norm(dim=1) / (far.clamp(0, 1) - center).flatten(1).norm(dim=1)
    line = center + share[:, None, None, None] * (far.clamp(0, 1) - center)
    torch.testing.assert_close(found, line)
    near = center + 1e-4
    assert torch.equal(within.project(near, center), near.clamp(0, 1))


def test_the_search_is_quick_and_safe_whatever_the_distance():
    """Ten looks find the root of steep and flat distances; where it jumps, or is not a number, the end is inside."""
    center, far = torch.zeros(4, 1), torch.ones(4, 1)
    limit = torch.tensor([0.5, 1e-3, 0.5, 0.5], dtype=torch.float64)

    def distance(points):
        value = points[:, 0].double()
        jump = torch.where(value > 0.3, 2.0, 0.1)
        nothing = torch.where(value > 0, torch.nan, 0.0)
        return torch.stack([value[0] ** 3, 100 * value[1] ** 2, jump[2], nothing[3]])

    found = backtracked(distance, far, center, limit=limit, tries=12)[:, 0]
    assert abs(found[0] - 0.5 ** (1 / 3)) < 1e-3
    assert abs(found[1] - 1e-5**0.5) < 1e-5
    assert 0.2 < found[2] <= 0.3
    assert found[3] == 0


def test_attacks_stay_inside_and_fool_the_net():
    net, images, labels = trained()
    within = ball(net, eps=0.5)
    assert within.layers == ("2",)
    problem = fl.pgd(net, images, labels, within=within, steps=10, step_size=0.02, random_start=True)
    for frame in fl.ascend(problem):
        assert (within.distance(frame.images, images) <= 0.5 * (1 + 1e-6)).all()
        assert ((frame.images >= 0) & (frame.images <= 1)).all()
    found = fl.maximize(problem)
    assert (losses(net, found, labels) > losses(net, images, labels)).all()
    fooled = (net(found).argmax(dim=1) != labels).sum()
    assert fooled > 15
    smaller = fl.evaluate(net, (images, labels), within=ball(net, eps=0.2), suite="quick")
    assert fl.evaluate(net, (images, labels), within=within, suite="quick").robust.accuracy < smaller.robust.accuracy


def test_the_penalty_holds_a_free_ascent_near_the_ball():
    net, images, labels = trained()
    within, box, loss = ball(net, eps=0.3), fl.threat_model("box"), fl.cross_entropy(net, labels)
    penalty = beyond(within, images)
    assert not penalty(images).any()
    far = fl.maximize(fl.Problem(loss, images, box, 20, 0.4, keep="last"))
    near = fl.maximize(fl.Problem(loss - 30 * penalty, images, box, 20, 0.4, keep="last"))
    torch.testing.assert_close(penalty(far), (within.distance(far, images) - 0.3).clamp(min=0))
    assert penalty(near).mean() < 0.5 * penalty(far).mean()
    assert (penalty(far) > 0).double().mean() > 0.9
    torch.testing.assert_close(penalty.rows(torch.tensor([5, 2]))(far[[5, 2]]), penalty(far)[[5, 2]])
    inside = within.project(near, images)
    assert (within.distance(inside, images) <= 0.3).all()
    assert (losses(net, inside, labels) > losses(net, images, labels)).double().mean() > 0.9


class Shared(nn.Module):
    """A net whose one ReLU runs twice, and writes over its input."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.act = nn.Linear(6, 5), nn.Linear(5, 4), nn.ReLU(inplace=True)

    def forward(self, images):
        return self.act(self.b(self.act(self.a(images.flatten(1)))))


def small():
    arguments = {"channels": [4], "strides": [1]}
    return fl.build("small_cnn", mean=0.5, std=0.5, classes=["a", "b"], shape=(1, 8, 8), arguments=arguments, seed=0)


def test_layers_are_found_and_named():
    shared = ball(Shared(), eps=1.0)
    assert shared.layers == ("act",)
    assert shared.features(torch.rand(2, 6)).shape == (2, 9)
    assert ball(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), eps=1.0).layers == ("0",)
    assert ball(nn.Sequential(nn.Flatten(), nn.Linear(6, 2)), eps=1.0).layers == ("1",)
    assert ball(conv(), eps=1.0, layers=("0",)).features(torch.rand(2, 2, 6, 6)).shape == (2, 5 * 36)
    tokens = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation=nn.GELU()).eval()
    lengths = ball(tokens, eps=1.0, layers=("activation", "norm2")).features(torch.rand(3, 4, 8)).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((3,), 2**0.5))
    net = small()
    assert ball(net, eps=1.0).layers == ("layer1.relu",)


def test_it_is_written_as_text(tmp_path, images):
    net = small()
    fl.save(net, tmp_path / "net.safetensors", card={})
    within = fl.threat_model(
        f"perceptual:model=file:{tmp_path / 'net.safetensors'},eps=1/2,layers=layer1.conv:layer1.relu"
    )
    assert within.layers == ("layer1.conv", "layer1.relu")
    same = ball(net, eps=0.5, layers=("layer1.conv", "layer1.relu"))
    torch.testing.assert_close(within.distance(images, images.flip(0)), same.distance(images, images.flip(0)))
    assert "layer1.conv" in repr(within)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": -1.0}, "eps must be a number >= 0, got -1.0"),
        ({"eps": 1.0, "size": 0.0}, "size must be > 0"),
        ({"eps": 1.0, "tries": 0}, "tries >= 1"),
        ({"eps": 1.0, "layers": ("conv9",)}, "names of the net's modules"),
        ({"eps": 1.0, "layers": ()}, "names of the net's modules"),
    ],
)
def test_what_makes_no_set_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ball(conv(), **options)
    with pytest.raises(ValueError, match="Identity has no layers that are known to tell images apart"):
        ball(nn.Identity(), eps=1.0)
