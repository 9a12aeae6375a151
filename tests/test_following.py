"""Following a problem shows every frame and ends where maximize ends, to the bit."""

import json

import pytest
import torch

import featlab as fl
from featlab.following import Trace, follow

PICTURES = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
GOAL = PICTURES.flip(0)


class Wavy(fl.Objective):
    """A score that overshoots: steps of 0.3 do not only improve it."""

    def __call__(self, images, /):
        return -(images - GOAL[: len(images)]).abs().flatten(1).sum(dim=1)

    def rows(self, index):
        return fl.stay_near(GOAL[index])


class Near:
    """Done where an image is nearer than some distance to its goal."""

    def __init__(self, goal=GOAL, limit=1.0):
        self.goal, self.limit = goal, limit

    def __call__(self, images, /):
        return (images - self.goal).flatten(1).norm(dim=1) < self.limit

    def rows(self, index):
        return Near(self.goal[index], self.limit)


def problem(**options):
    chosen = {"within": fl.threat_model("linf:eps=0.4"), "steps": 7, "step_size": 0.3, **options}
    return fl.Problem(Wavy(), PICTURES, **chosen)


CASES = {
    "best": {},
    "last": {"keep": "last"},
    "restarts": {"random_start": True, "restarts": 3, "seed": 4},
    "done": {"done": Near()},
    "done in restarts": {"done": Near(limit=0.8), "random_start": True, "restarts": 2},
    "nearest": {"done": Near(), "keep": "nearest"},
    "variants": {"within": fl.threat_model("union:of=linf:eps=0.4+l2:eps=1"), "keep": "last"},
}


@pytest.mark.parametrize("name", CASES)
def test_it_ends_where_maximize_ends(name):
    seen = []
    found = follow(problem(**CASES[name]), seen.append)
    assert torch.equal(found, fl.maximize(problem(**CASES[name])))
    frames = list(fl.ascend(problem(**CASES[name])))
    assert [step.number for step in seen] == [step.number for step in frames]
    assert all(torch.equal(step.images, frame.images) for step, frame in zip(seen, frames, strict=True))


def test_the_case_can_fail():
    """The last frame is not the best one here, so taking either for the other would be seen."""
    assert not torch.equal(fl.maximize(problem()), fl.maximize(problem(keep="last")))


def test_the_trace_tells_of_each_frame_what_it_says():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    trace = Trace(model, torch.tensor([0, 1, 2, 0, 1]))
    rows = []
    follow(problem(), lambda step: rows.append((step, trace.row(step))))
    for step, row in rows:
        with torch.no_grad():
            wanted = model(step.images).softmax(1).gather(1, trace.labels[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(row["probabilities"]), wanted, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(torch.tensor(row["scores"]), step.scores, rtol=1e-4, atol=1e-6)
        change = (step.images - PICTURES).flatten(1).norm(dim=1)
        torch.testing.assert_close(torch.tensor(row["change"]), change, rtol=1e-4, atol=1e-6)
    assert [row["step"] for _, row in rows] == list(range(8))


def test_without_labels_the_class_is_the_first_answer_and_without_a_model_there_is_none():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    trace = Trace(model)
    step = fl.Step(0, 0, PICTURES, torch.tensor([0.0, 1.0, torch.inf, torch.nan, 2.0]))
    row = trace.row(step)
    assert torch.equal(trace.labels, model(PICTURES).argmax(1))
    assert json.loads(json.dumps(row, allow_nan=False))["scores"] == [0.0, 1.0, None, None, 2.0]
    assert "probabilities" not in Trace(None).row(step)


def test_points_that_are_no_images_have_frames_of_images():
    seen = []
    flow = problem(within=fl.threat_model("flow:eps=1"), step_size=0.1)
    assert torch.equal(follow(flow, seen.append), fl.maximize(flow))
    assert all(step.images.shape == PICTURES.shape for step in seen)
