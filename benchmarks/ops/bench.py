"""Run the cases: for each size, with the data out of the caches and in them."""

from __future__ import annotations

import ctypes
import functools
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace

import torch
from torch import Tensor

from benchmarks import ops, roof
from benchmarks.ops.cases import CASES, Case, Shape, Sizes
from benchmarks.options import Options, compared
from benchmarks.peers import MissingPeer
from benchmarks.rows import Row
from benchmarks.timing import Call, Timed, interleaved
from featlab import ops as public
from featlab.ops import native
from featlab.ops.schema import DEFINITIONS

QUICK_COMPILED = ("linf_step", "l2_step")
"""What --quick gives to torch.compile, which takes tens of seconds for each operator."""
HOT = 16
"""So many times a set in the caches is used in a row."""
LIMIT = 2 << 30
"""Rotating sets hold at most so many bytes."""


def run(options: Options) -> Iterator[list[Row]]:
    """Yield the rows of every registered case that is wanted, a list for each measurement."""
    keep_freed_memory()
    for case in registered().values():
        shapes = {case.quick: case.shapes[case.quick]} if options.quick else case.shapes
        for size, shape in shapes.items():
            for cache in ("out of cache", "in cache"):
                name = f"{case.op} {size} {cache}"
                if options.wants(name) and not (options.quick and cache == "out of cache"):
                    yield measure(case, name, shape, options, rotating=cache == "out of cache")


def registered() -> Mapping[str, Case]:
    """Return all cases, in the order of the operators; each module of this package may register some."""
    for module in pkgutil.iter_modules(ops.__path__):
        importlib.import_module(f"{ops.__name__}.{module.name}")
    return {name: CASES[name] for name in DEFINITIONS if name in CASES}


def measure(case: Case, name: str, shape: Shape, options: Options, *, rotating: bool) -> list[Row]:
    """Return the rows of one case at one size."""
    generator = torch.Generator(options.device).manual_seed(0)
    draw = functools.partial(case.arguments, Sizes(shape, options.device, generator))
    first = SimpleNamespace(**draw())
    size = case.bytes(first) if case.bytes else traffic(case.op, first)
    count = rotations(storage(first)) if rotating else 1
    sets = [first, *(SimpleNamespace(**draw()) for _ in range(count - 1))]
    sets *= 1 if rotating else HOT  # A CUDA graph of a single call would show the launch.
    calls, failed = providers(case, options)
    roofs = roof.calls(options.device)
    # The roof rotates over as many bytes as the case does.
    streams = roof.sets(size, max(1, round(count * storage(first) / roof.moved(size))), options.device)
    all_sets = dict.fromkeys(calls, sets) | dict.fromkeys(roofs, streams if rotating else streams * HOT)
    budget = options.budget(seconds=4.0, least=11, quick_seconds=0.5, quick_least=3)
    results = interleaved({**roofs, **calls}, all_sets, device=options.device, budget=budget, hot=not rotating)
    results |= {provider: Timed(error=reason) for provider, reason in failed.items()}
    return compared(list(rows(name, shape, size, results)))


def rows(name: str, shape: Shape, size: int, results: Mapping[str, Timed]) -> Iterator[Row]:
    """Yield a row for each provider, with its part of the roof."""
    text = "x".join(map(str, shape))
    roofs = (result for provider, result in results.items() if is_roof(provider) and result.seconds)
    best = max(roof.moved(size) / (1e-6 * result.percentile(50)) for result in roofs)
    for provider, result in results.items():
        row = Row(bench="ops", name=name, provider=provider, shape=text, dtype="float32", error=result.error)
        if not result.seconds:
            yield row
            continue
        moved = roof.moved(size) if is_roof(provider) else size
        speed = moved / (1e-6 * result.percentile(50))
        note = f"{result.how}, {len(result.seconds)} rounds, {speed / 1e9:.1f} GB/s"
        yield replace(row, **result.columns(), bytes=moved, roof_fraction=round(speed / best, 4), note=note)


def is_roof(provider: str) -> bool:
    """Return whether a provider is a candidate for the roof."""
    return provider.startswith("roof ")


def providers(case: Case, options: Options) -> tuple[dict[str, Call], dict[str, str]]:
    """Return what can be called, and why the rest cannot."""
    calls: dict[str, Call] = {}
    failed: dict[str, str] = {}
    if native.is_native(case.op, options.device.type, torch.float32):
        calls["featlab operator"] = positional(case.op, getattr(torch.ops.featlab, case.op))
    else:
        failed["featlab operator"] = f"no compiled kernel serves {case.op} on {options.device.type}"
    if hasattr(public, case.op):
        calls["featlab"] = by_name(case.op, getattr(public, case.op))
    definition = positional(case.op, DEFINITIONS[case.op][1])
    calls["definition"] = definition
    compiled: dict[str, Call] = {"compile definition": definition}
    if case.eager is not None:
        calls["eager"] = case.eager
        compiled["compile eager"] = case.eager
    if options.quick and case.op not in QUICK_COMPILED:
        failed |= dict.fromkeys(compiled, "left out by --quick")
    else:
        torch._dynamo.reset()  # Formulas that share a line of code would share the limit of its recompilations.
        calls |= {kind: torch.compile(call, dynamic=False, fullgraph=True) for kind, call in compiled.items()}
    for peer, factory in case.peers.items():
        try:
            calls[peer] = factory()
        except MissingPeer as missing:
            failed[peer] = str(missing)
    return {name: ungraded(call) for name, call in calls.items()}, failed


def ungraded(call: Call) -> Call:
    """Return the call without gradients, as it runs between two gradients."""

    def run_without(arguments: SimpleNamespace) -> object:
        with torch.no_grad():
            return call(arguments)

    return run_without


def names_of(op: str) -> list[str]:
    """Return the names of an operator's arguments, from its schema."""
    return re.findall(r"[\])?a-z0-9!(] (\w+)(?:=[^,)]*)?(?=[,)])", DEFINITIONS[op][0])


def positional(op: str, function: Callable[..., object]) -> Call:
    """Return the operator or its definition as a function of the named arguments."""
    names = names_of(op)
    return lambda arguments: function(*[getattr(arguments, name) for name in names])


def by_name(op: str, function: Callable[..., object]) -> Call:
    """Return the public function of the operator, with those of the arguments that it takes."""
    names = [name for name in names_of(op) if name in inspect.signature(function).parameters]
    bound: dict[int, dict[str, object]] = {}

    def call(arguments: SimpleNamespace) -> object:
        if id(arguments) not in bound:
            bound[id(arguments)] = {name: as_number(getattr(arguments, name)) for name in names}
        return function(**bound[id(arguments)])

    return call


def as_number(value: object) -> object:
    """Return a float32 tensor of one element, a radius or a step size, as the number that users pass."""
    return value.item() if isinstance(value, Tensor) and value.shape == (1,) and value.is_floating_point() else value


def tensors(arguments: SimpleNamespace) -> dict[str, Tensor]:
    """Return the arguments that are tensors."""
    return {name: value for name, value in vars(arguments).items() if isinstance(value, Tensor)}


def traffic(op: str, arguments: SimpleNamespace) -> int:
    """Return the bytes that must move: each input once, and each tensor that the schema writes once."""
    every, written = tensors(arguments), written_by(op)
    total = sum(every[name].nbytes for name in written if name in every)
    return total + sum(value.nbytes for name, value in every.items() if name not in written)


def written_by(op: str) -> list[str]:
    """Return the names of the arguments that an operator writes, from its schema."""
    return re.findall(r"Tensor\([a-z]!\)\?? (\w+)", DEFINITIONS[op][0])


def storage(arguments: SimpleNamespace) -> int:
    """Return the bytes that one set of arguments occupies."""
    return sum({value.data_ptr(): value.nbytes for value in tensors(arguments).values()}.values())


def rotations(size: int) -> int:
    """Return how many sets it takes so that none is still in a cache when its turn comes again."""
    caches = native.host_facts().get("caches", {}).values()
    wanted = 2 * max([64 << 20, *(int(cache) for cache in caches if cache)])
    return max(2, -(-min(wanted, LIMIT) // size))


def keep_freed_memory() -> None:
    """Make glibc keep what PyTorch frees, since page faults would be charged to the rivals, which allocate."""
    if sys.platform == "linux":
        trim, threshold = -1, -3
        libc = ctypes.CDLL(None)
        libc.mallopt(threshold, 32 << 20)
        libc.mallopt(trim, 1 << 30)
