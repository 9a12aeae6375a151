"""The operators of Auto-PGD: feasibility, equality of kernel and definition, best points, invariance."""

import math
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from featlab import ops
from featlab.ops import native, reference, rounding

from ops_cases import Case, cases, norms, quick, same_bits

NAMES = ["linf_momentum_step", "l2_momentum_step"]
needs_native = pytest.mark.skipif(
    not native.LIBRARIES["cpu"].loaded and native.mode() != "require", reason="no kernels were built"
)


@dataclass
class Run:
    """One call's tensors, which it may write over; `out` is where the points are unless said otherwise."""

    points: Tensor
    grad: Tensor
    center: Tensor
    previous: Tensor
    best: Tensor
    best_grad: Tensor
    improved: Tensor
    back: Tensor
    options: dict = field(default_factory=dict)

    def copy(self) -> "Run":
        return Run(*(tensor.clone() for tensor in self.tensors()), dict(self.options))

    def tensors(self) -> tuple[Tensor, ...]:
        trail = (self.previous, self.best, self.best_grad)
        return (self.points, self.grad, self.center, *trail, self.improved, self.back)

    def written(self) -> tuple[Tensor, ...]:
        return (self.points, self.previous, self.best, self.best_grad)

    def rows(self, index: list[int]) -> "Run":
        options = {k: v[index] if isinstance(v, Tensor) else v for k, v in self.options.items()}
        return Run(*(tensor[index].clone() for tensor in self.tensors()), options)

    def call(self, name: str, **options: object) -> "Run":
        given = {"out": self.points, "eps": 0.3, "step_size": 0.2, "alpha": 0.75, **self.options, **options}
        trail = {"previous": self.previous, "best": self.best, "best_grad": self.best_grad}
        verdicts = {"improved": self.improved, "back": self.back}
        getattr(ops, name)(self.points, self.grad, self.center, **trail, **verdicts, **given)
        return self


def run_of(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Run:
    """Return a call with feasible points, of which some are improved, some go back, some both."""
    generator = torch.Generator().manual_seed(seed)

    def near(scale: float) -> Tensor:
        noise = torch.rand(shape, generator=generator, dtype=dtype) * 2 - 1
        return (center + scale * noise).clamp(0, 1)

    center = torch.rand(shape, generator=generator, dtype=dtype)
    grads = [torch.randn(shape, generator=generator, dtype=dtype) for _ in range(2)]
    index = torch.arange(shape[0])
    return Run(near(0.1), grads[0], center, near(0.1), near(0.1), grads[1], index % 2 == 0, index % 3 == 0)


def of_case(case: Case, improved: bool, back: bool) -> Run:
    verdict = torch.ones(len(case.center), dtype=torch.bool)
    trail = (case.points.flip(1), (case.points + case.center) / 2, case.grad.flip(1).contiguous())
    options = {"eps": case.eps, "step_size": case.step_size, "alpha": 0.75}
    return Run(case.points, case.grad, case.center, *trail, verdict & improved, verdict & back, options).copy()


def by_definition(name: str, run: Run) -> Run:
    run = run.copy()
    eps = rounding.rounded_below(run.options["eps"], torch.float32)
    sizes = (run.options["step_size"].float(), torch.tensor([run.options["alpha"]]))
    getattr(reference, name)(*run.tensors(), eps, *sizes, 0.0, 1.0, run.points)
    return run


@quick
@given(case=cases(), improved=st.booleans(), back=st.booleans())
def test_a_step_is_feasible_without_tolerance(case: Case, improved: bool, back: bool) -> None:
    for name, length in (("linf_momentum_step", lambda d: d.abs().amax(dim=1)), ("l2_momentum_step", norms)):
        run = of_case(case, improved, back)
        for done in (by_definition(name, run), run.call(name)):
            assert ((done.points >= 0) & (done.points <= 1)).all()
            assert (length(done.points.double() - case.center.double()) <= case.eps).all()


@needs_native
@quick
@given(case=cases(), improved=st.booleans(), back=st.booleans())
def test_kernel_and_definition_agree(case: Case, improved: bool, back: bool) -> None:
    for name in NAMES:
        run = of_case(case, improved, back)
        plain, fast = by_definition(name, run), run.copy().call(name)
        for got, wanted in zip(fast.written()[1:], plain.written()[1:], strict=True):
            assert same_bits(got, wanted)
        if name == "linf_momentum_step":
            assert same_bits(fast.points, plain.points)
        else:
            assert ((fast.points.double() - plain.points.double()).abs() <= 2.0**-21).all()


@needs_native
@pytest.mark.parametrize("size", [1, 16, 37, 3072, 40001])
def test_the_l2_kernel_errs_no_more_than_its_definition(size: int) -> None:
    run = run_of(6, size, seed=size)
    run.options = {"eps": torch.full((6,), 0.3), "step_size": torch.linspace(0.01, 0.6, 6), "alpha": 0.75}
    exact = Run(*(t.double() if t.is_floating_point() else t for t in run.copy().tensors()), dict(run.options))
    exact.call("l2_momentum_step")
    plain = by_definition("l2_momentum_step", run)
    run.call("l2_momentum_step")
    error, theirs = ((done.points - exact.points).abs().max() for done in (run, plain))
    assert error <= 2 * max(float(theirs), 2.0**-25)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_step_is_its_formula(way: str, name: str, dtype: torch.dtype) -> None:
    run = run_of(6, 3, 4, 5, dtype=dtype)
    before = run.copy()
    run.call(name)
    better, again = (flag[:, None, None, None] for flag in (before.improved, before.back))
    best = torch.where(better, before.points, before.best)
    best_grad = torch.where(better, before.grad, before.best_grad)
    x, g = torch.where(again, best, before.points), torch.where(again, best_grad, before.grad)
    kind, set_of = name.split("_", maxsplit=1)[0], {"eps": 0.3, "low": 0.0, "high": 1.0}
    z = getattr(ops, f"{kind}_step")(x, g, before.center, step_size=0.2, **set_of)
    moved = x + 0.75 * (z - x) + 0.25 * (x - before.previous)
    expected = getattr(ops, f"{kind}_project")(moved, before.center, **set_of)
    assert torch.allclose(run.points, expected, rtol=0, atol=1e-6)
    assert not torch.allclose(run.points, z, rtol=0, atol=1e-3), "the momentum should show"
    for got, wanted in ((run.best, best), (run.best_grad, best_grad), (run.previous, x)):
        assert same_bits(got, wanted)
    for got, wanted in zip(run.tensors(), before.tensors(), strict=True):
        if got is run.grad or got is run.center:
            assert same_bits(got, wanted)


@pytest.mark.parametrize("bad", [0.0, math.nan])
@pytest.mark.parametrize("name", NAMES)
def test_zero_and_nan_gradients_leave_the_momentum_to_act(way: str, name: str, bad: float) -> None:
    run = run_of(4, 11)
    run.grad.fill_(bad)
    run.best_grad.fill_(bad)
    run.previous.copy_(
        torch.where(run.back[:, None], torch.where(run.improved[:, None], run.points, run.best), run.points)
    )
    still = run.previous.clone()
    run.call(name, eps=5.0)
    assert same_bits(run.points, still)


def op_arguments(run: Run) -> tuple[object, ...]:
    each = torch.full((1,), 0.25)
    return (
        *run.tensors(),
        each.expand(len(run.points)).contiguous(),
        each,
        each,
        0.0,
        1.0,
        torch.empty_like(run.points),
    )


@pytest.mark.parametrize("shape", [(4, 3, 4, 5), (3,), (0, 4), (2, 0)])
@pytest.mark.parametrize("name", NAMES)
def test_opcheck(name: str, shape: tuple[int, ...]) -> None:
    torch.library.opcheck(getattr(torch.ops.featlab, name).default, op_arguments(run_of(*shape)))


@pytest.mark.parametrize("name", NAMES)
def test_one_graph_under_torch_compile(name: str) -> None:
    run = run_of(4, 3, 4, 5)

    def call(*tensors: Tensor) -> Tensor:
        return Run(*tensors).call(name).points

    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    once, again = run.copy(), run.copy()
    assert same_bits(compiled(*once.tensors()), call(*again.tensors()))
    for got, wanted in zip(once.written(), again.written(), strict=True):
        assert same_bits(got, wanted)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", [(0, 2, 3, 1), (1, 0, 2, 3), (3, 2, 1, 0)])
@pytest.mark.parametrize("which", [range(8), [0, 2], [3, 5]])
def test_the_memory_format_does_not_matter(way: str, name: str, order: tuple[int, ...], which: list[int]) -> None:
    run = run_of(4, 2, 5, 7)
    inverse = sorted(range(4), key=order.__getitem__)
    changed = [
        tensor.permute(order).contiguous().permute(inverse) if index in which and tensor.dim() == 4 else tensor.clone()
        for index, tensor in enumerate(run.tensors())
    ]
    other = Run(*changed).call(name)
    run.call(name)
    for got, wanted in zip(other.written(), run.written(), strict=True):
        assert torch.allclose(got, wanted, rtol=0, atol=0 if name.startswith("linf") else 2.0**-22)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [5, 3000, 33001])
def test_results_depend_neither_on_the_batch_nor_on_the_threads(way: str, name: str, size: int) -> None:
    run = run_of(6, size)
    run.options = {"eps": torch.linspace(0.05, 2.0, 6), "step_size": torch.linspace(0.0, 1.0, 6)}
    whole = run.copy().call(name)
    for rows in ([0], [1, 2], [5, 4, 3]):
        part = run.rows(rows).call(name)
        for got, wanted in zip(part.written(), whole.written(), strict=True):
            assert same_bits(got, wanted[rows])
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            assert same_bits(run.copy().call(name).points, whole.points)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", NAMES)
def test_out_may_be_elsewhere(way: str, name: str) -> None:
    run = run_of(4, 9)
    elsewhere, before = run.copy(), run.points.clone()
    buffer = torch.full((6, 9), math.nan)
    elsewhere.call(name, out=buffer[1:5])
    assert same_bits(elsewhere.points, before)
    assert same_bits(buffer[1:5], run.call(name).points)
    assert buffer[[0, 5]].isnan().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"best": torch.zeros(2, 5)}, "best must have the shape"),
        ({"previous": torch.zeros(4, 9).double()}, "previous must have the type"),
        ({"improved": torch.zeros(4)}, "improved must be one truth value for each of 4"),
        ({"back": torch.zeros(3, dtype=torch.bool)}, "back must be one truth value for each of 4"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_bad_arguments_are_named(name: str, change: dict[str, Tensor], message: str) -> None:
    run = run_of(4, 9)
    for key, value in change.items():
        setattr(run, key, value)
    with pytest.raises(ValueError, match=message):
        run.call(name)
    if native.LIBRARIES["cpu"].loaded:
        with pytest.raises(RuntimeError, match=r"equal|float32|bool|one verdict"):
            getattr(torch.ops.featlab, name)(*op_arguments(run))
