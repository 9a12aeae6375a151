"""Repeating a step on buffers of its own: on CUDA as one graph, which costs the host a single launch.

A step is a function from a batch to the batch after it, as a value. A `Recorder` keeps, for each size that batches are
rounded up to, buffers with the tensors of such a batch and a recording of the step on them. Batches are copied in,
filled up with copies of their last row, as rows do not influence each other; while the same rows go on, nothing is
copied at all.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from featlab.freezing import modules_of
from featlab.types import Rows


class Batch(Protocol):
    """A value with rows, made of tensors, numbers, functions and values like itself."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def rows(self, index: Rows, /) -> Self:
        """Return some of the rows, any of them more than once."""
        ...

    @property
    def varying(self) -> object:
        """What a step changes; all else of the batch after it is as before."""
        ...

    def over(self, buffers: Self, /) -> Self:
        """Return this batch with what a step changes taken from the first rows of `buffers`, as views."""
        ...


B = TypeVar("B", bound=Batch)
Value = TypeVar("Value")
Action = Callable[[], None]


class NotRecordableError(RuntimeError):
    """What a step does cannot be recorded; the message says why."""


class Backend(Protocol):
    """What records."""

    def record(self, action: Action, *, prepare: Action) -> Action:
        """Return what does again, on the same tensors, what `action` does, which must follow on `prepare`.

        Both may be called any number of times. Raises NotRecordableError.
        """
        ...

    def release(self) -> None:
        """Free what recordings that are no longer there have shared."""
        ...


class Calls:
    """Recordings that are calls of the function itself: the same results on every device, and no gain."""

    def record(self, action: Action, *, prepare: Action) -> Action:
        """Return the action."""
        del prepare
        return action

    def release(self) -> None:
        """Do nothing: calls share nothing."""


class CudaGraphs:
    """Recordings as CUDA graphs, which share one pool of memory for what is temporary in a step.

    Sharing is safe as no tensor of the pool outlives the step that made it: everything is copied into buffers.
    """

    warm_ups = 3  # Libraries choose algorithms and allocate workspaces in their first calls, which no graph may hold.

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pool: Any = None

    def record(self, action: Action, *, prepare: Action) -> Action:
        """Return the replay of a graph of the action."""
        with torch.cuda.device(self.device):
            main, side = torch.cuda.current_stream(), _side_stream(self.device)
            side.wait_stream(main)
            with torch.cuda.stream(side):  # Also after a capture that failed, which would leave its stream in place.
                for _ in range(self.warm_ups):
                    prepare()
                    action()
                replay = self._captured(action, side)
            main.wait_stream(side)
            return replay

    def release(self) -> None:
        """Forget the pool, which lives as long as the graphs that use it: no other may go on with its name."""
        self._pool = None

    def _captured(self, action: Action, stream: torch.cuda.Stream) -> Action:
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        try:
            # The action has just run by itself: what fails now fails because nothing may wait for the device.
            with torch.cuda.graph(graph, pool=self._pool, stream=stream):
                action()
        except RuntimeError as error:
            self._pool = None  # It may still count as one that is being recorded to.
            torch.cuda.synchronize()
            # Ending a capture that has failed fails too, with less to say.
            first = error.__context__ if isinstance(error.__context__, RuntimeError) else error
            raise NotRecordableError(_first_line(first)) from error
        replay: Action = graph.replay
        return replay


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream that recordings are made on: one, as libraries keep a workspace for each."""
    return torch.cuda.Stream(device)


@dataclass(frozen=True, eq=False)
class Recording:
    """Buffers, and what takes them one step further."""

    buffers: Any
    again: Action


class Recorder:
    """Takes steps by recordings, one for each kind of step and of batch; see the module.

    A size is recorded when it has been wanted `patience` times, as recording costs as much as some steps; of more than
    `most` recordings the oldest is forgotten. The first replay is compared with the step itself. Where recording fails,
    or differs, there is one warning, and steps of that kind are called as they are. What a step reads besides its batch
    (weights, say) must stay where it is in memory for as long as it is recorded; `release` forgets all recordings. One
    at a time may use a recorder.
    """

    def __init__(self, backend: Backend, *, patience: int = 8, most: int = 32) -> None:
        self.backend, self.patience, self.most = backend, patience, most
        self.release()

    def release(self) -> None:
        """Forget all recordings, and free what they hold."""
        self.backend.release()
        self._recordings: dict[Hashable, Recording] = {}
        self._wanted: dict[Hashable, int] = {}
        self._refused: set[str] = set()
        self._kinds_refused: set[Hashable] = set()
        self._latest: tuple[Any, Hashable, Recording] | None = None

    def __call__(self, step: Callable[[B], B], batch: B) -> B:
        """Return step(batch), which may lie in buffers: it holds until the next call."""
        kind = _kind(step)
        recording = self._loaded(batch, kind)
        if recording is None:
            full = batch.rows(filled(len(batch), device=tensors_of(batch)[0].device))
            recording = self._recorded(step, full, kind)
            if kind in self._kinds_refused:
                return step(batch)
            if recording is None:
                # Rounded up all the same: how a model rounds must not depend on what has been recorded when.
                return batch.over(step(full))
            load(full, recording.buffers)
        recording.again()
        after = batch.over(recording.buffers)
        self._latest = after, kind, recording
        return after

    def refuse(self, reason: str) -> None:
        """Warn, once, that something is not recorded."""
        if reason not in self._refused:
            self._refused.add(reason)
            warnings.warn(f"steps are not recorded, so they take longer: {reason}", RuntimeWarning, stacklevel=3)

    def _loaded(self, batch: object, kind: Hashable) -> Recording | None:
        """Return the recording whose last replay has left just this batch in its buffers."""
        if self._latest is None or self._latest[0] is not batch or self._latest[1] != kind:
            return None
        return self._latest[2]

    def _recorded(self, step: Callable[[B], B], batch: B, kind: Hashable) -> Recording | None:
        """Return the recording for a batch, made now if it is time to; None where there is none."""
        if kind in self._kinds_refused:
            return None
        key = (kind, structure(batch))
        if key in self._recordings:
            return self._recordings[key]
        self._wanted[key] = self._wanted.get(key, 0) + 1
        if self._wanted[key] <= self.patience:
            return None
        try:
            self._recordings[key] = recorded(step, batch, self.backend)
        except NotRecordableError as error:
            self._kinds_refused.add(kind)
            self.refuse(str(error))
            return None
        if len(self._recordings) > self.most:
            oldest = next(iter(self._recordings))
            del self._recordings[oldest], self._wanted[oldest]
        return self._recordings[key]


def recorded(step: Callable[[B], B], batch: B, backend: Backend) -> Recording:
    """Return a recording whose first replay has been seen to do what the step does."""
    buffers = with_tensors(batch, [tensor.detach().clone() for tensor in tensors_of(batch)])

    def action() -> None:
        # On a new value around the buffers: what a value caches would be as old as the recording.
        write(step(with_tensors(buffers, tensors_of(buffers))).varying, buffers.varying)

    def prepare() -> None:
        load(batch, buffers)

    action()
    wanted = [tensor.clone() for tensor in tensors_of(buffers)]
    again = backend.record(action, prepare=prepare)
    prepare()
    again()
    if not all(map(_near, tensors_of(buffers), wanted)):
        raise NotRecordableError("a replay gives something else than the model or the rule themselves")
    return Recording(buffers, again)


def load(batch: object, buffers: object) -> None:
    """Copy the tensors of a batch to those of buffers of the same structure."""
    for tensor, buffer in zip(tensors_of(batch), tensors_of(buffers), strict=True):
        buffer.copy_(tensor)


def write(after: object, buffers: object) -> None:
    """Copy what a step gave back to the buffers that it read; what it has written there itself stays."""
    if structure(after) != structure(buffers):
        raise NotRecordableError("a step changes more than the values of tensors")
    own = {buffer.untyped_storage().data_ptr() for buffer in tensors_of(buffers)}
    pairs = []
    for tensor, buffer in zip(tensors_of(after), tensors_of(buffers), strict=True):
        if tensor is not buffer:
            # Another buffer would be overwritten before it is read.
            pairs.append((tensor.clone() if tensor.untyped_storage().data_ptr() in own else tensor, buffer))
    for tensor, buffer in pairs:
        buffer.copy_(tensor)


def filled(count: int, *, device: torch.device) -> Rows:
    """Return the rows 0 ... count - 1 and then the last one again, up to the next size of `sizes`."""
    return torch.arange(rounded_up(count), device=device).clamp_(max=count - 1)


def rounded_up(count: int) -> int:
    """Return the least size that holds `count` rows: 8, 12, 16, 24, 32, 48, ... (2^n and 3 2^n)."""
    size = 8
    while size < count:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def parts(value: object) -> dict[Any, Any] | None:
    """Return what a value is made of, by name; None for what is taken as a whole: tensors, numbers, functions, nets."""
    if isinstance(value, Mapping):
        return {name: value[name] for name in sorted(value, key=repr)}
    if isinstance(value, tuple | list):
        return dict(enumerate(value))
    if isinstance(value, type | nn.Module | Tensor) or not (is_dataclass(value) or hasattr(value, "rows")):
        return None
    slots = {field.name: getattr(value, field.name) for field in fields(value)} if is_dataclass(value) else {}
    return slots | getattr(value, "__dict__", {})


def tensors_of(value: object) -> list[Tensor]:
    """Return all tensors of a value, in a fixed order."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for part in (parts(value) or {}).values() for tensor in tensors_of(part)]


def with_tensors(value: Value, tensors: Iterable[Tensor]) -> Value:
    """Return the same value with other tensors, in the order of `tensors_of`."""
    rebuilt: Value = _rebuilt(value, iter(tensors))
    return rebuilt


def _rebuilt(value: Any, tensors: Iterator[Tensor]) -> Any:
    if isinstance(value, Tensor):
        return next(tensors)
    found = parts(value)
    if found is None:
        return value
    changed = {name: _rebuilt(part, tensors) for name, part in found.items()}
    if isinstance(value, Mapping):
        return changed
    if isinstance(value, tuple | list):
        return type(value)(*changed.values()) if hasattr(value, "_fields") else type(value)(changed.values())
    other = copy.copy(value)
    for name, part in changed.items():
        object.__setattr__(other, name, part)  # Past the checks of its constructor, which may read from the device.
    return other


def structure(value: object) -> Hashable:
    """Return everything about a value but what is in its tensors; two values of one structure may share a recording."""
    if isinstance(value, Tensor):
        return Tensor, value.shape, value.dtype, value.device
    if isinstance(value, nn.Module):
        own = [(*module._parameters.values(), *module._buffers.values()) for module in modules_of(value)]
        return value, tuple(tensor.data_ptr() for tensors in own for tensor in tensors if tensor is not None)
    found = parts(value)
    if found is not None:
        return type(value), tuple((name, structure(part)) for name, part in found.items())
    return type(value), value if isinstance(value, Hashable) else id(value)


def _kind(step: object) -> Hashable:
    """Return what tells steps apart: all that they are made of, tensors too."""
    return structure(step), tuple(map(id, tensors_of(step)))


def _near(one: Tensor, other: Tensor) -> bool:
    """Return whether tensors agree up to the rounding that some kernels do in no fixed order."""
    if not one.is_floating_point():
        return torch.equal(one, other)
    size = float(other.nan_to_num(0.0, 0.0, 0.0).abs().amax()) if other.numel() else 0.0
    return torch.allclose(one, other, rtol=0.0, atol=0.01 * size, equal_nan=True)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
