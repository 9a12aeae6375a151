"""Nothing is left behind: hooks, graphs, tensors and modes are as they were, however often a net is looked at."""

import gc
import weakref

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.audit import Limits
from featlab.audit import run as running
from featlab.features.flips import flips
from featlab.features.saliency import METHODS
from featlab.models import layer_shapes
from featlab.testing.models import Kept

from audit_cases import lights, subject_of, trained

IMAGES, LABELS = lights(6, seed=5).tensors()
BALL = fl.threat_model("l2:eps=0.3")
FEW = Limits(images=6, units=2, seen=1, inversions=2, saliency=2, mistakes=1, train=12, radii=2)
task = fl.task


def visualized(model, **options):
    grey = torch.full_like(IMAGES[:1], 0.5)
    return fl.maximize(task("visualize")(model, grey, "penultimate:1", steps=2, pass_through=True, **options))


LOOKS = {
    "usefulness": lambda model: fl.usefulness(
        fl.extractor(model, "penultimate"), (IMAGES, LABELS), within=BALL, steps=2, resamples=4
    ),
    "layer robustness": lambda model: fl.layer_robustness(
        fl.extractor(model, "0"), (IMAGES, LABELS), within=BALL, steps=2, resamples=4
    ),
    "saliency": lambda model: [method(model, IMAGES, LABELS) for method in METHODS.values()],
    "saliency table": lambda model: fl.saliency_table(
        model, IMAGES[:2], LABELS[:2], methods={"g": METHODS["grad-cam"]}
    ),
    "class gradients": lambda model: fl.class_gradients(model, IMAGES, within=BALL, draws=2),
    "visualize": visualized,
    "visualize, unlike": lambda model: visualized(model, reference=IMAGES[:2]),
    "one by one": lambda model: fl.one_by_one(lambda found: visualized_problem(model, found), count=2),
    "likeness": lambda model: fl.likeness(model, IMAGES, IMAGES),
    "invert": lambda model: fl.maximize(task("invert")(model, IMAGES, IMAGES.flip(0), steps=2)),
    "inversion distances": lambda model: fl.inversion_distances(model, (IMAGES, LABELS), steps=2),
    "interpolate": lambda model: fl.maximize(task("interpolate")(model, IMAGES[:2], IMAGES[2:4], points=2, steps=2)),
    "add-feature": lambda model: fl.maximize(task("add-feature")(model, IMAGES, "penultimate:1", steps=2)),
    "rationalize": lambda model: fl.maximize(task("rationalize")(model, IMAGES, steps=2)),
    "large-eps": lambda model: fl.maximize(task("large-eps")(model, IMAGES, LABELS, within=BALL, steps=2)),
    "portraits": lambda model: fl.portraits(model, (IMAGES, LABELS), units=[0], count=2, steps=2),
    "nearest": lambda model: fl.nearest(fl.extractor(model, "penultimate"), IMAGES, (IMAGES, LABELS), count=2),
    "flips": lambda model: flips(model, IMAGES, IMAGES.flip(0)),
    "evaluate": lambda model: fl.evaluate(model, (IMAGES, LABELS), within=BALL, suite="quick"),
    "frames": lambda model: list(fl.ascend(fl.pgd(model, IMAGES, LABELS, within=BALL, steps=2, step_size=0.1))),
    "layer shapes": layer_shapes,
}


def visualized_problem(model, found):
    return task("visualize")(model, torch.full_like(IMAGES[:1], 0.5), "penultimate:1", reference=found, steps=1)


@pytest.fixture(scope="module")
def tiny():
    return trained()


def tensors():
    """Every tensor that is alive, and how many nodes of graphs hang on them."""
    gc.collect()
    # By type: `isinstance` asks objects of other libraries for their class, and some warn at that.
    known = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
    return len(known), sum(each.grad_fn is not None for each in known)


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from (each for part in value.values() for each in tensors_in(part))
    elif isinstance(value, list | tuple):
        yield from (each for part in value for each in tensors_in(part))
    elif hasattr(value, "__dict__"):
        yield from tensors_in(vars(value))


@pytest.mark.parametrize("name", LOOKS)
def test_no_hook_graph_or_tensor_stays(tiny, name):
    look = LOOKS[name]
    look(tiny)  # What is cached once and for all is cached now.
    before = tensors()
    with Kept(tiny, training=False):
        for _ in range(3):
            look(tiny)
    assert tensors() == before
    assert all(parameter.grad is None for parameter in tiny.parameters())


@pytest.mark.parametrize("name", LOOKS)
def test_no_result_holds_a_graph(tiny, name):
    """A result that held its graph would keep every activation of the net alive with it."""
    assert not any(each.requires_grad for each in tensors_in(LOOKS[name](tiny)) if not isinstance(each, nn.Parameter))


@pytest.fixture(scope="module")
def audited():
    """A subject, and the parts of its audit."""
    subject, parts = subject_of(trained(), limits=FEW), {}
    for name, (_, make) in running.STAGES.items():
        parts[name] = make(subject, parts)
    return subject, parts


@pytest.mark.slow
@pytest.mark.parametrize("stage", running.STAGES)
def test_the_parts_of_an_audit_leave_nothing(audited, stage):
    subject, parts = audited
    before = tensors()
    with Kept(subject.model, training=False):
        running.STAGES[stage][1](subject, parts)
    assert tensors() == before
    assert not any(each.requires_grad for each in tensors_in(parts[stage]))


@pytest.mark.parametrize("name", LOOKS)
def test_a_net_that_was_looked_at_can_go(name):
    """Nothing holds it: no cache, no recording, no hook."""
    model = trained()
    LOOKS[name](model)
    known = [weakref.ref(module) for module in model.modules()]
    del model
    gc.collect()
    assert not any(each() is not None for each in known)


def test_hooks_go_when_the_net_fails(tiny):
    class Broken(Exception):
        pass

    def fail(*_):
        raise Broken

    handle = tiny.net[-1].register_forward_hook(fail)
    try:
        with Kept(tiny, training=False):
            for name in ("usefulness", "visualize, unlike", "inversion distances", "likeness", "portraits", "flips"):
                with pytest.raises(Broken):
                    LOOKS[name](tiny)
    finally:
        handle.remove()


def test_the_count_can_fail(tiny):
    """A tensor that is kept, and one with a graph, are seen."""
    before = tensors()
    kept = [torch.zeros(1), (tiny(IMAGES) * 1)]
    after = tensors()
    assert after[0] >= before[0] + 2
    assert after[1] >= before[1] + 1
    assert any(each.requires_grad for each in tensors_in({"x": kept}))
