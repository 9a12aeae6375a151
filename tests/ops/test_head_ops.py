"""The losses of logits: their formulas and derivatives, what is not finite, ties, every type, second derivatives."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from featlab import ops
from featlab.ops import native, reference
from featlab.ops.heads import LOSSES, Judged

from ops_cases import quick, same_bits

needs_native = pytest.mark.skipif(
    not native.LIBRARIES["cpu"].loaded and native.mode() != "require", reason="no kernels were built"
)


def batch(rows: int, classes: int, *, seed: int = 0, scale: float = 3.0) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits, labels, and targets that are other classes."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64) * scale
    labels = torch.randint(0, classes, (rows,), generator=generator)
    shift = torch.randint(1, max(classes, 2), (rows,), generator=generator)
    return logits, labels, (labels + shift) % classes


def judge(loss: str, logits: Tensor, labels: Tensor, targets: Tensor) -> Judged:
    return ops.judge(logits, labels, loss=loss, targets=targets if loss == "dlr_targeted" else None)


def by_definition(loss: str, logits: Tensor, labels: Tensor, targets: Tensor) -> Judged:
    out = Judged(torch.empty(len(logits)), torch.empty(len(logits)), torch.empty(len(logits)).bool(), logits.clone())
    classes = (labels, targets) if loss == "dlr_targeted" else (labels,)
    getattr(reference, f"{loss}_head")(logits, *classes, *out)
    return out


def formula(loss: str, z: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """The papers' formulas in PyTorch's operations, for logits that are finite and have no ties."""
    own, others = z.gather(1, y[:, None])[:, 0], z.scatter(1, y[:, None], -math.inf)
    place = z.sort(dim=1, descending=True).values
    if loss == "cross_entropy":
        return F.cross_entropy(z, y, reduction="none")
    if loss == "log_ratio":
        return others.logsumexp(dim=1) - own
    margin = others.amax(dim=1) - own
    if loss == "margin":
        return margin
    if loss == "dlr":
        return margin / (place[:, 0] - place[:, 2])
    return (z.gather(1, t[:, None])[:, 0] - own) / (place[:, 0] - (place[:, 2] + place[:, 3]) / 2)


CASES = [
    (loss, classes) for loss, least in LOSSES.items() for classes in (2, 3, 4, 10, 16, 17, 1000) if classes >= least
]


@pytest.mark.parametrize(("loss", "classes"), CASES)
def test_value_and_cotangent_are_the_formula_and_its_derivative(way: str, loss: str, classes: int) -> None:
    logits, labels, targets = batch(37, classes)
    logits = logits.float()
    exact = logits.double().requires_grad_()
    value = formula(loss, exact, labels, targets)
    (slope,) = torch.autograd.grad(value.sum(), exact)
    found = judge(loss, logits, labels, targets)
    torch.testing.assert_close(found.value.double(), value.detach(), rtol=4e-7, atol=1e-7)
    torch.testing.assert_close(found.cotangent.double(), slope, rtol=1e-6, atol=1e-7)
    assert found.value.dtype == found.margin.dtype == found.cotangent.dtype == torch.float32
    torch.testing.assert_close(
        found.margin.double(), formula("margin", exact, labels, targets).detach(), rtol=1e-6, atol=1e-6
    )
    assert torch.equal(found.correct, logits.argmax(dim=1) == labels)
    double = judge(loss, exact.detach(), labels, targets)
    torch.testing.assert_close(double.value, value.detach(), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(double.cotangent, slope, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_judged_in_float32(way: str, loss: str, dtype: torch.dtype) -> None:
    logits, labels, targets = batch(40, 21)
    logits[0, 3] = 1e-7  # subnormal in float16
    logits = logits.to(dtype)
    found, wide = judge(loss, logits, labels, targets), judge(loss, logits.float(), labels, targets)
    assert found.cotangent.dtype == dtype
    assert torch.allclose(found.value, wide.value, rtol=1e-6, atol=0)
    assert torch.equal(found.correct, wide.correct)
    assert same_bits(found.cotangent.float(), wide.cotangent.to(dtype).float()) or torch.allclose(
        found.cotangent.float(), wide.cotangent, rtol=2.0 ** (-8 if dtype == torch.bfloat16 else -11), atol=6e-8
    )


LOGITS = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-40, 50.0, 1e4, -1e4, 3e38, -3e38, math.inf, -math.inf, math.nan])


@needs_native
@quick
@given(
    rows=st.lists(st.lists(LOGITS | st.floats(-20, 20, width=32), min_size=6, max_size=6), min_size=1, max_size=4),
    label=st.integers(0, 5),
    target=st.integers(0, 5),
)
def test_kernel_and_definition_agree_on_anything(rows: list[list[float]], label: int, target: int) -> None:
    logits = torch.tensor(rows)
    labels, targets = (torch.full((len(rows),), each) for each in (label, target))
    for loss in LOSSES:
        fast, plain = judge(loss, logits, labels, targets), by_definition(loss, logits, labels, targets)
        assert torch.equal(fast.correct, plain.correct)
        for got, wanted in ((fast.value, plain.value), (fast.margin, plain.margin), (fast.cotangent, plain.cotangent)):
            # exp(z) in float32 errs by the rounding of z, which is up to 88 where the result is no zero yet.
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-37, equal_nan=True)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_stays_in_its_row(way: str, loss: str, bad: float) -> None:
    logits, labels, targets = batch(5, 6)
    logits = logits.float()
    expected = judge(loss, logits, labels, targets)
    broken = logits.clone()
    broken[2, 4] = bad
    found = judge(loss, broken, labels, targets)
    assert found.value[2].isnan()
    assert found.margin[2].isnan()
    assert found.cotangent[2].isnan().all()
    assert torch.equal(found.correct, broken.argmax(dim=1) == labels)
    for got, wanted in zip(found, expected, strict=True):
        assert torch.equal(got[[0, 1, 3, 4]], wanted[[0, 1, 3, 4]])


def test_classes_that_are_ruled_out_have_no_say(way: str) -> None:
    logits = torch.tensor([[2.0, 1.0, -math.inf, 0.5], [2.0, -math.inf, -math.inf, -math.inf]])
    labels = torch.tensor([0, 0])
    for loss in ("cross_entropy", "log_ratio"):
        found = ops.judge(logits, labels, loss=loss)
        three = ops.judge(logits[:1, [0, 1, 3]], labels[:1], loss=loss)
        torch.testing.assert_close(found.value[:1], three.value)
        torch.testing.assert_close(found.cotangent[0, [0, 1, 3]], three.cotangent[0])
        assert found.cotangent[0, 2] == 0
    assert found.value[1] == -math.inf
    assert ops.judge(logits, labels, loss="cross_entropy").value[1] == 0


@pytest.mark.parametrize("gap", [20.0, 60.0, 95.0, 1000.0])
def test_a_certain_model_still_has_its_gradient(way: str, gap: float) -> None:
    """Where p_y rounds to one, cross-entropy keeps the digits of 1 - p_y as far as float32 reaches."""
    logits = torch.tensor([[gap, 0.0, -1.0]])
    found = ops.judge(logits, torch.tensor([0]), loss="cross_entropy")
    wrong = math.exp(-gap) + math.exp(-gap - 1)
    assert float(found.value) == pytest.approx(wrong, rel=1e-4, abs=1e-44)
    assert float(found.cotangent[0, 0]) == pytest.approx(-wrong, rel=1e-4, abs=1e-44)
    assert (float(found.value) > 0) == (gap < 100)
    sure = ops.judge(logits, torch.tensor([0]), loss="log_ratio")
    assert float(sure.value) == pytest.approx(math.log(1 + math.exp(-1)) - gap, rel=1e-6)
    assert float(sure.cotangent[0, 0]) == -1.0


@pytest.mark.parametrize("loss", ["cross_entropy", "log_ratio"])
def test_huge_logits_that_tie_share_the_slope(way: str, loss: str) -> None:
    logits = torch.tensor([[0.0, 0.0, 3e38, 3e38]])
    assert ops.judge(logits, torch.tensor([0]), loss=loss).cotangent.tolist() == [[-1.0, 0.0, 0.5, 0.5]]


def test_ties_go_to_the_lowest_class(way: str) -> None:
    logits = torch.tensor([[1.0, 5.0, 5.0, 5.0, 0.0]])
    margin = ops.judge(logits, torch.tensor([1]), loss="margin")
    assert margin.cotangent.tolist() == [[0.0, -1.0, 1.0, 0.0, 0.0]]
    assert bool(margin.correct)
    assert not bool(ops.judge(logits, torch.tensor([2]), loss="margin").correct)
    tied = ops.judge(logits, torch.tensor([4]), loss="dlr")
    assert torch.isfinite(tied.value).all()
    assert tied.value == pytest.approx(5e12)
    ordered = ops.judge(torch.tensor([[4.0, 2.0, 2.0, 1.0]]), torch.tensor([1]), loss="dlr")
    assert ordered.cotangent.tolist() == [[0.0, -0.5, 0.5, 0.0]]


@pytest.mark.parametrize("loss", LOSSES)
def test_first_and_second_derivatives(loss: str) -> None:
    logits, labels, targets = batch(4, 5, seed=3)
    given = targets if loss == "dlr_targeted" else None

    def call(logits: Tensor) -> Tensor:
        return ops.loss(logits, labels, loss=loss, targets=given)

    logits.requires_grad_()
    assert torch.autograd.gradcheck(call, (logits,))
    assert torch.autograd.gradgradcheck(call, (logits,))
    if loss == "margin":
        return  # Its slope is constant.
    single = logits.detach().float().requires_grad_()
    (slope,) = torch.autograd.grad(call(single).sum(), single, create_graph=True)
    (curve,) = torch.autograd.grad((slope * torch.linspace(0, 1, 5)).sum(), single)
    (exact,) = torch.autograd.grad(call(logits).sum(), logits, create_graph=True)
    (wanted,) = torch.autograd.grad((exact * torch.linspace(0, 1, 5)).sum(), logits)
    torch.testing.assert_close(curve.double(), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_of_the_examples_reach_their_gradients(way: str, loss: str) -> None:
    logits, labels, targets = batch(6, 7)
    logits, weights = logits.float().requires_grad_(), torch.linspace(-1, 2, 6)
    value = ops.loss(logits, labels, loss=loss, targets=targets if loss == "dlr_targeted" else None)
    (slope,) = torch.autograd.grad((weights * value).sum(), logits)
    assert torch.allclose(slope, weights[:, None] * judge(loss, logits, labels, targets).cotangent)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("classes", [10, 1003])
def test_results_depend_neither_on_the_batch_nor_on_the_threads(way: str, loss: str, classes: int) -> None:
    logits, labels, targets = batch(300, classes)
    logits = logits.float()
    whole = judge(loss, logits, labels, targets)
    for rows in ([0], [7, 3], list(range(100, 300))):
        for got, wanted in zip(judge(loss, logits[rows], labels[rows], targets[rows]), whole, strict=True):
            assert torch.equal(got, wanted[rows])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for got, wanted in zip(judge(loss, logits, labels, targets), whole, strict=True):
            assert torch.equal(got, wanted)
    finally:
        torch.set_num_threads(threads)
    strided = torch.stack([logits, logits], dim=2)[:, :, 0]
    for got, wanted in zip(judge(loss, strided, labels, targets), whole, strict=True):
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("rows", [0, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_opcheck(loss: str, rows: int, dtype: torch.dtype) -> None:
    logits, labels, targets = batch(rows, 6)
    logits = logits.to(dtype)
    classes = (labels, targets) if loss == "dlr_targeted" else (labels,)
    out = Judged(torch.empty(rows), torch.empty(rows), torch.empty(rows).bool(), torch.empty_like(logits))
    torch.library.opcheck(getattr(torch.ops.featlab, f"{loss}_head").default, (logits, *classes, *out))


@pytest.mark.parametrize("loss", LOSSES)
def test_one_graph_under_torch_compile(loss: str) -> None:
    logits, labels, targets = batch(4, 6)
    given = targets if loss == "dlr_targeted" else None

    def slope(logits: Tensor) -> Tensor:
        return ops.loss(logits * 2, labels, loss=loss, targets=given).sum()

    plain, traced = (logits.float().detach().requires_grad_() for _ in range(2))
    slope(plain).backward()
    torch.compile(slope, fullgraph=True, backend="aot_eager")(traced).backward()
    assert torch.equal(plain.grad, traced.grad)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"loss": "dlrr"}, ValueError, "did you mean 'dlr'"),
        ({"logits": torch.zeros(5, 2), "loss": "dlr"}, ValueError, "dlr needs at least 3 classes, the model has 2"),
        ({"logits": torch.zeros(5, 3, dtype=torch.int64)}, ValueError, "logits must be floating-point"),
        ({"labels": torch.zeros(4, dtype=torch.int64)}, ValueError, r"must be int64 of shape \(5,\)"),
        ({"labels": torch.zeros(5)}, ValueError, "must be int64"),
        ({"targets": torch.zeros(5, dtype=torch.int64)}, ValueError, "no other"),
        ({"labels": torch.tensor([0, 1, 2, 3, 6])}, (RuntimeError, IndexError), "out of (range|bounds)"),
        ({"labels": torch.tensor([0, 1, 2, 3, -1])}, (RuntimeError, IndexError), "out of (range|bounds)"),
    ],
)
def test_bad_arguments_are_named(way: str, change: dict[str, object], error: type[Exception], message: str) -> None:
    arguments = {"logits": torch.zeros(5, 6), "labels": torch.zeros(5, dtype=torch.int64), "loss": "margin", **change}
    with pytest.raises(error, match=message):
        ops.judge(arguments.pop("logits"), arguments.pop("labels"), **arguments)
