"""featlab's own plugins run the kit that everyone runs, and hold what they promise beyond it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import featlab as fl
from featlab.testing import check_extractor, check_task, check_threat_model

SHAPES = [(3, 8, 8), (1, 5, 7), (17,), (4, 9)]
per_example = torch.tensor([0.0, 0.1, 8 / 255, 0.5, 1.0])


def half_mask(shape):
    mask = torch.zeros(shape)
    mask.view(-1)[::2] = 1
    return mask


MAKERS = {
    "linf": lambda shape: fl.threat_model("linf", eps=8 / 255),
    "linf-each": lambda shape: fl.threat_model("linf", eps=per_example),
    "l2": lambda shape: fl.threat_model("l2", eps=0.5),
    "l2-each": lambda shape: fl.threat_model("l2", eps=per_example),
    "box": lambda shape: fl.threat_model("box"),
    "masked-linf": lambda shape: fl.threat_model(
        "masked", inside=fl.threat_model("linf", eps=0.1), mask=half_mask(shape)
    ),
    "masked-box": lambda shape: fl.threat_model("masked", inside=fl.threat_model("box"), mask=half_mask(shape)),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", MAKERS)
def test_threat_models_hold_the_kit(name, shape):
    check_threat_model(lambda: MAKERS[name](shape), shape=shape, examples=10)


values = st.sampled_from([0.0, 1e-30, 1 / 255, 0.1, 0.3, 8 / 255, 0.5, 127 / 255, 0.999, 1.0])


@settings(max_examples=60, deadline=None)
@given(
    pixels=st.lists(values, min_size=12, max_size=12),
    eps=st.sampled_from([0.0, 1e-9, 1 / 255, 8 / 255, 0.03, 0.1, 0.3, 1.0]),
    seed=st.integers(0, 10**6),
    steps=st.integers(1, 4),
)
@pytest.mark.parametrize("name", ["linf", "l2"])
def test_attacks_end_exactly_inside(name, pixels, eps, seed, steps):
    """No tolerance: in float32, and in float64 of the same numbers."""
    torch.manual_seed(seed)
    images = torch.tensor(pixels).reshape(2, 6)
    model, labels = nn.Linear(6, 3), torch.tensor([0, 2])
    problem = fl.pgd(
        model,
        images,
        labels,
        within=fl.threat_model(name, eps=eps),
        steps=steps,
        step_size=eps / 2,
        random_start=True,
        seed=seed,
    )
    for frame in fl.ascend(problem):
        found = frame.images
        assert ((found >= 0) & (found <= 1)).all()
        difference = found.double() - images.double()
        if name == "linf":
            assert ((found - images).abs() <= eps).all()
            assert (difference.abs() <= eps).all()
        else:
            assert (difference.square().sum(dim=1).sqrt() <= eps).all()


def test_outside_the_mask_nothing_changes_a_bit():
    images, mask = torch.rand(4, 3, 6, 6), half_mask((3, 6, 6))
    each = torch.stack([mask, 1 - mask, torch.zeros_like(mask), torch.ones_like(mask)])
    within = fl.threat_model("masked", inside=fl.threat_model("l2", eps=2.0), mask=each)
    target = torch.rand(4, 3, 6, 6)
    found = fl.maximize(fl.Problem(fl.stay_near(target), images, within, 5, 0.3, random_start=True))
    assert torch.equal(found[each == 0], images[each == 0])
    assert (found[each == 1] != images[each == 1]).any()
    assert torch.equal(found[2], images[2])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("linf", {"eps": 8}, "did you mean 8/255"),
        ("linf", {"eps": -0.1}, "eps must be a number >= 0"),
        ("l2", {"eps": float("nan")}, "eps must be a number >= 0"),
        ("l2", {"eps": torch.tensor([0.1, -1.0])}, "eps must be a number >= 0"),
        ("l2", {"eps": 1, "low": 1.0}, "low must be less than high"),
        ("masked", {"inside": None, "mask": torch.tensor([0.5])}, "0 where nothing may change"),
    ],
)
def test_wrong_sets_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        fl.threat_model(name, **options)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-6, 1.0, 1e20])
def test_tiny_gradients_take_a_full_step(scale):
    images, grad = torch.full((2, 50), 0.5), torch.randn(2, 50) * scale
    ball = fl.threat_model("l2", eps=1.0)
    moved = ball.step(images, grad, images, step_size=0.25) - images
    torch.testing.assert_close(moved.norm(dim=1), torch.full((2,), 0.25), rtol=1e-5, atol=0)
    torch.testing.assert_close(ball.steepest(grad).norm(dim=1), torch.ones(2), rtol=1e-5, atol=0)
    assert torch.equal(ball.steepest(torch.zeros(2, 50)), torch.zeros(2, 50))


@pytest.fixture
def classifier():
    return fl.build(
        "small_cnn",
        mean=0.5,
        std=0.5,
        classes=["a", "b", "c"],
        shape=(1, 8, 8),
        arguments={"channels": [4, 6], "strides": [1, 2]},
        seed=1,
    )


@pytest.mark.parametrize("spec", ["penultimate", "logits", "layer1", "layer2:3", "layer1.conv:1@2,2"])
def test_extractors_hold_the_kit(classifier, images, spec):
    check_extractor(lambda: fl.extractor(classifier, spec), images=images)


def test_tasks_hold_the_kit(classifier, images, labels):
    invert, large = fl.task("invert"), fl.task("large-eps")
    check_task(lambda: invert(classifier, images, images.flip(0), steps=5))
    ball = fl.threat_model("l2", eps=3.0)
    check_task(lambda: large(classifier, images, labels, within=ball, steps=5))


def test_inversion_reaches_the_representation(classifier, images):
    extract, reference = fl.extractor(classifier), images.flip(0)
    wanted = extract(reference).detach()
    found = fl.maximize(fl.task("invert")(classifier, images, reference, steps=200, step_size=0.05))
    before = (extract(images) - wanted).norm(dim=1)
    after = (extract(found) - wanted).norm(dim=1)
    assert (after < 0.35 * before).all()


class Leaky(fl.ThreatModel):
    """A cube with one fault, chosen by name, that the kit must find."""

    def __init__(self, fault):
        self.fault = fault

    def project(self, points, center):
        if self.fault == "writes":
            points.clamp_(0, 1)
        if self.fault == "not idempotent":
            return (center + 0.5 * (points - center)).clamp(0, 1)
        if self.fault == "nan":
            return points / 0 * 0
        if self.fault == "mixes":
            points = points - (points - center).mean(dim=0, keepdim=True)
        high = 1.5 if self.fault == "leaves the range" else 1.0
        return torch.minimum(torch.maximum(points, center - 0.2), center + 0.2).clamp(1 - high, high)

    def steepest(self, grad):
        if self.fault == "downhill":
            return -grad.sign()
        if self.fault == "not the steepest":
            return (
                torch.cat([grad[:, :1].sign(), torch.zeros_like(grad[:, 1:])], dim=1) if grad.sum() > 0 else grad.sign()
            )
        return grad.sign()

    def sample(self, center, *, key):
        if self.fault == "leaves the set":
            return center + 0.3
        if self.fault == "global random":
            return self.project(center + 0.1 * torch.rand_like(center), center)
        if self.fault == "depends on the batch":
            return self.project(
                center + 0.01 * torch.arange(len(center)).reshape(-1, *[1] * (center.dim() - 1)), center
            )
        return center.clone()

    def start(self, center):
        return (
            center if self.fault == "aliases" else center + 0.1 if self.fault == "starts elsewhere" else center.clone()
        )

    def step(self, points, grad, center, *, step_size, out=None):
        if self.fault == "wrong step":
            return super().step(points, grad, center, step_size=step_size / 2, out=out)
        if self.fault == "ignores out":
            return super().step(points, grad, center, step_size=step_size)
        if self.fault == "drifts":
            return super().step(points, grad + 1e-3, center, step_size=step_size, out=out)
        return super().step(points, grad, center, step_size=step_size, out=out)


def test_the_kit_passes_what_is_right():
    check_threat_model(lambda: Leaky("none"), shape=(3, 4))


@pytest.mark.parametrize(
    "fault",
    [
        "writes",
        "not idempotent",
        "nan",
        "mixes",
        "leaves the range",
        "downhill",
        "not the steepest",
        "leaves the set",
        "global random",
        "depends on the batch",
        "aliases",
        "starts elsewhere",
        "wrong step",
        "ignores out",
        "drifts",
    ],
)
def test_the_kit_fails_what_is_wrong(fault):
    with pytest.raises(AssertionError):
        check_threat_model(lambda: Leaky(fault), shape=(3, 4))


@pytest.mark.parametrize(
    "broken",
    [
        lambda images: images.flatten(1).detach() * torch.ones(1, requires_grad=True),
        lambda images: images,
        lambda images: images.flatten(1) - images.flatten(1).mean(dim=0),
        lambda images: images.flatten(1)[:1],
        lambda images: images.flatten(1) / 0,
        lambda images: images.flatten(1) + torch.rand(()),
    ],
)
def test_the_kit_fails_broken_extractors(broken, images):
    with pytest.raises((AssertionError, RuntimeError)):
        check_extractor(lambda: broken, images=images)


def test_the_kit_fails_broken_tasks(images):
    def worse():
        return fl.Problem(fl.stay_near(images), images, fl.threat_model("box"), 1, 0.5, random_start=True, keep="last")

    for broken in (lambda: images, worse):
        with pytest.raises(AssertionError):
            check_task(broken)
