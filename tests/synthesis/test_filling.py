"""Fillings without a net: what they must reproduce, and another program's."""

import pytest
import torch

import featlab as fl
from featlab.synthesis.filling import hole_error, known_change
from featlab.synthesis.scaling import bicubic, inconsistency, shrunk


def surface(*powers, side=16):
    """Return a picture of a polynomial, scaled into [0, 1]."""
    at = torch.linspace(-1, 1, side, dtype=torch.float64)
    made = sum(weight * at[:, None] ** i * at**j for i, j, weight in powers)
    return ((made - made.min()) / (made.max() - made.min()))[None, None]


def hole(side=16, box=(5, 10, 4, 11)):
    mask = torch.zeros(1, 1, side, side, dtype=torch.float64)
    mask[..., box[0] : box[1], box[2] : box[3]] = 1
    return mask


def test_biharmonic_surfaces_are_filled_exactly():
    cubic = surface((3, 0, 1.0), (1, 2, -0.7), (1, 1, 0.4), (0, 2, 0.3), (0, 1, 1.0))
    other = surface((2, 1, 0.5), (0, 3, -1.0))
    images, mask = torch.cat([torch.cat([cubic, other], dim=1)] * 2), hole()
    spoiled = torch.where(mask > 0, 0.0, images)
    torch.testing.assert_close(fl.biharmonic_fill(spoiled, mask), images, rtol=0, atol=1e-9)
    assert not torch.allclose(fl.mean_fill(spoiled, mask), images, atol=0.05)


@pytest.mark.parametrize("box", [(5, 10, 4, 11), (2, 14, 2, 3)])
def test_filling_is_that_of_scikit_image_away_from_the_border(box):
    inpaint = pytest.importorskip("skimage.restoration").inpaint_biharmonic
    images = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images, mask = 0.35 + 0.3 * images, hole(box=box)
    expected = inpaint(images[0, 0].numpy(), mask[0, 0].numpy() > 0)
    torch.testing.assert_close(fl.biharmonic_fill(images, mask)[0, 0], torch.from_numpy(expected), rtol=0, atol=1e-8)


def test_a_hole_at_the_corner_and_one_per_image_and_none():
    images = surface((1, 0, 1.0), (0, 1, 0.5)).float().expand(3, 1, 16, 16).contiguous()
    masks = torch.cat([hole(box=(0, 4, 12, 16)), hole(), 0 * hole()]).float()
    found = fl.biharmonic_fill(torch.where(masks > 0, 1.0, images), masks)
    torch.testing.assert_close(found[1:], images[1:], rtol=0, atol=1e-5)
    assert torch.equal(found[2], images[2])
    assert float((found[0] - images[0]).abs().max()) < 0.1  # No slope at the border of the picture is known.
    alone = fl.biharmonic_fill(torch.where(masks[:1] > 0, 1.0, images[:1]), masks[:1])
    torch.testing.assert_close(found[:1], alone)


def test_the_filling_is_the_least_of_its_energy():
    images = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    images, mask = 0.4 + 0.2 * images, hole(side=9, box=(0, 3, 4, 8))
    found = fl.biharmonic_fill(images, mask)

    def energy(picture):
        padded = torch.nn.functional.pad(picture, (1, 1, 1, 1), mode="replicate")
        around = padded[..., 2:, 1:-1] + padded[..., :-2, 1:-1] + padded[..., 1:-1, 2:] + padded[..., 1:-1, :-2]
        return (4 * picture - around).square().sum()

    best = energy(found)
    for seed in range(10):
        noise = torch.randn(found.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert energy(found + 1e-3 * mask * noise) > best


def test_mean_fill_by_channel_and_measures_of_the_hole():
    images = torch.stack([torch.full((16, 16), 0.25), torch.full((16, 16), 0.5)])[None].double()
    images[..., 0, 0] = 1.0
    mask = hole()
    filled = fl.mean_fill(images, mask)
    known = 256 - 35
    expected = torch.tensor([(0.25 * (known - 1) + 1) / known, (0.5 * (known - 1) + 1) / known], dtype=torch.float64)
    torch.testing.assert_close(filled[0, :, 7, 7], expected)
    assert known_change(filled, images, mask).item() == 0.0
    assert known_change(filled + 0.1 * (1 - mask), images, mask).item() == pytest.approx(0.1)
    assert hole_error(images + 0.1 * mask, images, mask).item() == pytest.approx(0.1)
    assert hole_error(images + 0.1 * (1 - mask), images, mask).item() == 0.0
    assert hole_error(images, images, 0 * mask).isnan().all()


def test_holes_that_make_no_sense_are_refused():
    images = torch.rand(2, 1, 16, 16)
    for fill in (fl.mean_fill, fl.biharmonic_fill):
        with pytest.raises(ValueError, match="covers all"):
            fill(images, torch.ones(1, 1, 16, 16))
        with pytest.raises(ValueError, match="size of its images"):
            fill(images, hole(side=15, box=(1, 2, 1, 2)))
        with pytest.raises(ValueError, match="batch or 1"):
            fill(images, torch.zeros(3, 1, 16, 16))


def test_shrinking_growing_and_what_a_large_picture_must_shrink_to():
    small = torch.rand(3, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    large = small.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    torch.testing.assert_close(shrunk(large, 4), small)
    assert float(inconsistency(large, small).max()) < 1e-6
    torch.testing.assert_close(inconsistency((large + 0.1).clamp(0, 2), small), torch.full((3,), 0.1))
    assert bicubic(small, 4).shape == (3, 1, 28, 28)
    flat = torch.full((1, 1, 7, 7), 0.3)
    torch.testing.assert_close(bicubic(flat, 4), torch.full((1, 1, 28, 28), 0.3))
    with pytest.raises(ValueError, match="divide both sides"):
        shrunk(large, 3)
