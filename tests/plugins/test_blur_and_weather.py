"""Blur has the width it says, fog lies evenly where it is even, flakes hide what they say."""

import math

import pytest
import torch

import featlab as fl

KEY = fl.Key(seed=0, examples=torch.arange(4))


def kernel(points, kind):
    """Return what a blur makes of one white pixel, and where each pixel is as seen from it."""
    center = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    center[0, 0, 20, 20] = 1
    within = fl.threat_model("blur", sigma=3.0, kind=kind)
    image = within.decode(torch.tensor([points], dtype=torch.float64), center)[0, 0]
    place = torch.arange(41, dtype=torch.float64) - 20
    return image, place.expand(41, 41), place[:, None].expand(41, 41)


@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
def test_a_gaussian_has_the_variance_that_was_asked_for(share):
    image, x, y = kernel([share], "gaussian")
    assert float(image.sum()) == pytest.approx(1.0, abs=1e-9)
    for square in (x**2, y**2):
        assert float((image * square).sum()) == pytest.approx(9 * share, rel=1e-4)  # 6 sigma lie in the image.
    assert float((image * x * y).sum()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("axis", "direction"), list(enumerate([(1, 0), (0, 1), (1, 1), (1, -1)])))
def test_a_directed_blur_has_its_variance_along_its_direction(axis, direction):
    shares = [0.0] * 4
    shares[axis] = 1.0
    image, x, y = kernel(shares, "motion")
    length = math.hypot(*direction)
    along, across = (direction[0] * x + direction[1] * y) / length, (direction[0] * y - direction[1] * x) / length
    assert float((image * along**2).sum()) == pytest.approx(9, rel=1e-4)
    assert float((image * across**2).sum()) == pytest.approx(0, abs=1e-9)


def test_no_direction_is_blurred_by_more_than_sigma():
    images = torch.rand(4, 1, 8, 8)
    points = fl.threat_model("blur:sigma=3,kind=motion").sample(images, key=KEY)
    for shares in points.tolist():
        image, x, y = kernel(shares, "motion")
        moments = [[float((image * a * b).sum()) for a in (x, y)] for b in (x, y)]
        assert torch.linalg.eigvalsh(torch.tensor(moments)).max() <= 9 * (1 + 1e-4)


def test_blur_keeps_the_mean_and_takes_away_what_differs():
    center, within = torch.rand(1, 3, 9, 6, dtype=torch.float64), fl.threat_model("blur:sigma=2")
    shares = [0.0, 0.05, 0.3, 1.0]
    images = [within.decode(torch.tensor([[share]], dtype=torch.float64), center) for share in shares]
    for image in images:
        torch.testing.assert_close(image.mean(dim=(2, 3)), center.mean(dim=(2, 3)))
        assert center.min() <= image.min()
        assert image.max() <= center.max()
    left = [float(fl.total_variation()(image)) for image in images]
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.5 * left[0]


def test_fog_lies_evenly_where_all_banks_are_alike():
    center = torch.rand(2, 3, 11, 14, dtype=torch.float64)
    within = fl.threat_model("fog:eps=0.6,light=0.8")
    points = torch.full_like(within.start(center), 0.6)
    torch.testing.assert_close(within.decode(points, center), 0.4 * center + 0.6 * 0.8)


def test_denser_fog_is_nearer_to_its_light():
    center, within = torch.rand(4, 3, 8, 8), fl.threat_model("fog:eps=1")
    points = within.sample(center, key=KEY)
    images = [within.decode(share * points, center) for share in (0.0, 0.3, 1.0)]
    assert (images[0] <= images[1]).all()
    assert (images[1] <= images[2]).all()
    assert (images[2] - images[0]).abs().max() > 0.3


def test_fog_has_banks_of_all_sizes():
    """One value of the first grid reaches half of the image, one of the last a few pixels."""
    center, within = torch.zeros(1, 1, 32, 32), fl.threat_model("fog:eps=1,octaves=4")
    reached = []
    for first in (0, 4, 4 + 9, 4 + 9 + 25):
        points = within.start(center)
        points[0, first] = 1
        reached.append(int((within.decode(points, center) > 0).sum()))
    assert reached[0] == 32 * 32
    assert reached[1:] == [16 * 16, 8 * 8, 4 * 4]


def test_a_flake_hides_what_its_point_says_at_its_middle():
    center, within = torch.zeros(1, 3, 24, 24, dtype=torch.float64), fl.threat_model("snow:eps=3/4,layers=2")
    start = within.start(center)
    assert start.shape == (1, 2, 4, 4)
    for layer, row, column in ((0, 1, 2), (1, 2, 1), (1, 3, 3)):
        points = start.clone()
        points[0, layer, row, column] = 0.75
        image = within.decode(points, center)
        assert float(image.max()) == pytest.approx(0.75)
        place = int(image[0, 0].argmax())
        assert (place // 24 // 6, place % 24 // 6) == (row, column)
        assert float((image > 0.1).double().mean()) < 0.1
        white = torch.ones_like(center)
        assert torch.equal(within.decode(points, white), white)


def test_flakes_before_one_another_hide_as_filters_do():
    center, within = torch.zeros(1, 1, 12, 12, dtype=torch.float64), fl.threat_model("snow:eps=0.9,spacing=2")
    first, second = torch.zeros(2, *within.start(center).shape, dtype=torch.float64)
    first[0, 0, 2], second[0, 1, :, 3] = 0.5, 0.9
    one, other, both = (1 - within.decode(points, center) for points in (first, second, first + second))
    torch.testing.assert_close(both, one * other)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0])
def test_flakes_fall_along_their_angle(angle):
    center = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    within = fl.threat_model("snow", eps=0.1, layers=1, angle=angle, spacing=41, length=6.0)
    image = within.decode(torch.full_like(within.start(center), 0.1), center)[0, 0]
    y, x = torch.meshgrid(*[torch.arange(41, dtype=torch.float64)] * 2, indexing="ij")
    x, y = x - (image * x).sum() / image.sum(), y - (image * y).sum() / image.sum()
    spread = torch.stack([torch.stack([(image * a * b).sum() for a in (x, y)]) for b in (x, y)])
    longest = torch.linalg.eigh(spread).eigenvectors[:, -1]
    along = torch.tensor([math.cos(math.radians(angle)), math.sin(math.radians(angle))], dtype=torch.float64)
    assert abs(float(longest @ along)) > 0.99


def test_the_seed_says_where_flakes_are():
    center = torch.rand(4, 3, 16, 16)
    images = []
    for seed in (0, 0, 1):
        within = fl.threat_model("snow", eps=0.5, seed=seed)
        images.append(within.decode(torch.full_like(within.start(center), 0.5), center))
    assert torch.equal(images[0], images[1])
    assert (images[0] != images[2]).any()


def test_constants_serve_attacks_though_first_made_in_inference_mode():
    """What is kept between calls must not remember the mode that it was made in."""
    center = torch.rand(1, 1, 13, 11)
    for spec in ("blur:sigma=1", "fog:eps=0.5", "snow:eps=0.5", "jpeg:eps=1", "frequency:eps=1", "recolor:eps=0.1"):
        within = fl.threat_model(spec)
        with torch.inference_mode():
            within.decode(within.start(center), center)
        points = within.start(center).requires_grad_()
        (grad,) = torch.autograd.grad(within.decode(points, center).sum(), points)
        assert torch.isfinite(grad).all()
