"""The steps of MI-FGSM: equality of kernel and definition, feasibility, the formula, gradients that add nothing."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from featlab import ops
from featlab.ops import native, reference, rounding

from ops_cases import Case, cases, norms, quick, same_bits

NAMES = ["linf_accumulated_step", "l2_accumulated_step"]
TYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
needs_native = pytest.mark.skipif(
    not native.LIBRARIES["cpu"].loaded and native.mode() != "require", reason="no kernels were built"
)


def tensors(*shape: int, dtype: torch.dtype = torch.float32, grad: torch.dtype | None = None) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    center = torch.rand(shape, generator=generator, dtype=dtype)
    points = (center + 0.05 * torch.randn(shape, generator=generator, dtype=dtype)).clamp(0, 1)
    gradient = torch.randn(shape, generator=generator, dtype=dtype).to(grad or dtype)
    momentum = torch.randn(shape, generator=generator, dtype=dtype) / max(1, center[:1].numel())
    return {"points": points, "grad": gradient, "center": center, "momentum": momentum}


def step(name: str, given: dict[str, Tensor], **options: object) -> tuple[Tensor, Tensor]:
    """Return the next points and the next momentum; what is given stays."""
    momentum = given["momentum"].clone(memory_format=torch.preserve_format)
    rest = {"momentum": momentum, "eps": 0.3, "step_size": 0.1, "decay": 0.9, **options}
    return getattr(ops, name)(given["points"], given["grad"], given["center"], **rest), momentum


def by_definition(
    name: str, given: dict[str, Tensor], eps: Tensor, size: Tensor, decay: float
) -> tuple[Tensor, Tensor]:
    momentum, out = given["momentum"].clone(), torch.full_like(given["points"], math.nan)
    radius = rounding.rounded_below(eps, torch.float32)
    call = (given["points"], given["grad"], given["center"], momentum, radius, size.float(), torch.tensor([decay]))
    getattr(reference, name)(*call, 0.0, 1.0, out)
    return out, momentum


def of_case(case: Case, kept: bool) -> dict[str, Tensor]:
    momentum = case.grad.flip(1) * 1e-3 if kept else torch.zeros_like(case.grad)
    return {"points": case.points, "grad": case.grad, "center": case.center, "momentum": momentum}


@quick
@given(case=cases(), kept=st.booleans())
def test_a_step_is_feasible_without_tolerance(case: Case, kept: bool) -> None:
    for name, length in zip(NAMES, (lambda d: d.abs().amax(dim=1), norms), strict=True):
        given = of_case(case, kept)
        for moved, _ in (
            step(name, given, eps=case.eps, step_size=case.step_size),
            by_definition(name, given, case.eps, case.step_size, 0.9),
        ):
            assert ((moved >= 0) & (moved <= 1)).all()
            assert (length(moved.double() - case.center.double()) <= case.eps).all()


@needs_native
@quick
@given(case=cases(), kept=st.booleans())
def test_kernel_and_definition_agree(case: Case, kept: bool) -> None:
    for name in NAMES:
        given = of_case(case, kept)
        ours, momentum = step(name, given, eps=case.eps, step_size=case.step_size)
        plain, expected = by_definition(name, given, case.eps, case.step_size, 0.9)
        assert same_bits(momentum, expected)
        if name.startswith("linf"):
            assert same_bits(ours, plain)
        else:
            assert ((ours.double() - plain.double()).abs() <= 2.0**-22).all()


@needs_native
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", [1, 16, 37, 3072, 40001])
def test_momentum_has_the_same_bits_at_every_size(size: int, dtype: torch.dtype) -> None:
    given = tensors(4, size, grad=dtype)
    for name in NAMES:
        _, momentum = step(name, given)
        _, expected = by_definition(name, given, torch.tensor([0.3]), torch.tensor([0.1]), 0.9)
        if dtype != torch.float64:  # which the public function scales first
            assert same_bits(momentum, expected)
        assert torch.allclose(momentum, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_the_formula(way: str, name: str) -> None:
    given = tensors(3, 2, 4, 5)
    moved, momentum = step(name, given, decay=0.8)
    grad = given["grad"].double()
    length = grad.abs().sum(dim=(1, 2, 3), keepdim=True)
    expected = 0.8 * given["momentum"].double() + grad / length
    assert torch.allclose(momentum.double(), expected, rtol=1e-6, atol=1e-9)
    plain = getattr(ops, name.replace("accumulated_", ""))
    along = plain(given["points"], momentum, given["center"], eps=0.3, step_size=0.1)
    assert same_bits(moved, along)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_a_gradient_that_is_zero_or_broken_adds_nothing(way: str, name: str, bad: float) -> None:
    given = tensors(3, 40)
    given["grad"][1] = 0.0
    given["grad"][1, 7] = bad
    _, momentum = step(name, given, decay=0.5)
    assert torch.equal(momentum[1], 0.5 * given["momentum"][1])
    assert not torch.equal(momentum[0], 0.5 * given["momentum"][0])
    assert momentum.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e30])
def test_the_length_of_a_gradient_does_not_matter(way: str, name: str, scale: float) -> None:
    given = tensors(2, 60)
    given["grad"] = given["grad"].sign() * (given["grad"].abs() + 0.1)
    scaled = given | {"grad": given["grad"] * scale}
    for ours, theirs in zip(step(name, scaled), step(name, given), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("magnitude", [1e-300, 1e300])
def test_float64_gradients_outside_the_range_of_float32(way: str, magnitude: float) -> None:
    given = tensors(1, 4) | {"grad": torch.tensor([[3.0, -1.0, 0.0, 0.0]], dtype=torch.float64) * magnitude}
    given["momentum"] = torch.zeros(1, 4)
    _, momentum = step("linf_accumulated_step", given)
    assert torch.allclose(momentum, torch.tensor([[0.75, -0.25, 0.0, 0.0]]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [5, 3000, 33001])
def test_results_depend_neither_on_the_batch_nor_on_the_threads(way: str, name: str, size: int) -> None:
    given = tensors(5, size)
    options = {"eps": torch.tensor([0.1, 0.5, 2.0, 9.0, math.inf]), "decay": torch.tensor([0.0, 0.5, 1.0, 0.9, 2.0])}
    whole = step(name, given, **options)
    for rows in ([0], [1, 2], [4, 3]):
        part = step(name, {k: v[rows] for k, v in given.items()}, **{k: v[rows] for k, v in options.items()})
        assert all(same_bits(ours, theirs[rows]) for ours, theirs in zip(part, whole, strict=True))
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            assert all(map(same_bits, step(name, given, **options), whole))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", [(0, 2, 3, 1), (0, 3, 1, 2), (1, 0, 2, 3)])
def test_the_memory_format_does_not_matter(way: str, name: str, order: tuple[int, ...]) -> None:
    """|g|_1 is the same to the bit in whatever order its terms come."""
    given = tensors(3, 2, 5, 7)
    inverse = sorted(range(4), key=order.__getitem__)
    permuted = {key: value.permute(order).contiguous().permute(inverse) for key, value in given.items()}
    expected, momentum = step(name, given)
    for mixed in (permuted, permuted | {"grad": given["grad"]}, given | {"momentum": permuted["momentum"]}):
        ours, kept = step(name, mixed)
        assert same_bits(kept, momentum)
        assert torch.allclose(ours, expected, rtol=0, atol=0 if name.startswith("linf") else 2.0**-23)


@pytest.mark.parametrize("name", NAMES)
def test_out_may_be_the_points(way: str, name: str) -> None:
    given = tensors(2, 3, 4, 5)
    expected, _ = step(name, given)
    points = given["points"].clone()
    assert step(name, given | {"points": points}, out=points)[0] is points
    assert same_bits(points, expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0,), (4,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_odd_shapes(way: str, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    moved, momentum = step(name, tensors(*shape, dtype=dtype))
    assert moved.shape == momentum.shape == shape
    assert moved.dtype == momentum.dtype == dtype
    assert moved.isfinite().all()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["images", "bfloat16", "requires grad", "channels last", "nothing"])
def test_opcheck(name: str, kind: str) -> None:
    given = tensors(*((0, 4) if kind == "nothing" else (2, 3, 4, 5)))
    if kind == "bfloat16":
        given["grad"] = given["grad"].bfloat16()
    if kind == "requires grad":
        given["points"].requires_grad_()
    if kind == "channels last":
        given = {key: value.to(memory_format=torch.channels_last) for key, value in given.items()}
    scalars = tuple(torch.tensor([value]) for value in (0.25, 0.1, 0.9))
    out = torch.empty_like(given["points"]).detach()
    order = (given["points"], given["grad"], given["center"], given["momentum"], *scalars, 0.0, 1.0, out)
    torch.library.opcheck(getattr(torch.ops.featlab, name).default, order)


@pytest.mark.parametrize("name", NAMES)
def test_one_graph_under_torch_compile(name: str) -> None:
    given = tensors(2, 3, 4, 5)
    torch.compiler.reset()

    def twice(points: Tensor, momentum: Tensor) -> Tensor:
        for _ in range(2):
            points, momentum = step(name, given | {"points": points, "momentum": momentum})
        return points

    compiled = torch.compile(twice, fullgraph=True, backend="aot_eager")
    assert same_bits(compiled(given["points"], given["momentum"]), twice(given["points"], given["momentum"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"momentum": torch.zeros(2, 5)}, "momentum must have the shape"),
        ({"momentum": torch.zeros(2, 4, dtype=torch.float64)}, "momentum must have the type"),
        ({"grad": torch.ones(2, 4, dtype=torch.int64)}, "grad must be a floating-point"),
        ({"decay": torch.ones(3)}, "decay must be one number or one for each of 2"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_bad_arguments_are_named(name: str, change: dict[str, object], message: str) -> None:
    given = {**tensors(2, 4), "eps": 0.1, "step_size": 0.1, **change}
    with pytest.raises(ValueError, match=message):
        getattr(ops, name)(given.pop("points"), given.pop("grad"), given.pop("center"), **given)
