"""Iterations recorded as CUDA graphs: the bits of the same iterations without a graph, no waiting, nothing left."""

import dataclasses
import gc
import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import featlab as fl
from featlab.engine import ENGINES
from featlab.recording import Backend, Calls, CudaGraphs, Recorder

pytestmark = pytest.mark.gpu

RULES = {"steepest": fl.Steepest(), "momentum": fl.Momentum(), "adam": fl.Adam(), "apgd": fl.APGD()}


@pytest.fixture(autouse=True)
def same_algorithms() -> Iterator[None]:
    """Let cuDNN choose algorithms that add in a fixed order."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield


class Counted:
    """Graphs that count their replays."""

    def __init__(self, device: torch.device) -> None:
        self.inner, self.recorded, self.replayed = CudaGraphs(device), 0, 0

    def record(self, action, *, prepare):
        replay = self.inner.record(action, prepare=prepare)
        self.recorded += 1

        def counted() -> None:
            self.replayed += 1
            replay()

        return counted


def net_of(device: torch.device) -> fl.Classifier:
    model = fl.build("small_cnn", mean=0.3, std=0.35, classes="0123456789", shape=(1, 28, 28), seed=0)
    return model.to(device).eval()


def pictures(count: int, device: torch.device, *, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(seed)).to(device)


def problem_of(model: nn.Module, images: Tensor, norm: str, **options: object) -> fl.Problem:
    with torch.no_grad():
        labels = model(images).argmax(dim=1)
    within = fl.threat_model(norm, eps=0.05 if norm == "linf" else 0.5)
    given = {"steps": 12, "step_size": 0.002 if norm == "linf" else 0.05, **options}
    return fl.pgd(model, images, labels, within=within, **given)


def found(problem: fl.Problem, backend: Backend) -> Tensor:
    return fl.maximize(problem, recorder=Recorder(backend, patience=0))


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_graphs_give_the_bits_of_calls(device: torch.device, norm: str, rule: str, stop: bool) -> None:
    """Both on the same buffers, so in batches of the same sizes: what differs is the graph."""
    model, images = net_of(device), pictures(50, device)
    problem, graphs = problem_of(model, images, norm, rule=RULES[rule], stop=stop), Counted(device)
    assert torch.equal(found(problem, graphs), found(problem, Calls()))
    assert graphs.replayed >= graphs.recorded >= 1


@pytest.mark.parametrize("options", [{"detect_cycles": True}, {"restarts": 2, "random_start": True}], ids=str)
def test_graphs_with_what_else_makes_rows_leave(device: torch.device, options: dict[str, object]) -> None:
    problem = problem_of(net_of(device), pictures(50, device), "linf", stop=True, **options)
    assert torch.equal(found(problem, CudaGraphs(device)), found(problem, Calls()))


def test_the_result_is_that_of_the_loop_itself(device: torch.device) -> None:
    """In batches of another size cuDNN may round otherwise: nearly all images agree closely, and verdicts do."""
    model, images = net_of(device), pictures(100, device)
    problem = problem_of(model, images, "l2", stop=True)
    recorded, plain = found(problem, CudaGraphs(device)), fl.maximize(problem)
    near = (recorded - plain).abs().flatten(1).amax(dim=1) < 1e-4
    assert near.float().mean() >= 0.95
    assert (fl.predict(model, recorded) == fl.predict(model, plain)).float().mean() >= 0.98


def test_one_recorder_serves_batches_and_weights_that_change_in_place(device: torch.device) -> None:
    model, graphs = net_of(device), Counted(device)
    recorder, calls = Recorder(graphs, patience=0), Recorder(Calls(), patience=0)
    for seed in range(4):
        problem = problem_of(model, pictures(32, device, seed=seed), "linf")
        assert torch.equal(fl.maximize(problem, recorder=recorder), fl.maximize(problem, recorder=calls))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.01)
    assert graphs.recorded == 1


def test_graphs_of_the_fast_copy(device: torch.device) -> None:
    model, images = net_of(device), pictures(64, device)
    problem = problem_of(ENGINES["fast"].prepare(model), images, "linf", stop=True)
    assert torch.equal(found(problem, CudaGraphs(device)), found(problem, Calls()))


def test_replays_never_wait_for_the_device(device: torch.device) -> None:
    model, images = net_of(device), pictures(32, device)
    problem = dataclasses.replace(problem_of(model, images, "linf"), examples=torch.arange(32, device=device))
    recorder = Recorder(CudaGraphs(device), patience=0)
    wanted = fl.maximize(problem, recorder=recorder).clone()
    torch.cuda.set_sync_debug_mode("error")
    try:
        again = fl.maximize(problem, recorder=recorder)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(again, wanted)


class Reading(nn.Module):
    """A model that asks the device for a number."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        logits = self.inner(images)
        return logits * 2 if float(logits.detach().mean()) > 0 else logits


def test_a_model_that_waits_is_called_with_one_warning(device: torch.device) -> None:
    model, images = net_of(device), pictures(32, device)
    problem, recorder = problem_of(Reading(model), images, "linf"), Recorder(CudaGraphs(device), patience=0)
    with pytest.warns(RuntimeWarning, match="steps are not recorded") as warned:
        assert torch.equal(fl.maximize(problem, recorder=recorder), fl.maximize(problem))
    assert len([each for each in warned if "not recorded" in str(each.message)]) == 1
    # A failed capture leaves nothing behind that would disturb the next one.
    other = problem_of(model, images, "l2")
    assert torch.equal(found(other, CudaGraphs(device)), found(other, Calls()))


def test_released_recordings_give_their_memory_back(device: torch.device) -> None:
    problem = problem_of(net_of(device), pictures(256, device), "linf")
    recorder = Recorder(CudaGraphs(device), patience=0)

    def held() -> int:
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved(device)

    fl.maximize(problem, recorder=recorder)
    recorder.release()
    before = held()
    fl.maximize(problem, recorder=recorder)
    assert held() > before
    recorder.release()
    assert held() <= before


def test_evaluations_by_the_fast_engine_are_as_strong(device: torch.device) -> None:
    model = fl.build("small_cnn", mean=0.3, std=0.35, classes="0123456789", shape=(1, 28, 28), seed=0).to(device)
    list(fl.train(model, fl.open_data("fashion-mini", train=True, count=1000), schedule=fl.Schedule(epochs=2, lr=0.05)))
    data = fl.load_data("fashion-mini", train=False, count=100)
    options = {"within": fl.threat_model("linf:eps=4/255"), "suite": "apgd"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Nothing here should fail to be recorded.
        slow, fast = (fl.evaluate(model, data, engine=name, **options) for name in ("auto", "fast"))
    assert slow.clean == fast.clean
    assert abs(slow.robust.accuracy - fast.robust.accuracy) <= 0.03
