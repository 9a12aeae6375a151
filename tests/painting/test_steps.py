"""Running strokes: what was seen is what a replay makes, stopped or not, whatever the task is."""

from dataclasses import replace

import pytest
import torch

import featlab as fl
from featlab.painting import (
    Area,
    Noise,
    Painting,
    Sample,
    Stroke,
    ToClass,
    ToReference,
    ToUnit,
    painted,
    repeatable,
    replay,
    running,
)
from featlab.painting.steps import problem_of

STRENGTH = {"within": "l2:eps=6", "step_size": 0.3, "keep": 90.0}
BRUSH = Area("brush", ((14, 8), (14, 20)), radius=6, softness=0.5)


@pytest.fixture(scope="module")
def model():
    return fl.load("zoo:fashion-robust", device="cpu")


@pytest.fixture(scope="module")
def first(model):
    return Sample("fashion-mini", 12).image(model.shape)


@pytest.fixture(autouse=True)
def one_thread(model):
    with repeatable(model):
        yield


TARGETS = [ToClass(8), ToUnit("layer4:9"), ToReference(Sample("fashion-mini", 5), (4, 4, 20, 20))]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: type(target).__name__)
def test_a_stroke_changes_its_area_alone_and_shows_more_of_its_target(model, first, target):
    image = painted(Stroke(BRUSH, target, options=STRENGTH, steps=12), first, model, original=first)
    outside = BRUSH.mask(28, 28) == 0
    assert torch.equal(image[outside], first[outside])
    assert not torch.equal(image, first)
    assert (image - first).norm() <= 6
    score = target.measure(model)
    assert float(score(image)) > float(score(first))


def test_stopping_leaves_what_so_many_steps_leave(model, first):
    stroke = Stroke(BRUSH, ToClass(8), options=STRENGTH)
    frames = list(running(stroke, first, model, original=first, steps=9))
    assert [(frame.number, frame.of) for frame in frames] == [(number, 9) for number in range(10)]
    assert torch.equal(frames[0].image, first)
    for count in (0, 4, 9):
        again = painted(stroke.ran(count), first, model, original=first)
        assert torch.equal(again, frames[count].image)


def test_a_replay_is_its_strokes_one_after_the_other(model, first):
    strokes = (
        Stroke(BRUSH, ToClass(8), options=STRENGTH, steps=5),
        Stroke(Area("rectangle", ((2, 2), (12, 12)), softness=0.5), ToUnit("penultimate:3"), options=STRENGTH, steps=4),
        Stroke(Area("eraser", ((14, 14),), radius=5, softness=0.5)),
        Stroke(Area("all"), ToClass(2), task="large-eps", options={"within": "l2:eps=2", "steps": 6}, steps=3),
    )
    painting = Painting("zoo:fashion-robust", Sample("fashion-mini", 12), strokes)
    image = first
    for stroke in strokes:
        image = painted(stroke, image, model, original=first)
    assert torch.equal(replay(painting, model), image)
    assert torch.equal(replay(painting, model), replay(Painting.parse(str_of(painting)), model))
    assert not torch.equal(replay(painting, model), replay(painting.before(3), model))


def str_of(painting):
    import json

    return json.dumps(painting.json())


def test_an_eraser_brings_back_what_was_there_at_first(model, first):
    worked = painted(Stroke(BRUSH, ToClass(8), options=STRENGTH, steps=5), first, model, original=first)
    assert torch.equal(painted(Stroke(Area("eraser", ((14, 14),), 50)), worked, model, original=first), first)
    half = painted(Stroke(Area("eraser", ((14, 8),), 4, 1.0)), worked, model, original=first)
    mask = Area("eraser", ((14, 8),), 4, 1.0).mask(28, 28)
    assert torch.allclose(half, worked + mask * (first - worked), atol=1e-6)


GOALS = {
    "labels": ToClass(3),
    "unit": ToUnit("layer4:9"),
    "reference": ToReference(Sample("fashion-mini", 7), (0, 0, 28, 28)),
}
SHORT = {
    "add-feature": {"steps": 5, "level": 0.2},
    "generate": {"steps": 4},
    "inpaint": {"steps": 4, "fill": "noise"},
    "interpolate": {"steps": 4, "points": 3},
    "large-eps": {"steps": 5, "within": "l2:eps=3"},
    "stadv": {"steps": 6, "step_size": 0.5},
    "visualize": {"steps": 4, "jitter": 1},
    "worst-of": {"within": "l2:eps=2", "tries": "4", "stop": True},
}


@pytest.mark.parametrize("name", fl.plugins.registry().names("tasks"))
def test_any_task_ends_with_what_maximize_finds(model, first, name):
    from featlab.forms import words_of

    word = next((word for word in GOALS if word in words_of(fl.task(name))), None)
    area = Area("rectangle", ((8, 8), (20, 20)), softness=0.5)
    stroke = Stroke(area, GOALS.get(word), task=name, options=SHORT.get(name, {"steps": 4}))
    problem = problem_of(stroke, first, model, seed=0, steps=None)
    *_, last = running(stroke, first, model, original=first)
    found = fl.maximize(problem)
    assert torch.allclose(last.images, found, atol=1e-6)
    assert torch.equal(last.image, last.images[-1:])
    assert last.number <= last.of
    part = max(1, last.number // 2)
    frames = list(running(stroke, first, model, original=first, steps=part))
    assert torch.equal(painted(stroke.ran(part), first, model, original=first), frames[-1].image)


def test_a_search_for_the_nearest_image_ends_with_it(model, first, monkeypatch):
    labels = torch.tensor([int(model(first).argmax())])

    def nearest(model, images, *, steps: int = 14):
        return fl.Problem(
            fl.cross_entropy(model, labels),
            images,
            fl.threat_model("l2", eps=8.0),
            steps,
            0.5,
            done=fl.misclassified(model, labels),
            keep="nearest",
        )

    monkeypatch.setattr("featlab.painting.steps.task", lambda name: nearest)
    stroke = Stroke(Area("all"), task="nearest")
    frames = list(running(stroke, first, model, original=first))
    assert torch.equal(frames[0].image, first)
    assert torch.equal(frames[-1].images, fl.maximize(problem_of(stroke, first, model, seed=0, steps=None)))
    assert not torch.equal(frames[-1].image, first)


def test_the_seed_of_the_painting_is_the_tasks_unless_it_is_given(model, first):
    stroke = Stroke(BRUSH, ToClass(8), options=STRENGTH | {"noise": 0.2}, steps=1)
    one, two = (painted(stroke, first, model, original=first, seed=seed) for seed in (1, 2))
    assert not torch.equal(one, two)
    given = replace(stroke, options=stroke.options | {"seed": 1})
    assert torch.equal(painted(given, first, model, original=first, seed=2), one)
    noise = Noise(1).image(model.shape)
    assert not torch.equal(noise, Noise(2).image(model.shape))
    assert torch.equal(noise, Noise(1).image(model.shape))


@pytest.mark.parametrize(
    ("stroke", "sentence"),
    [
        (Stroke(BRUSH, ToClass(10), options=STRENGTH), "has classes 0 to 9; got class 10"),
        (Stroke(BRUSH, ToUnit("layer9:1"), options=STRENGTH), "has no layer 'layer9'"),
        (Stroke(BRUSH, ToUnit("layer4"), options=STRENGTH), "is a whole layer"),
        (Stroke(BRUSH, ToUnit("layer4:128"), options=STRENGTH), "units 0 to 127"),
        (Stroke(BRUSH, ToReference(Noise(0), (30, 30, 40, 40)), options=STRENGTH), "must lie in its 28 x 28 image"),
        (Stroke(BRUSH, ToClass(1), options={"within": "lnif:eps=1"}), "did you mean 'linf'"),
        (Stroke(BRUSH, ToClass(1), options={"kep": 1}), "did you mean 'keep'"),
        (Stroke(BRUSH, ToClass(1), options={"mask": "x"}), "an option of task 'paint' must be one of"),
        (Stroke(BRUSH, task="invret"), "did you mean 'invert'"),
        (Stroke(BRUSH, task="large-eps", options={"within": "l2:eps=1"}), "needs a class as its target"),
        (Stroke(BRUSH, ToClass(1), task="large-eps"), "needs the option .within."),
    ],
)
def test_what_cannot_be_run_is_said_in_one_sentence(model, first, stroke, sentence):
    with pytest.raises(ValueError, match=sentence):
        next(running(stroke, first, model, original=first))


def test_a_task_that_enlarges_images_begins_with_a_smaller_one(model, first):
    seen = problem_of(Stroke(Area("all"), task="superres"), first, model, seed=0, steps=None)
    small = torch.nn.functional.avg_pool2d(first, 2)
    assert torch.equal(seen.center, fl.task("superres")(model, small).center)
    with pytest.raises(ValueError, match=r"must divide the sides of the canvas, \(28, 28\); got 3"):
        problem_of(Stroke(Area("all"), task="superres", options={"factor": 3}), first, model, seed=0, steps=None)


def test_images_that_do_not_fit_the_canvas_are_refused(model, first, monkeypatch):
    def larger(model, images):
        return fl.Problem(lambda x: x.flatten(1).sum(dim=1), torch.zeros(1, 1, 56, 56), fl.threat_model("box"), 1, 0.1)

    monkeypatch.setattr("featlab.painting.steps.task", lambda name: larger)
    with pytest.raises(ValueError, match=r"shape \(1, 56, 56\), which do not fit on a canvas"):
        next(running(Stroke(Area("all"), task="larger"), first, model, original=first))


def test_paintings_are_made_in_one_way_and_all_is_restored(model):
    torch.set_num_threads(2)
    try:
        with repeatable(model):
            assert torch.get_num_threads() == 1
            assert torch.backends.cudnn.deterministic
        assert torch.get_num_threads() == 2
        with repeatable(model, model.with_shape((1, 256, 256))):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
