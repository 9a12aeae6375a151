"""The kernels for pictures, as they stand in csrc/cuda, against their definitions, on the emulated device."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from featlab.ops import native, reference

from emulator import Emulator
from ops_cases import quick, same_bits

SHAPES = [(2, 3, 5, 7), (1, 1, 1, 9), (2, 4, 9, 1), (3, 3, 17, 16), (1, 2, 2, 300), (2, 5, 1, 1)]
FORMATS = [torch.contiguous_format, torch.channels_last]


def pictures(*shape: int, seed: int = 0, form: torch.memory_format = torch.contiguous_format) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).to(memory_format=form)


def last(images: Tensor) -> bool:
    return not images.is_contiguous()


def emulated_variation(
    kernels: Emulator, images: Tensor, weight: Tensor, kind: int, delta: float, slope: Tensor | None
) -> Tensor:
    rows, channels, height, width = images.shape
    planes = {"count": 1, "length": width * channels, "step": channels}
    planes = planes if last(images) else {"count": channels, "length": width, "step": 1}
    value = torch.full((rows,), math.nan)
    arguments = kernels.struct(
        "VariationArguments",
        rows=rows,
        size=images[0].numel(),
        planes=kernels.struct("Planes", height=height, **planes),
        images=images,
        value=value,
        slope=slope,
        weight=kernels.per_example(weight),
        knee=kernels.struct("Knee", delta=delta, half=0.5 * delta, half_inverse=0.5 / delta, inverse=1.0 / delta),
    )
    kernels.launch("total_variation", kind, arguments)
    return value


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_total_variation_is_as_defined(
    kernels: Emulator, shape: tuple[int, ...], form: torch.memory_format, kind: int
) -> None:
    images, weight = pictures(*shape, form=form), torch.linspace(0.3, 2.0, shape[0])
    slope, expected, defined = (torch.full_like(images, math.nan), torch.empty(shape[0]), torch.empty_like(images))
    value = emulated_variation(kernels, images, weight, kind, 0.1, slope)
    reference.total_variation(images, weight, kind, 0.1, expected, defined)
    assert same_bits(slope, defined)
    torch.testing.assert_close(value, expected, rtol=3e-7, atol=0)
    assert same_bits(emulated_variation(kernels, images, weight, kind, 0.1, None), value)
    alone = emulated_variation(kernels, images[-1:], weight[-1:], kind, 0.1, None)
    assert same_bits(alone, value[-1:])


def colour_arguments(kernels: Emulator, points: Tensor, colours: Tensor, slope: Tensor | None, kept: Tensor) -> object:
    return kernels.struct(
        "ColourArguments",
        rows=len(points),
        pixels=points[0, 0].numel(),
        points=points,
        slope=slope,
        colours=colours,
        matrix=kept[:9],
        mean=kept[9:12],
        std=kept[12:],
        last=last(points),
        colours_last=last(colours),
        brain=colours.dtype == torch.bfloat16,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("here", FORMATS)
@pytest.mark.parametrize("there", FORMATS)
@pytest.mark.parametrize("sides", [(1, 2), (5, 7), (17, 16)])
def test_colours_are_as_defined(
    kernels: Emulator,
    dtype: torch.dtype,
    here: torch.memory_format,
    there: torch.memory_format,
    sides: tuple[int, int],
) -> None:
    points = 6 * pictures(2, 3, *sides, form=here) - 3
    kept = pictures(15, seed=1) + 0.1
    matrix, mean, std = kept[:9].reshape(3, 3), kept[9:12], kept[12:]
    colours = torch.full_like(points, math.nan, dtype=dtype, memory_format=there)
    expected = torch.empty_like(points)
    kernels.launch("colour", colour_arguments(kernels, points, colours, None, kept))
    reference.colour(points, matrix, mean, std, expected)
    rounding = 2.0**-7 if dtype == torch.bfloat16 else 1e-6
    torch.testing.assert_close(colours.float(), expected, rtol=rounding, atol=rounding)
    grad, slope = (pictures(2, 3, *sides, seed=2, form=there) - 0.5).to(dtype), torch.full_like(points, math.nan)
    kernels.launch("colour_backward", colour_arguments(kernels, points, grad, slope, kept))
    reference.colour_backward(grad, points, matrix, std, expected)
    torch.testing.assert_close(slope, expected, rtol=1e-6, atol=1e-6)


def emulated_affine(kernels: Emulator, name: str, images: Tensor, theta: Tensor, edge: bool) -> Tensor:
    rows, channels, height, width = images.shape
    out = torch.full_like(images, math.nan)
    arguments = kernels.struct(
        "AffineArguments",
        **{"from": images, "to": out, "theta": theta.contiguous()},
        rows=rows,
        size=images[0].numel(),
        channels=channels,
        height=height,
        width=width,
        channel=1 if last(images) else height * width,
        pixel=channels if last(images) else 1,
        edge=edge,
    )
    kernels.launch(name, arguments)
    return out


def agree(kernels: Emulator, images: Tensor, theta: Tensor, edge: bool) -> None:
    expected = torch.empty_like(images)
    reference.affine(images, theta, edge, expected)
    assert same_bits(emulated_affine(kernels, "affine", images, theta, edge), expected)
    reference.affine_backward(images, theta, edge, expected)
    ours = emulated_affine(kernels, "affine_backward", images, theta, edge)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
    if native.LIBRARIES["cpu"].loaded:  # it scatters where this kernel gathers, in the same order
        torch.ops.featlab.affine_backward(images, theta, edge, expected)
        assert same_bits(ours, expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("edge", [False, True])
def test_affine_maps_are_as_defined(
    kernels: Emulator, shape: tuple[int, ...], form: torch.memory_format, edge: bool
) -> None:
    noise = torch.randn(shape[0], 6, generator=torch.Generator().manual_seed(1))
    theta = torch.tensor([1.0, 0, 0, 0, 1.0, 0]) + torch.tensor([0.2, 0.2, 2.0, 0.2, 0.2, 2.0]) * noise
    agree(kernels, pictures(*shape, form=form), theta, edge)


@quick
@given(
    sides=st.tuples(st.integers(1, 9), st.integers(1, 20)),
    map_=st.lists(
        st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e-3, 3.0, 30.0, 1e-30]) | st.floats(-2, 2), min_size=4, max_size=4
    ),
    shift=st.tuples(*[st.sampled_from([0.0, 0.5, -7.25, 1e3, 1e9, math.inf, math.nan]) | st.floats(-20, 20)] * 2),
    edge=st.booleans(),
)
def test_every_reader_is_found(
    library: Emulator, sides: tuple[int, int], map_: list[float], shift: tuple[float, float], edge: bool
) -> None:
    """Maps that shrink, mirror, fold the picture to a line or a point, and that are no numbers."""
    theta = torch.tensor([[map_[0], map_[1], shift[0], map_[2], map_[3], shift[1]]])
    agree(library, pictures(1, 2, *sides), theta, edge)
