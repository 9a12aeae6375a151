"""APGD against the published implementation's record, and against its algorithm written out."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import featlab as fl
from featlab.attacks import apgd_targeted, suite

from known import Ball, Cube

RECORD = load_file(Path(__file__).parent / "fixtures" / "apgd.safetensors")
OBJECTIVES = {"cross_entropy": fl.cross_entropy, "dlr": fl.dlr}


class Noted(fl.APGD):
    """APGD that notes the step sizes in use."""

    def __init__(self):
        super().__init__()
        object.__setattr__(self, "sizes", [])

    def update(self, points, grad, scores, center, *, within, step_size, state, out=None):
        moved, after = super().update(
            points, grad, scores, center, within=within, step_size=step_size, state=state, out=out
        )
        self.sizes.append(step_size * after["factor"])
        return moved, after


def recorded_model(name):
    marker = f"{name}.model."
    weights = {key.removeprefix(marker): value for key, value in RECORD.items() if key.startswith(marker)}
    layers = [nn.Linear(*value.shape[::-1]).double() for key, value in weights.items() if key.endswith("weight")]
    model = nn.Sequential(*[part for layer in layers for part in (layer, nn.Tanh())][:-1])
    model.load_state_dict(weights)
    return model


CASES = sorted(key.removesuffix(".eps") for key in RECORD if key.endswith(".eps"))


@pytest.mark.parametrize("case", CASES)
def test_a_hundred_steps_are_those_of_the_published_implementation(case):
    name, norm, loss = case.split(".")
    expected = {key.removeprefix(f"{case}."): value for key, value in RECORD.items() if key.startswith(case)}
    eps, rule, model = float(expected["eps"]), Noted(), recorded_model(name)
    objective, ball = OBJECTIVES[loss](model, expected["labels"]), fl.threat_model(norm.lower(), eps=eps)
    problem = fl.Problem(objective, expected["images"], ball, 100, 2 * eps, rule=rule)
    scores = torch.stack([frame.scores for frame in fl.ascend(problem)], dim=1)
    assert torch.equal(torch.stack(rule.sizes, dim=1), expected["step_sizes"])
    assert (expected["step_sizes"].diff(dim=1) < 0).sum() >= 16, "the record should hold halvings and restarts"
    # The recorded code adds 1e-12 to the norms that it divides by, and curvature magnifies that.
    near = {"rtol": 0, "atol": 1e-10 if norm == "Linf" else 1e-5}
    torch.testing.assert_close(scores, expected["losses"], **near)
    found = fl.maximize(problem)
    torch.testing.assert_close(found, expected["best"], **near)
    with torch.no_grad():
        torch.testing.assert_close(objective(found), expected["best_loss"], **near)


def test_the_windows_are_those_of_the_paper():
    """At 100 steps: 22, then 3 less each time, down to 6."""
    found = {number: length for number, length in enumerate(fl.APGD().windows(100)) if length}
    assert list(found.values()) == [22, 19, 16, 13, 10, 7, 6, 6]
    assert list(found) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert fl.APGD().windows(0) == [0]
    assert sum(length > 0 for length in fl.APGD().windows(7)) == 7


def written_out(objective, images, within, eps, steps):
    """Algorithm 1 of the paper for one example, with host numbers; yield its points."""
    rule, size = fl.APGD(), 2 * eps
    table, halved, rises, before, x = rule.windows(steps), True, 0, None, images
    for number in range(steps + 1):
        yield x
        point = x.clone().requires_grad_()
        score = objective(point)
        (grad,) = torch.autograd.grad(score.sum(), point)
        score = float(score.detach())
        if before is None:
            best, best_point, best_grad, checked, last, before = score, x, grad, score, 0.0, x
        else:
            rises, last = rises + (score > last), score
            if score > best:
                best, best_point, best_grad = score, x, grad
        if table[number]:
            stuck = rises <= 0.75 * table[number] or (not halved and checked >= best)
            halved, checked, rises = stuck, best, 0
            if stuck:
                size, x, grad = size / 2, best_point, best_grad
        moved = within.project(x + size * within.steepest(grad), images)
        share = 0.75 if number else 1.0
        x, before = within.project(x + share * (moved - x) + (1 - share) * (x - before), images), x


@pytest.mark.parametrize("within", [Cube(0.1), Ball(0.5)], ids=["linf", "l2"])
@pytest.mark.parametrize("steps", [1, 3, 40])
def test_any_threat_model_follows_the_algorithm(within, steps):
    torch.manual_seed(7)
    model, center = recorded_model("mlp"), torch.rand(5, 12, dtype=torch.float64)
    labels = model(center).argmax(dim=1)
    problem = fl.Problem(fl.margin(model, labels), center, within, steps, 2 * within.eps, rule=fl.APGD())
    frames = torch.stack([frame.images for frame in fl.ascend(problem)])
    for row in range(5):
        one = slice(row, row + 1)
        expected = written_out(fl.margin(model, labels[one]), center[one], within, within.eps, steps)
        torch.testing.assert_close(frames[:, one], torch.stack(list(expected)), rtol=0, atol=1e-7)


def test_finished_examples_leave_without_a_trace_in_the_others():
    """Each row ends where it does alone, in one batch or another, in place or not."""
    torch.manual_seed(8)
    model, images = recorded_model("mlp"), torch.rand(12, 12, dtype=torch.float64)
    labels = model(images).argmax(dim=1)
    eps = torch.linspace(0.01, 0.1, 12, dtype=torch.float64)

    def problem(rows):
        return fl.apgd(
            model, images[rows], labels[rows], within=Cube(eps[rows]), steps=30, stop=True, random_start=False
        )

    whole = problem(torch.arange(12))
    found = fl.maximize(whole)
    last = [frame.done.sum() for frame in fl.ascend(whole)]
    assert 0 < last[-1] < 12, "some should leave, some stay"
    for row in range(12):
        torch.testing.assert_close(fl.maximize(problem(torch.tensor([row])))[0], found[row], rtol=0, atol=1e-12)


def test_a_float32_batch_is_feasible_at_every_step(net, images, labels):
    for norm, eps in (("linf", 0.1), ("l2", 1.0)):
        for frame in fl.ascend(fl.apgd(net, images, labels, within=fl.threat_model(norm, eps=eps), steps=20)):
            offset = (frame.images.double() - images.double()).flatten(1)
            length = offset.abs().amax(dim=1) if norm == "linf" else offset.norm(dim=1)
            assert (length <= eps).all()
            assert ((frame.images >= 0) & (frame.images <= 1)).all()


@pytest.fixture
def curved():
    """A model of five classes in float64, images, and its own answers."""
    torch.manual_seed(9)
    model, images = recorded_model("mlp"), torch.rand(24, 12, dtype=torch.float64)
    return model, images, model(images).argmax(dim=1)


def test_the_suites_are_apgd(curved):
    model, images, labels = curved
    reports = {
        name: fl.evaluate(model, (images, labels), within=Cube(0.05), suite=attacks)
        for name, attacks in {"apgd": "apgd", "targeted": apgd_targeted(4), "quick": "quick"}.items()
    }
    assert 0 < reports["apgd"].robust.accuracy <= reports["quick"].robust.accuracy
    assert 0 < reports["targeted"].robust.accuracy <= reports["quick"].robust.accuracy
    assert [attack.name for attack in suite("apgd")] == ["apgd-ce", "apgd-dlr"]
    assert [attack.targets for attack in suite("apgd-t")] == [9]


def test_targets_are_the_likeliest_wrong_classes(curved):
    model, images, labels = curved
    labels[::3] = (labels[::3] + 1) % 5
    logits = model(images).detach()
    (attack,) = apgd_targeted(9)
    turns = attack.problem(model, images, labels, within=Cube(0.1)).objective.turns
    assert len(turns) == 4  # There are no more wrong classes.
    for rank, turn in enumerate(turns):
        for row, target in enumerate(turn.head.targets.tolist()):
            wrong = [index for index in logits[row].argsort(descending=True).tolist() if index != labels[row]]
            assert target == wrong[rank]


def test_apgd_towards_a_class(curved):
    model, images, labels = curved
    wanted = (labels + 1) % 5
    for loss in ("cross_entropy", "dlr", "margin", "log_ratio"):
        options = {"loss": loss, "targeted": True, "stop": True, "random_start": False}
        problem = fl.apgd(model, images, wanted, within=Cube(0.4), **options)
        found = fl.maximize(problem)
        reached = fl.predict(model, found) == wanted
        assert reached.sum() >= 4
        assert (problem.objective(found) >= problem.objective(images))[~reached].all()


def test_targets_and_their_loss_go_together(curved):
    model, images, labels = curved
    for wrong in ({"targets": labels}, {"loss": "dlr_targeted"}, {"targeted": True, "targets": labels}):
        with pytest.raises(ValueError, match="go together"):
            fl.apgd(model, images, labels, within=Cube(0.1), **wrong)
