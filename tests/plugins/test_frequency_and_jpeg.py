"""Changes in the cosine domain: what the transform is, where the energy goes, and what a real JPEG does."""

import importlib
import io

import numpy as np
import pytest
import torch
from PIL import Image

import featlab as fl

cosines = importlib.import_module("featlab_plugins.threat_models.cosines").cosines
KEY = fl.Key(seed=0, examples=torch.arange(4))
BANDS = [(0.0, 0.25), (0.25, 0.5), (0.5, 1.0)]
SHAPES = [(3, 8, 12), (1, 7, 5), (2, 16), (20,)]


def waves(size):
    """The transform, from the definition's words: cosines of length one, k half waves over the signal."""
    n = np.arange(size)
    rows = [np.cos(np.pi * k * (2 * n + 1) / (2 * size)) for k in range(size)]
    return torch.tensor(np.stack([row / np.linalg.norm(row) for row in rows]))


def spectrum(change):
    """Return the coefficients over the last axis, or two for pictures."""
    change = change @ waves(change.shape[-1]).T
    return waves(change.shape[-2]) @ change if change.dim() == 4 else change


def quickest(shape):
    """Return each coefficient's share of the highest frequency."""
    across = torch.arange(shape[-1], dtype=torch.float64) / shape[-1]
    if len(shape) < 3:
        return across
    return torch.maximum(across, torch.arange(shape[-2], dtype=torch.float64)[:, None] / shape[-2])


@pytest.mark.parametrize("size", [1, 2, 7, 8, 32])
def test_the_transform_is_orthonormal_and_what_it_says(size):
    matrix = cosines(torch.zeros(0, dtype=torch.float64), size, size)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(size, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(matrix, waves(size), rtol=0, atol=1e-12)
    assert torch.equal(cosines(matrix, size, 1), matrix[:1])


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("low", "high"), BANDS)
def test_outside_the_band_there_is_nothing(low, high, shape, norm):
    center = torch.full((4, *shape), 0.5, dtype=torch.float64)
    within = fl.threat_model("frequency", eps=0.1, low=low, high=high, norm=norm)
    target = torch.rand(center.shape, dtype=torch.float64)
    found = fl.maximize(fl.Problem(fl.stay_near(target), center, within, 6, 0.05, random_start=True))
    coefficients, inside = spectrum(found - center), (quickest(shape) >= low) & (quickest(shape) < high)
    assert coefficients[..., ~inside].abs().max() < 1e-12
    assert coefficients[..., inside].flatten(1).abs().amax(dim=1).min() > 1e-3


@pytest.mark.parametrize("size", [5, 7, 20, 28, 32])
def test_bands_that_meet_hold_every_frequency_once(size):
    like = torch.zeros(1, 1, size, size + 3)
    held = sum(
        fl.threat_model("frequency", eps=100.0, low=low, high=high).project(torch.ones_like(like), like)
        for low, high in BANDS
    )
    assert torch.equal(held, torch.ones_like(like))


@pytest.mark.parametrize("shape", [(3, 16, 16), (50,)], ids=str)
@pytest.mark.parametrize("eps", [1e-3, 8 / 255, 0.5])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_images_end_exactly_inside(norm, eps, shape):
    """With no tolerance, also where the cut to [0, 1] acts."""
    torch.manual_seed(2)
    center, target = torch.rand(4, *shape).round(decimals=1), torch.rand(4, *shape)
    within = fl.threat_model("frequency", eps=eps, norm=norm)
    problem = fl.Problem(fl.stay_near(target), center, within, 6, eps / 2, random_start=True)
    for frame in fl.ascend(problem):
        change = frame.images.double() - center.double()
        assert ((frame.images >= 0) & (frame.images <= 1)).all()
        length = change.flatten(1).norm(dim=1) if norm == "l2" else change.flatten(1).abs().amax(dim=1)
        assert (length <= eps).all()
        assert (length > 0.3 * eps).any()


@pytest.mark.parametrize(("low", "high"), BANDS)
def test_on_a_linear_score_the_ascent_finds_the_optimum(low, high):
    """Of <w, x>: eps times the length of the part of w in the band."""
    torch.manual_seed(3)
    weights, center = torch.randn(1, 9, 8, dtype=torch.float64), torch.full((4, 1, 9, 8), 0.5, dtype=torch.float64)
    within = fl.threat_model("frequency", eps=0.2, low=low, high=high)
    found = fl.maximize(fl.Problem(lambda x: (x * weights).flatten(1).sum(dim=1), center, within, 3, 0.1))
    inside = (quickest((1, 9, 8)) >= low) & (quickest((1, 9, 8)) < high)
    best = 0.2 * spectrum(weights[None])[..., inside].norm()
    torch.testing.assert_close(((found - center) * weights).flatten(1).sum(dim=1), best.expand(4))


def test_in_the_max_norm_the_ball_is_filled():
    """Steps that are only scaled back into the ball would reach half of what no change at all can surpass."""
    torch.manual_seed(4)
    weights, center, eps = torch.randn(1, 16, 16), torch.full((4, 1, 16, 16), 0.5), 0.1
    within = fl.threat_model("frequency", eps=eps, high=0.5, norm="linf")
    found = fl.maximize(fl.Problem(lambda x: (x * weights).flatten(1).sum(dim=1), center, within, 20, eps / 4))
    low = torch.where(quickest((1, 16, 16)) < 0.5, spectrum(weights[None].double()), 0.0)
    part = waves(16).T @ low @ waves(16)
    bound, scaled = eps * part.abs().sum(), eps * part.square().sum() / part.abs().max()
    gain = ((found - center) * weights).flatten(1).sum(dim=1)
    assert (gain <= bound).all()
    assert (gain > 0.6 * bound).all()
    assert (gain > 1.4 * scaled).all()


def test_a_band_without_a_frequency_is_refused():
    within = fl.threat_model("frequency:eps=1,low=0.9,high=1")
    with pytest.raises(ValueError, match=r"no frequency of 5x5 values lies from 0.9 to 1; widen the band"):
        within.start(torch.rand(1, 1, 5, 5))


def test_projections_do_not_move_what_is_inside():
    center = torch.rand(4, 3, 8, 8)
    for norm, eps in (("l2", 0.5), ("linf", 0.05)):
        within = fl.threat_model("frequency", eps=eps, norm=norm)
        once = within.project(torch.randn(4, 3, 8, 8), center)
        assert torch.equal(within.project(once, center), once)


LUMINANCE_FIRST_ROW = [16, 11, 10, 16, 24, 40, 51, 61]
TO_YCC = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], dtype=torch.float64
)


def blocks(planes):
    """Return the coefficients of whole 8 x 8 blocks, (batch, channels, rows, columns, 8, 8)."""
    tiles = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    return waves(8) @ tiles @ waves(8).T


def tables(count, quality):
    """Return the steps that an encoder writes, read from a file that it wrote."""
    file = io.BytesIO()
    mode = "RGB" if count == 3 else "L"
    Image.new(mode, (8, 8)).save(file, "JPEG", quality=quality)
    found = Image.open(file).quantization
    return [torch.tensor(found[index]).reshape(8, 8).double() / 255 for index in sorted(found)]


def smooth_pictures(channels, height, width):
    """Pictures like real ones, so that few of their values are near 0 or 1."""
    torch.manual_seed(5)
    coarse = torch.rand(2, channels, 5, 5, dtype=torch.float64)
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    return ((0.25 + 0.5 * fine).clamp(0, 1) * 255).round() / 255


@pytest.mark.parametrize("quality", [10, 50, 75, 95])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_an_encoder_does_is_half_a_step_at_most(channels, quality):
    """The rounding of a real JPEG encoder, as points: they lie in the set with eps 1/2 and decode to its image."""
    images = smooth_pictures(channels, 24, 16)
    within = fl.threat_model("jpeg", eps=0.5, quality=quality, subsample=False)
    planes = torch.einsum("dc,bchw->bdhw", TO_YCC, images) if channels == 3 else images
    planes = planes - torch.tensor([128 / 255, 0, 0][: len(planes[0])]).reshape(-1, 1, 1)
    steps = tables(channels, quality)
    per_plane = torch.stack([steps[0], *[steps[-1]] * (channels - 1)])[:, None, None]
    coefficients = blocks(planes) / per_plane
    points = (coefficients.round() - coefficients).flatten(1)
    assert torch.equal(within.project(points, images), points)
    decoded = within.decode(points, images)
    for image, ours in zip(images, decoded, strict=True):
        pixels = (image * 255).byte().permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(file, "JPEG", quality=quality, subsampling=0)
        theirs = torch.tensor(np.asarray(Image.open(file))).reshape(24, 16, channels).permute(2, 0, 1) / 255
        # An encoder rounds luminance and chrominance to whole numbers before the transform, a decoder all values after.
        missed, rounded = (ours - theirs).abs().mean(), (image - theirs).abs().mean()
        assert missed < 1 / 255
        assert quality > 75 or rounded > 2 * missed


@pytest.mark.parametrize("subsample", [False, True])
def test_coefficients_move_at_most_eps_steps(subsample):
    center, target = torch.full((2, 3, 32, 16), 0.5, dtype=torch.float64), torch.rand(2, 3, 32, 16).double()
    within = fl.threat_model("jpeg", eps=0.25, quality=90, subsample=subsample)
    found = fl.maximize(fl.Problem(fl.stay_near(target), center, within, 6, 0.1))
    luminance, *chrominance = torch.einsum("dc,bchw->bdhw", TO_YCC, found - center).split((1, 2), dim=1)
    if subsample:
        chrominance = [torch.nn.functional.avg_pool2d(plane, 2) for plane in chrominance]
    for plane, table in zip((luminance, *chrominance), tables(3, 90), strict=True):
        moved = (blocks(plane) / table).abs().max()
        assert 0.2 < moved < 0.25 * (1 + 1e-5)  # The matrix of the standard has six digits.


def test_the_table_of_quality_50_is_the_standards():
    center = torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64)
    within = fl.threat_model("jpeg:eps=1/4,quality=50")
    for column, step in enumerate(LUMINANCE_FIRST_ROW):
        points = within.start(center)
        points[0, column] = 0.25
        change = spectrum(within.decode(points, center) - center)[0, 0]
        assert float(change[0, column]) == pytest.approx(0.25 * step / 255)
        assert float(change.abs().sum()) == pytest.approx(0.25 * step / 255)


def test_images_need_not_be_made_of_whole_blocks():
    """What lies in the image does not depend on how the blocks go on beyond it."""
    whole = torch.full((1, 3, 16, 32), 0.5)
    part = whole[..., :13, :19]
    within = fl.threat_model("jpeg:eps=1/2")
    points = within.sample(whole, key=fl.Key(seed=0, examples=torch.arange(1)))
    assert within.start(part).shape[1] == 2 * 3 * 64 + 2 * 2 * 64
    chosen = points[:, :512].reshape(1, 2, 4, 64)[:, :, :3].flatten(1)  # of luminance, three of the four columns
    cut = within.decode(torch.cat([chosen, points[:, 512:]], dim=1), part)
    torch.testing.assert_close(cut, within.decode(points, whole)[..., :13, :19])
