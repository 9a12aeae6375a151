"""Interleaved rounds: in each, every provider runs once, in random order, so that a busy machine is fair to all."""

from __future__ import annotations

import functools
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.peers import MissingPeer

Call = Callable[[Any], object]
"""What is timed; it takes one set of arguments."""
Sampler = Callable[[], float]
"""Run once, and return the seconds of one call."""


@dataclass(frozen=True)
class Budget:
    """At least `least` rounds, then more until `seconds` are over, but no more than `most`."""

    seconds: float
    least: int
    most: int = 400


@dataclass
class Timed:
    """What one provider gave: seconds per call, or the error that stopped it."""

    seconds: list[float] = field(default_factory=list)
    how: str = ""
    peak: int | None = None
    error: str | None = None

    def goes_on(self, budget: Budget) -> bool:
        """Return whether the provider takes part in the next round."""
        return self.error is None and (len(self.seconds) < 3 or sum(self.seconds) < budget.seconds)

    def percentile(self, percent: int) -> float:
        """Return a percentile of the times, in microseconds."""
        if len(self.seconds) == 1:
            return 1e6 * self.seconds[0]
        return 1e6 * statistics.quantiles(self.seconds, n=100, method="inclusive")[percent - 1]

    def columns(self) -> dict[str, float | int | None]:
        """Return the columns of a row that hold times."""
        if not self.seconds:
            return {}
        times = {f"p{percent}_us": round(self.percentile(percent), 2) for percent in (20, 50, 80)}
        return times | {"peak_bytes": self.peak}


def interleaved(
    calls: Mapping[str, Call],
    sets: Mapping[str, Sequence[Any]],
    *,
    device: torch.device,
    budget: Budget,
    warm: Any = None,
    hot: bool = False,
) -> dict[str, Timed]:
    """Time each provider on its own rotating sets of arguments; one that raises ends with its error.

    Before the rounds each is called once, on `warm` where that is given, and this is not timed. With `hot` what is
    timed follows on an untimed call with the same arguments. One that has used the whole budget alone stops after its
    third round.
    """
    prepare = cuda_sampler if device.type == "cuda" else functools.partial(wall_sampler, warm=warm, hot=hot)
    results, samplers = {name: Timed() for name in calls}, {}
    for name, call in calls.items():
        guarded(
            results[name],
            lambda name=name, call=call: samplers.update({name: prepare(call, sets[name], results[name])}),
        )
    order, begun = random.Random(0), time.monotonic()
    for number in range(budget.most):
        if number >= budget.least and time.monotonic() - begun >= budget.seconds:
            break
        names = [name for name in samplers if results[name].goes_on(budget)]
        for name in order.sample(names, len(names)):
            guarded(results[name], lambda name=name: results[name].seconds.append(samplers[name]()))
    return results


def guarded(result: Timed, action: Callable[[], object]) -> None:
    """Run a part of a provider; its failure is its result, and is shown as such."""
    try:
        action()
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")
        result.error = first if isinstance(error, MissingPeer) else f"{type(error).__name__}: {first}"


def wall_sampler(call: Call, sets: Sequence[Any], result: Timed, *, warm: Any, hot: bool) -> Sampler:
    """Return a sampler that goes through the sets in turn.

    The wall clock; on one thread the time of the processor, which other programs on a busy machine do not lengthen.
    """
    call(sets[0] if warm is None else warm)
    state = {"next": 1}
    alone = torch.get_num_threads() == 1
    clock, result.how = (time.process_time, "cpu time") if alone else (time.perf_counter, "wall")

    def sample() -> float:
        arguments = sets[state["next"] % len(sets)]
        state["next"] += 1
        if hot:
            call(arguments)
        begun = clock()
        call(arguments)
        return clock() - begun

    return sample


def cuda_sampler(call: Call, sets: Sequence[Any], result: Timed) -> Sampler:
    """Return a sampler by CUDA events around one replay of all sets, or around plain calls where capture fails."""
    for _ in range(3):
        call(sets[0])
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call(sets[0])
    torch.cuda.synchronize()
    result.peak = torch.cuda.max_memory_allocated() - before
    replay, result.how = captured(call, sets)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def sample() -> float:
        start.record()
        replay()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / len(sets)

    return sample


def captured(call: Call, sets: Sequence[Any]) -> tuple[Callable[[], object], str]:
    """Return what calls every set once, as one CUDA graph if it can be captured, and how that is done."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            for arguments in sets:
                call(arguments)
    except RuntimeError:
        torch.cuda.synchronize()
        return lambda: [call(arguments) for arguments in sets], "events"
    return graph.replay, "graph"
