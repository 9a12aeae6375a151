"""Affine maps of pictures, given or drawn at random, with a backward pass that gives the same bits each time."""

from typing import Any, Literal

import torch
from torch import Tensor

from featlab.ops import layout, random
from featlab.ops.calls import check_pictures, only_once, planes, run
from featlab.types import Images, Seeds

Padding = Literal["zero", "edge"]
_PADDINGS = {"zero": False, "edge": True}
_PURPOSE = 18


def affine(images: Images, theta: Tensor, *, padding: Padding = "edge") -> Images:
    """Return out[.., i, j] = images[.., y, x], bilinear, at x = t0 j + t1 i + t2 and y = t3 j + t4 i + t5, in pixels.

    `images` are float32 or float64 of shape (batch, channels, height, width), `theta` holds t0 to t5 of each example,
    (batch, 6). Outside the picture lies its nearest edge pixel, or zero. Differentiable once with respect to the
    images; each sum of the gradient is taken in the order of the pixels that are read. Raises ValueError for other
    shapes and types.
    """
    check_pictures("affine", images)
    if theta.shape != (len(images), 6):
        raise ValueError(f"theta must have shape ({len(images)}, 6); got {tuple(theta.shape)}.")
    if padding not in _PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(_PADDINGS)}; got {padding!r}.")
    moved: Images = _Affine.apply(images, theta.detach().to(images).contiguous(), _PADDINGS[padding])
    return moved


def random_affine(
    images: Images,
    *,
    seed: int,
    examples: Seeds,
    step: int = 0,
    jitter: int = 0,
    scale: tuple[float, float] = (1.0, 1.0),
    rotate: float = 0.0,
    padding: Padding = "edge",
) -> Images:
    """Return the images, each moved by a random affine map of its own: jittered, then scaled, then rotated.

    Both shifts are uniform among the whole pixels from -jitter to jitter, the scale in (low, high), larger than 1
    enlarging, and the angle in (-rotate, rotate) degrees about the centre; the three are one map and one bilinear
    reading. The draw depends on (seed, example, step) alone. `step` lies in [0, 2^24). Differentiable as `affine` is.
    Raises ValueError for other shapes, types and ranges.
    Source: Olah et al. 2017, "Feature Visualization" (transformation robustness); Athalye et al. 2018, section 2.
    """
    check_pictures("random_affine", images)
    theta = random_theta(
        images.shape[2:],
        seed=seed,
        examples=examples.to(images.device),
        step=step,
        jitter=jitter,
        scale=scale,
        rotate=rotate,
    )
    return affine(images, theta, padding=padding)


def random_theta(
    sides: tuple[int, ...],
    *,
    seed: int,
    examples: Seeds,
    step: int,
    jitter: int,
    scale: tuple[float, float],
    rotate: float,
) -> Tensor:
    """Return the maps of `random_affine` for pictures of (height, width), float64 of shape (batch, 6)."""
    _check_ranges(examples, step, jitter, scale, rotate)
    drawn = random.words(examples, elements=4, seed=seed, restart=step, purpose=_PURPOSE)
    unit = random.open_uniform(drawn)
    dx, dy = ((2 * jitter + 1) * unit[:, :2]).floor().sub(jitter).unbind(dim=1)
    larger = scale[0] + (scale[1] - scale[0]) * unit[:, 2]
    cosine, sine = _turn(unit[:, 3], rotate)
    t0, t1 = cosine / larger, sine / larger
    x, y = (sides[1] - 1) / 2, (sides[0] - 1) / 2
    # From the picture that is made to the one that is read: turned and scaled back about the centre, then shifted back.
    return torch.stack([t0, t1, x - t0 * x - t1 * y - dx, -t1, t0, y + t1 * x - t0 * y - dy], dim=1)


def _turn(unit: Tensor, rotate: float) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of an angle in (-rotate, rotate) degrees, the same bits on every device."""
    if rotate == 0:
        return torch.ones_like(unit), torch.zeros_like(unit)
    turns = rotate / 360 * (2 * unit - 1)
    return random.unit_circle((turns * 2.0**32).floor().to(torch.int64) & 0xFFFFFFFF)


class _Affine(torch.autograd.Function):
    """A reading of four neighbours forward, its transpose backward."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, theta: Tensor, edge: bool) -> Tensor:
        ctx.save_for_backward(theta)
        ctx.edge = edge
        return _mapped("affine", images, theta, edge)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        only_once("affine")
        (theta,) = ctx.saved_tensors
        return _mapped("affine_backward", grad, theta, ctx.edge), None, None


def _mapped(name: str, images: Tensor, theta: Tensor, edge: bool) -> Tensor:
    base = planes(images)
    out = layout.empty_like(base)
    run(name, base, base, theta, edge, out)
    return out


def _check_ranges(examples: Tensor, step: int, jitter: int, scale: tuple[float, float], rotate: float) -> None:
    if not 0 <= step < 1 << 24:
        raise ValueError(f"step must lie in [0, 2^24); got {step}.")
    if not (isinstance(jitter, int) and jitter >= 0):
        raise ValueError(f"jitter must be a whole number of pixels, zero or more; got {jitter}.")
    if not 0 < scale[0] <= scale[1] < float("inf"):
        raise ValueError(f"scale must be (low, high) with 0 < low <= high; got {scale}.")
    if not 0 <= rotate <= 180:
        raise ValueError(f"rotate must lie in [0, 180] degrees; got {rotate}.")
    if examples.dim() != 1 or examples.dtype.is_floating_point:
        raise ValueError(f"examples must be one integer each; got {examples.dtype} of shape {tuple(examples.shape)}.")
