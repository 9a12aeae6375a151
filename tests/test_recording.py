"""Recorded iterations end as those of the loop itself, to the bit, whatever leaves and whatever the batch."""

import contextlib
import dataclasses

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.recording import (
    Calls,
    CudaGraphs,
    NotRecordableError,
    Recorder,
    rounded_up,
    structure,
    tensors_of,
    with_tensors,
)

from known import Ball, Cube


class Maze(nn.Module):
    """Three classes of sines of the images; an example's bits do not depend on its batch."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.waves = nn.Parameter((torch.randn(6, 9, generator=generator, dtype=torch.float64) * 8).to(dtype))
        self.heads = torch.randn(9, 3, generator=generator, dtype=torch.float64).to(dtype)

    def forward(self, images):
        waves = torch.sin((images[:, :, None] * self.waves).sum(dim=1))
        return (waves[:, :, None] * self.heads).sum(dim=1)


def drawn(count, dtype=torch.float64, seed=1):
    return torch.rand(count, 6, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class Noted(Calls):
    """Calls that count what is recorded and how often it is repeated."""

    def __init__(self):
        self.recorded, self.repeated = 0, 0

    def record(self, action, *, prepare):
        self.recorded += 1

        def again():
            self.repeated += 1
            action()

        return again


RULES = {"steepest": fl.Steepest(), "momentum": fl.Momentum(), "adam": fl.Adam(), "apgd": fl.APGD()}
WITHIN = {
    "cube": lambda count: Cube(0.2),
    "cubes": lambda count: Cube(torch.linspace(0.05, 0.3, count, dtype=torch.float64)),
    "ball": lambda count: Ball(0.5),
    "linf": lambda count: fl.threat_model("linf", eps=0.2),
    "l2": lambda count: fl.threat_model("l2", eps=torch.linspace(0.2, 0.8, count)),
}


def problem_of(count, *, rule="steepest", within="cube", dtype=torch.float64, model=None, **options):
    model, images = model or Maze(dtype), drawn(count, dtype)
    labels = model(images).argmax(dim=1)
    given = {"steps": 15, "step_size": 0.01, "rule": RULES[rule], "stop": True, **options}
    return fl.pgd(model, images, labels, within=WITHIN[within](count), **given)


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("within", WITHIN)
def test_recorded_attacks_end_with_the_same_bits(within, rule, stop):
    dtype = torch.float32 if within in {"linf", "l2"} else torch.float64
    problem = problem_of(21, rule=rule, within=within, dtype=dtype, stop=stop)
    backend = Noted()
    found = fl.maximize(problem, recorder=Recorder(backend, patience=0))
    assert torch.equal(found, fl.maximize(problem))
    if stop:
        assert 3 <= backend.recorded < backend.repeated, "rows that leave should reach smaller sizes"
    else:
        assert (backend.recorded, backend.repeated) == (1, 15)  # 14 steps, and one to see that it does the same.


@pytest.mark.parametrize("count", [1, 7, 8, 9, 12, 13, 33, 70])
def test_batches_of_any_size(count):
    problem = problem_of(count, step_size=0.03)
    assert torch.equal(fl.maximize(problem, recorder=Recorder(Calls(), patience=0)), fl.maximize(problem))


def test_sizes_are_powers_of_two_and_halfway():
    sizes = {1: 8, 8: 8, 9: 12, 12: 12, 13: 16, 17: 24, 25: 32, 65: 96, 97: 128, 129: 192}
    assert {count: rounded_up(count) for count in sizes} == sizes


@pytest.mark.parametrize(
    "options",
    [
        {"detect_cycles": True},
        {"detect_cycles": True, "stop": False, "steps": 60},
        {"random_start": True, "restarts": 3, "seed": 4},
        {"loss": "margin", "targeted": True},
        {"step_size": torch.linspace(0.01, 0.2, 21)},
    ],
    ids=str,
)
def test_with_everything_that_makes_rows_leave(options):
    problem = problem_of(21, **options)
    assert torch.equal(fl.maximize(problem, recorder=Recorder(Calls(), patience=0)), fl.maximize(problem))


@pytest.mark.parametrize("stop", [True, False])
def test_last_points_are_kept_too(stop):
    problem = dataclasses.replace(problem_of(21, stop=stop), keep="last")
    recorder = Recorder(Calls(), patience=0)
    found = fl.maximize(problem, recorder=recorder)
    wanted = fl.maximize(problem)
    assert torch.equal(found, wanted)
    fl.maximize(problem_of(21, within="cubes"), recorder=recorder)
    fl.maximize(dataclasses.replace(problem, step_size=0.3), recorder=recorder)
    assert torch.equal(found, wanted), "the result lies in a buffer that the next attack writes over"


def test_one_recorder_serves_many_batches():
    """Labels, radii and images go into the buffers; nothing of an earlier batch is left there."""
    model, backend = Maze(), Noted()
    recorder = Recorder(backend, patience=0)
    for seed in range(6):
        images = drawn(16, seed=seed)
        labels = torch.randint(0, 3, (16,), generator=torch.Generator().manual_seed(seed))
        radius = torch.rand(16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / 5
        kept = images.clone(), labels.clone(), radius.clone()
        problem = fl.pgd(model, images, labels, within=Cube(radius), steps=9, step_size=0.02)
        assert torch.equal(fl.maximize(problem, recorder=recorder), fl.maximize(problem))
        assert all(map(torch.equal, (images, labels, radius), kept))
    assert backend.recorded == 1


def test_a_size_is_recorded_when_it_has_been_wanted_often_enough():
    backend = Noted()
    recorder = Recorder(backend, patience=3)
    problem = problem_of(8, stop=False, steps=10)
    fl.maximize(problem, recorder=recorder)
    # Of 10 steps 3 are called, and the last one has no gradient; one replay is for comparison.
    assert (backend.recorded, backend.repeated) == (1, 7)
    recorder.release()
    fl.maximize(problem, recorder=recorder)
    assert backend.recorded == 2


def test_the_oldest_recording_makes_room():
    backend, model = Noted(), Maze()
    recorder = Recorder(backend, patience=0, most=2)
    for count, recorded in ((8, 1), (12, 2), (16, 3), (12, 3), (8, 4)):
        problem = problem_of(count, model=model, stop=False, steps=3)
        assert torch.equal(fl.maximize(problem, recorder=recorder), fl.maximize(problem))
        assert backend.recorded == recorded


def test_recordings_follow_weights_in_place_and_are_made_anew_elsewhere():
    model, backend = Maze(), Noted()
    recorder = Recorder(backend, patience=0)
    problem = problem_of(8, model=model, stop=False)
    fl.maximize(problem, recorder=recorder)
    with torch.no_grad():
        model.waves.mul_(0.5)
    assert torch.equal(fl.maximize(problem, recorder=recorder), fl.maximize(problem))
    assert backend.recorded == 1
    model.waves.data = model.waves.data * 0.5
    assert torch.equal(fl.maximize(problem, recorder=recorder), fl.maximize(problem))
    assert backend.recorded == 2


class Refusing(Calls):
    def record(self, action, *, prepare):
        raise NotRecordableError("operation not permitted when stream is capturing")


class Stale(Calls):
    """A recording of what a model answered once, as one of a model with a state of its own would be."""

    def record(self, action, *, prepare):
        return lambda: None


@pytest.mark.parametrize(("backend", "reason"), [(Refusing(), "not permitted"), (Stale(), "something else")])
def test_what_cannot_be_recorded_is_called_with_one_warning(backend, reason):
    problem, recorder = problem_of(21), Recorder(backend, patience=0)
    wanted = fl.maximize(problem)
    with pytest.warns(RuntimeWarning, match=reason) as warned:
        assert torch.equal(fl.maximize(problem, recorder=recorder), wanted)
    assert len(warned) == 1
    assert torch.equal(fl.maximize(problem, recorder=recorder), wanted)  # And no warning, which would be an error.


class Host(fl.Steepest):
    """A rule that keeps a number of its own beside the tensors."""

    def update(self, points, grad, scores, center, *, within, step_size, state, out=None):
        moved, _ = super().update(points, grad, scores, center, within=within, step_size=step_size, state={}, out=out)
        return moved, {"count": state.get("count", 0) + 1}


def test_a_rule_that_changes_more_than_tensors_is_called():
    problem = dataclasses.replace(problem_of(8, stop=False), rule=Host())
    with pytest.warns(RuntimeWarning, match="more than the values of tensors"):
        found = fl.maximize(problem, recorder=Recorder(Calls(), patience=0))
    assert torch.equal(found, fl.maximize(problem))


def test_plain_functions_and_random_objectives_are_called():
    images = drawn(8)
    for score in (lambda x: -x.square().flatten(1).sum(dim=1), fl.expectation(lambda x: x.flatten(1).sum(1), draws=2)):
        problem = fl.Problem(score, images, Cube(0.1), 5, 0.02)
        with pytest.warns(RuntimeWarning, match="plain function, or another one"):
            found = fl.maximize(problem, recorder=Recorder(Refusing(), patience=0))
        assert torch.equal(found, fl.maximize(problem))


def test_errors_of_the_model_are_its_own():
    class Broken(Maze):
        def forward(self, images):
            if len(images) == 12:
                raise RuntimeError("twelve of them")
            return super().forward(images)

    with pytest.raises(RuntimeError, match="twelve of them"):
        fl.maximize(problem_of(11, model=Broken(), stop=False), recorder=Recorder(Calls(), patience=0))


class Swapping(fl.Steepest):
    """A rule whose state changes places: each is overwritten while the other is still to be read."""

    def begin(self, points, *, steps, key):
        return {"a": torch.zeros(len(points)), "b": torch.ones(len(points))}

    def update(self, points, grad, scores, center, *, within, step_size, state, out=None):
        size = step_size * (1 + state["a"])
        moved = within.step(points, grad, center, step_size=size, out=out)
        return moved, {"b": state["a"], "a": state["b"]}


def test_state_that_changes_places_is_not_lost():
    problem = dataclasses.replace(problem_of(8, stop=False), rule=Swapping())
    assert torch.equal(fl.maximize(problem, recorder=Recorder(Calls(), patience=0)), fl.maximize(problem))


class Slow(fl.ThreatModel):
    """A threat model of no data class, with a tensor for all examples, and with something that it works out once."""

    def __init__(self, mask):
        self.mask, self.cached = mask, None

    def project(self, points, center):
        return torch.where(self.mask, points, center).clamp(0, 1)

    def steepest(self, grad):
        if self.cached is None:
            self.cached = self.mask * 2.0
        return grad.sign() * self.cached

    def sample(self, center, *, key):
        return center.clone()


def test_values_of_any_kind_are_taken_apart():
    mask = torch.tensor([True, True, False, True, False, True])
    recorder, model = Recorder(Calls(), patience=0), Maze()
    for shared in (mask, ~mask):
        kept = shared.clone()
        options = {"steps": 5, "step_size": 0.05}
        problem = fl.pgd(model, drawn(9), torch.zeros(9).long(), within=Slow(shared), **options)
        again = fl.pgd(model, drawn(9), torch.zeros(9).long(), within=Slow(shared), **options)
        assert torch.equal(fl.maximize(problem, recorder=recorder), fl.maximize(again))
        assert torch.equal(shared, kept)


def test_structure_tells_apart_what_a_recording_holds_fixed():
    one, two = Cube(0.1), Cube(torch.ones(3))
    assert structure(one) == structure(Cube(0.1)) != structure(Cube(0.2))
    assert structure(two) == structure(Cube(torch.zeros(3))) != structure(Cube(torch.zeros(4)))
    assert structure(1) != structure(1.0)
    (eps,) = tensors_of({"b": 1, "a": (two, [None])})
    other = with_tensors({"b": 1, "a": (two, [None])}, [eps * 2])
    assert torch.equal(other["a"][0].eps, torch.full((3,), 2.0))
    assert two.eps.max() == 1.0


class FakeCuda:
    """What of torch.cuda a recording uses, without a device: it notes in which order, and captures by doing nothing."""

    def __init__(self, monkeypatch, *, ending=None):
        self.log, self.ending = [], ending
        stream = type("Stream", (), {"wait_stream": lambda this, other: self.log.append("wait")})()
        for name, value in {
            "device": lambda device: contextlib.nullcontext(),
            "stream": self.stream,
            "current_stream": lambda: stream,
            "Stream": lambda device: stream,
            "graph_pool_handle": lambda: self.log.append("pool") or object(),
            "CUDAGraph": type("Graph", (), {"replay": lambda this: self.log.append("replay")}),
            "graph": self.graph,
            "synchronize": lambda: self.log.append("synchronize"),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)

    @contextlib.contextmanager
    def stream(self, stream):
        self.log.append("side")
        try:
            yield
        finally:
            self.log.append("main")

    @contextlib.contextmanager
    def graph(self, graph, *, pool, stream):
        self.log.append("capture")
        try:
            yield
        finally:
            if self.ending:
                raise RuntimeError(self.ending)


def test_a_capture_follows_on_warm_ups_that_all_begin_alike(monkeypatch):
    cuda, backend = FakeCuda(monkeypatch), CudaGraphs(torch.device("cuda", 7))
    again = backend.record(lambda: cuda.log.append("action"), prepare=lambda: cuda.log.append("prepare"))
    again()
    warm = ["prepare", "action"] * CudaGraphs.warm_ups
    assert cuda.log == ["wait", "side", *warm, "pool", "capture", "action", "main", "wait", "replay"]
    cuda.log.clear()
    backend.record(lambda: None, prepare=lambda: None)
    assert "pool" not in cuda.log, "recordings share one"
    backend.release()
    backend.record(lambda: None, prepare=lambda: None)
    assert "pool" in cuda.log


def test_a_failed_capture_says_what_failed_first(monkeypatch):
    cuda = FakeCuda(monkeypatch, ending="the capture was invalidated before")
    backend = CudaGraphs(torch.device("cuda", 7))

    def action():
        if "capture" in cuda.log:
            raise RuntimeError("operation not permitted when stream is capturing\nand so on")

    with pytest.raises(NotRecordableError, match=r"^operation not permitted when stream is capturing$"):
        backend.record(action, prepare=lambda: None)
    assert cuda.log[-2:] == ["synchronize", "main"]
    cuda.log.clear()
    with pytest.raises(NotRecordableError, match="invalidated"):
        backend.record(lambda: None, prepare=lambda: None)
    assert "pool" in cuda.log, "the pool of a failed capture is not used again"


class Sized(Maze):
    """A model that answers a little otherwise in batches of another size, as libraries of convolutions do."""

    def forward(self, images):
        return super().forward(images) * (1 + 0.01 * len(images))


def test_results_do_not_depend_on_what_has_been_recorded_when():
    problem = problem_of(21, model=Sized(), step_size=0.004)
    found = [fl.maximize(problem, recorder=Recorder(Calls(), patience=patience)) for patience in (0, 2, 99)]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
