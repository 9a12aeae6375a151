"""Each symptom is seen on a model, a setting or data with that fault, and none on a healthy one."""

import copy

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.attacks import Attack

NAMES = {
    *("training-mode", "input-range", "random-answers", "saturated-logits", "zero-gradients", "eps-scale"),
    *("more-steps-help", "black-box-wins", "restarts-disagree"),
}
BALL = fl.threat_model("linf:eps=8/255")


@pytest.fixture(scope="module")
def model():
    small = {"channels": [6, 12], "strides": [2, 2]}
    net = fl.build("small_cnn", mean=0.3, std=0.35, classes="0123456789", shape=(1, 28, 28), arguments=small, seed=0)
    schedule = fl.Schedule(epochs=3, lr=0.1, batch_size=64)
    list(fl.train(net, fl.open_data("fashion-mini", train=True, count=1000), schedule=schedule))
    net.zero_grad()
    return net.eval()


@pytest.fixture(scope="module")
def data():
    return fl.load_data("fashion-mini", train=False, count=100)


class Around(nn.Module):
    """A model with something done to its images or to its logits."""

    def __init__(self, model, *, before=lambda images: images, after=lambda logits: logits):
        super().__init__()
        self.model, self.before, self.after = model, before, after
        self.eval()

    def forward(self, images):
        return self.after(self.model(self.before(images)))


def seen(model, data, **options):
    found = fl.symptoms(model, data, **{"within": BALL, "suite": "quick", **options})
    assert all(each.finding and each.advice for each in found)
    return {each.name for each in found if each.seen}


def test_a_healthy_model_has_none_and_all_are_looked_for(model, data):
    found = fl.symptoms(model, data, within=BALL)
    assert {each.name for each in found} == NAMES
    assert not [each for each in found if each.seen]
    for ball in ("l2:eps=1/2", "l1:eps=3"):
        assert seen(model, data, within=fl.threat_model(ball)) == set()


def test_training_mode_is_named_with_its_modules(model, data):
    net = copy.deepcopy(model)
    net.net.train()
    assert seen(net, data) == {"training-mode"}
    first = fl.symptoms(net, data, within=BALL, count=4)[0]
    assert "net" in first.finding
    assert net.net.training  # Left as it was.


def test_dropout_that_evaluation_mode_does_not_stop_gives_random_answers(model, data):
    noisy = Around(model, before=lambda images: nn.functional.dropout(images, 0.2))
    assert "random-answers" in seen(noisy, data)


@pytest.mark.parametrize("scale", [255.0, 1 / 255], ids=["bytes", "divided twice"])
def test_images_of_another_range(model, data, scale):
    names = [each.name for each in fl.symptoms(model, (data[0] * scale, data[1]), within=BALL, count=4) if each.seen]
    assert "input-range" in names


def test_outside_the_range_nothing_else_is_looked_for(model, data):
    found = fl.symptoms(model, (data[0] * 2 - 1, data[1]), within=BALL)
    assert [each.name for each in found] == ["training-mode", "input-range"]
    assert "nothing else" in found[1].advice


@pytest.mark.parametrize("spec", ["linf:eps=0.6", "linf:eps=0.0001", "l2:eps=20", "l2:eps=0.001", "l1:eps=0.01", "box"])
def test_an_eps_out_of_scale(model, data, spec):
    assert "eps-scale" in seen(model, data, within=fl.threat_model(spec), count=8)


def test_quantised_inputs_hide_the_gradient_and_random_points_win(model, data):
    masked = Around(model, before=lambda images: (images * 4).round() / 4)
    found = {
        each.name: each for each in fl.symptoms(masked, data, within=fl.threat_model("linf:eps=0.2"), suite="quick")
    }
    assert found["zero-gradients"].seen
    assert "BPDA" in found["zero-gradients"].advice
    assert found["black-box-wins"].seen


def test_certainty_to_the_last_bit(model, data):
    found = {
        each.name: each for each in fl.symptoms(Around(model, after=lambda z: 1e4 * z), data, within=BALL, count=32)
    }
    assert found["saturated-logits"].seen
    assert found["zero-gradients"].seen
    assert "margin has gradients" in found["zero-gradients"].advice
    assert not found["black-box-wins"].seen


def test_logits_that_are_not_finite(model, data):
    def spoil(logits):
        return torch.cat([logits[:, :9], torch.full_like(logits[:, 9:], -torch.inf)], dim=1)

    assert "saturated-logits" in seen(Around(model, after=spoil), data, count=8)


def test_an_attack_of_too_few_steps(model, data):
    weak = (Attack("weak", steps=3, relative_step=0.1),)
    assert "more-steps-help" in seen(model, data, suite=weak)


class Ripples(nn.Module):
    """Answers that change from one grey level to the next: what is found hangs on where the search starts."""

    def forward(self, images):
        value = torch.sin(1e4 * images.flatten(1).mean(dim=1))
        return torch.stack([value, -value], dim=1)


def test_rippled_answers_make_restarts_disagree(data):
    labels = fl.predict(Ripples(), data[0])
    short = (Attack("short", steps=1, relative_step=0.0),)
    assert "restarts-disagree" in seen(Ripples(), (data[0], labels), suite=short)


def test_verdicts_of_an_evaluation_are_used_and_not_found_anew(model, data):
    report, options = fl.evaluate(model, data, within=BALL, suite="quick"), {"within": BALL, "suite": "quick"}
    assert fl.symptoms(model, data, **options, held=report.held) == fl.symptoms(model, data, **options)
    wrong = fl.symptoms(model, data, **options, held=report.correct)  # As if no attack had had any.
    assert "more-steps-help" in {each.name for each in wrong if each.seen}


def test_a_model_that_is_always_wrong_has_little_to_show(model, data):
    wrong = (data[0], 9 - fl.predict(model, data[0]))
    found = fl.symptoms(model, wrong, within=BALL)
    assert [each.name for each in found] == ["training-mode", "input-range", "random-answers"]


def test_the_model_is_left_as_it_was_and_records_are_plain(model, data):
    before = copy.deepcopy(model.state_dict())
    found = fl.symptoms(model, data, within=BALL, count=8)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert set(found[0].record()) == {"name", "seen", "finding", "advice"}
