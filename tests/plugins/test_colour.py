"""What changes of colour leave as it is, and how far they go."""

import math

import pytest
import torch
from torch.nn.functional import grid_sample

import featlab as fl

LUMINANCE = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)


def pictures(channels=3):
    torch.manual_seed(1)
    return 0.35 + 0.3 * torch.rand(4, channels, 6, 7, dtype=torch.float64)


def luminance(images):
    return torch.einsum("c,bchw->bhw", LUMINANCE, images)


def shares(*values):
    return torch.tensor(values, dtype=torch.float64).expand(4, 3)


def test_hue_and_saturation_keep_the_luminance():
    within, images = fl.threat_model("hsb:hue=60,saturation=0.5,brightness=0"), pictures()
    moved = within.decode(shares(0.7, -0.4, 1.0), images)
    assert (moved - images).abs().max() > 0.05
    torch.testing.assert_close(luminance(moved), luminance(images), rtol=0, atol=1e-12)


def test_brightness_is_added_and_nothing_else():
    within, images = fl.threat_model("hsb:brightness=0.2"), pictures()
    torch.testing.assert_close(within.decode(shares(0, 0, -0.5), images), images - 0.1)
    grey = pictures(1)
    torch.testing.assert_close(within.decode(shares(0.3, 1, 0.5), grey), grey + 0.1)


def test_grey_pixels_have_no_hue():
    within, images = fl.threat_model("hsb:hue=180,saturation=1"), pictures(1).expand(-1, 3, -1, -1)
    torch.testing.assert_close(within.decode(shares(1, -0.5, 0), images), images, rtol=0, atol=1e-12)


def test_without_saturation_nothing_but_grey_is_left():
    images = pictures()
    moved = fl.threat_model("hsb:saturation=1").decode(shares(0.2, -1, 0), images)
    torch.testing.assert_close(moved, luminance(images)[:, None].expand_as(images), rtol=0, atol=1e-12)


def test_hues_turn_in_circles():
    """There and back is nowhere; three times a third of a circle, too; half a circle is the opposite colour."""
    images, within = pictures(), fl.threat_model("hsb:hue=120")
    back = within.decode(shares(-1, 0, 0), within.decode(shares(1, 0, 0), images))
    torch.testing.assert_close(back, images, rtol=0, atol=1e-12)
    thrice = images
    for _ in range(3):
        thrice = within.decode(shares(1, 0, 0), thrice)
    torch.testing.assert_close(thrice, images, rtol=0, atol=1e-12)
    opposite = fl.threat_model("hsb:hue=180").decode(shares(1, 0, 0), images)
    torch.testing.assert_close(opposite - luminance(images)[:, None], luminance(images)[:, None] - images)


@pytest.mark.parametrize("axis", range(3))
def test_larger_shares_change_more(axis):
    within, images = fl.threat_model("hsb"), pictures()
    points = torch.eye(3, dtype=torch.float64)[axis]
    sizes = [
        float((within.decode((share * points).expand(4, 3), images) - images).norm()) for share in (0.2, 0.5, 0.8, 1.0)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("smooth", [0, 1])
@pytest.mark.parametrize("channels", [1, 3])
def test_no_colour_moves_farther_than_eps(channels, smooth, dtype):
    """With no tolerance, at colours on the edge too."""
    eps = 8 / 255
    within, images = fl.threat_model("recolor", eps=eps, smooth=smooth), torch.rand(5, channels, 9, 9, dtype=dtype)
    images[:, :, :2] = torch.tensor([0.0, 1.0])[:, None].to(dtype)
    points = within.project(torch.randn(within.start(images).shape, dtype=dtype), images)
    moved = within.decode(points, images)
    assert ((moved - images).abs() <= eps).all()
    assert ((moved.double() - images.double()).abs() <= eps).all()
    assert (moved - images).abs().max() > 0.9 * eps * 0.5**smooth


def test_between_the_knots_colours_move_linearly():
    """As a look-up in three dimensions does, which is written elsewhere."""
    within, images = fl.threat_model("recolor:eps=0.2,knots=4"), pictures()
    points = within.sample(images, key=fl.Key(seed=0, examples=torch.arange(4)))
    where = images.movedim(1, -1).flip(-1)[:, None] * 2 - 1  # The last axis of the grid is the first coordinate.
    looked_up = grid_sample(points, where, align_corners=True)[:, :, 0]
    torch.testing.assert_close(within.decode(points, images), images + looked_up)


def test_a_tone_curve_passes_through_its_knots():
    within = fl.threat_model("recolor:eps=0.1,knots=5")
    images = torch.linspace(0.25, 0.75, 5, dtype=torch.float64).reshape(1, 1, 1, 5)
    points = torch.tensor([[[0.0, 0.1, -0.1, 0.05, 0.0]]], dtype=torch.float64)
    expected = images + torch.tensor([0.1, 0.0, -0.1, -0.025, 0.05])
    torch.testing.assert_close(within.decode(points, images), expected)


def test_one_colour_becomes_one_colour_wherever_it_is():
    within, images = fl.threat_model("recolor:eps=0.3"), pictures()
    images[:, :, 5, 6] = images[:, :, 0, 0]
    moved = within.decode(within.sample(images, key=fl.Key(seed=0, examples=torch.arange(4))), images)
    assert torch.equal(moved[:, :, 5, 6], moved[:, :, 0, 0])


def test_smooth_maps_keep_like_colours_alike():
    images = torch.linspace(0.25, 0.75, 3, dtype=torch.float64).reshape(1, 1, 1, 3)
    points = torch.tensor([[[0.2, -0.2, 0.2, -0.2, 0.2]]], dtype=torch.float64)
    rough = fl.threat_model("recolor:eps=0.2").decode(points, images) - images
    smooth = fl.threat_model("recolor:eps=0.2,smooth=1").decode(points, images) - images
    assert math.isclose(float(rough.diff().abs().max()), 0.4, rel_tol=1e-9)
    torch.testing.assert_close(smooth, torch.zeros_like(smooth))


def test_a_shift_of_all_colours_is_smooth():
    images, within = pictures(), fl.threat_model("recolor:eps=0.1,smooth=3")
    points = torch.full_like(within.start(images), 0.1)
    torch.testing.assert_close(within.decode(points, images), images + 0.1)
