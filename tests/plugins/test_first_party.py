"""featlab's own plugins run the kit that everyone runs, and hold what they promise beyond it."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import featlab as fl
from featlab.testing import check_extractor, check_task, check_threat_model

SHAPES = [(3, 8, 8), (1, 5, 7), (17,), (4, 9), (2, 3, 2, 5)]
per_example = torch.tensor([0.0, 0.1, 8 / 255, 0.5, 1.0])


def half_mask(shape):
    mask = torch.zeros(shape)
    mask.view(-1)[::2] = 1
    return mask


def within_linf(eps):
    """The set itself, asked without a tolerance."""

    def contains(points, center):
        size = eps if isinstance(eps, float) else eps.reshape(-1, *[1] * (center.dim() - 1))
        return ((points - center).abs() <= size).flatten(1).all(dim=1)

    return contains


def within_l2(eps):
    def contains(points, center):
        return (points.double() - center.double()).flatten(1).square().sum(dim=1).sqrt() <= eps

    return contains


def largest(directions):
    return directions.flatten(1).abs().amax(dim=1)


def euclidean(directions):
    return directions.flatten(1).norm(dim=1)


KNOWN = {
    "linf": {"contains": within_linf(8 / 255), "length": largest},
    "linf-each": {"contains": within_linf(per_example), "length": largest},
    "l2": {"contains": within_l2(0.5), "length": euclidean},
    "l2-each": {"contains": within_l2(per_example), "length": euclidean},
    "box": {"length": euclidean},
}
MAKERS = {
    "linf": lambda shape: fl.threat_model("linf", eps=8 / 255),
    "linf-each": lambda shape: fl.threat_model("linf", eps=per_example),
    "l2": lambda shape: fl.threat_model("l2", eps=0.5),
    "l2-each": lambda shape: fl.threat_model("l2", eps=per_example),
    "box": lambda shape: fl.threat_model("box"),
    "masked-linf": lambda shape: fl.threat_model(
        "masked", inside=fl.threat_model("linf", eps=0.1), mask=half_mask(shape)
    ),
    "masked-l2-each": lambda shape: fl.threat_model(
        "masked",
        inside=fl.threat_model("l2", eps=per_example),
        mask=(torch.arange(5) % 2).reshape(5, *[1] * len(shape)),
    ),
    "masked-each": lambda shape: fl.threat_model(
        "masked",
        inside=fl.threat_model("linf", eps=0.1),
        mask=torch.stack([half_mask(shape), 1 - half_mask(shape), *torch.ones(3, *shape)]),
    ),
    "masked-box": lambda shape: fl.threat_model("masked", inside=fl.threat_model("box"), mask=half_mask(shape)),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", MAKERS)
def test_threat_models_hold_the_kit(name, shape):
    check_threat_model(lambda: MAKERS[name](shape), shape=shape, examples=10, **KNOWN.get(name, {}))


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
    some = torch.tensor([2, 3, 0])[torch.tensor([1, 2])]
    part = within.rows(torch.tensor([2, 3, 0])).rows(torch.tensor([1, 2])).project(target[some], images[some])
    assert torch.equal(part, within.project(target, images)[some])


def test_what_lies_outside_the_mask_has_no_say():
    within = fl.threat_model("masked", inside=fl.threat_model("l2", eps=2.0), mask=torch.tensor([1, 1, 0]))
    grad = torch.tensor([[3.0, 4.0, torch.nan], [0.0, 5.0, 1e30]])
    torch.testing.assert_close(within.steepest(grad), torch.tensor([[0.6, 0.8, 0.0], [0.0, 1.0, 0.0]]))


def test_a_mask_of_another_shape_is_refused():
    images = torch.rand(4, 3, 6, 6)
    for shape in ((2, 1, 6, 6), (5, 6), (7,)):
        within = fl.threat_model("masked", inside=fl.threat_model("box"), mask=torch.ones(shape))
        with pytest.raises(ValueError, match="a mask must have the shape of one image"):
            within.project(images, images)


def test_a_mask_needs_points_that_are_images():
    class Shifted(type(fl.threat_model("box"))):
        def decode(self, points, center):
            return points + 1

    with pytest.raises(ValueError, match="Shifted does not"):
        fl.threat_model("masked", inside=Shifted(), mask=torch.ones(3))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("linf", {"eps": 8}, "did you mean 8/255"),
        ("linf", {"eps": torch.tensor([0.1, 16.0])}, "did you mean 16/255"),
        ("l2", {"eps": torch.tensor(0.5)}, r"one for each example, got shape \(\)"),
        ("box", {"low": 1.0, "high": 0.0}, "low must be less than high"),
        ("box", {"low": float("nan")}, "low must be less than high"),
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


@pytest.mark.parametrize("name", ["linf", "l2"])
def test_gradients_that_are_not_finite_give_the_direction_of_the_step(name):
    """The definition, project(points + size * steepest), holds for them too."""
    grad = torch.tensor([[1.0, torch.nan, -2.0], [torch.inf, 1.0, 0.0], [3.0, -4.0, 0.0]])
    center, ball = torch.full((3, 3), 0.5), fl.threat_model(name, eps=0.3)
    defined = fl.ThreatModel.step(ball, center, grad, center, step_size=0.1)
    torch.testing.assert_close(ball.step(center, grad, center, step_size=0.1), defined)
    assert torch.isfinite(defined).all()


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


class Cube(fl.ThreatModel):
    """A cube of side 0.4, which holds the kit; each class below has one fault."""

    def project(self, points, center):
        return torch.minimum(torch.maximum(points, center - 0.2), center + 0.2).clamp(0, 1)

    def steepest(self, grad):
        return grad.sign()

    def sample(self, center, *, key):
        return center.clone()


class Narrow(Cube):
    def project(self, points, center):
        return torch.clamp(points, center - 0.05, center + 0.05).clamp(0, 1)


def broken(rule, **methods):
    """Return a test case: a cube with other methods, and the rule that it must be found to break."""
    name, *_ = methods
    return pytest.param(type("Broken", (Cube,), methods), rule, id=f"{name}: {rule}")


def over_examples(values, like):
    return values.reshape(-1, *[1] * (like.dim() - 1))


def write_to_points(self, points, center):
    return Cube.project(self, points.clamp_(0, 1), center)


def write_to_gradient(self, grad):
    return grad.sign_()


def write_to_start(self, points, grad, center, *, step_size, out=None):
    return fl.ThreatModel.step(self, points, grad, center, step_size=step_size, out=points)


def forget_out(self, points, grad, center, *, step_size, out=None):
    return fl.ThreatModel.step(self, points, grad, center, step_size=step_size)


def half_step(self, points, grad, center, *, step_size, out=None):
    return fl.ThreatModel.step(self, points, grad, center, step_size=step_size / 2, out=out)


def other_out(self, points, grad, center, *, step_size, out=None):
    moved = fl.ThreatModel.step(self, points, grad, center, step_size=step_size)
    return moved if out is None else out.copy_(center)


def drift(self, points, grad, center, *, step_size, out=None):
    return fl.ThreatModel.step(self, points, grad + 1e-3, center, step_size=step_size, out=out)


def escape(self, points, grad, center, *, step_size, out=None):
    moved = points + 100 * step_size * grad.sign()
    return moved if out is None else out.copy_(moved)


def no_momentum(self, points, grad, center, **options):
    return fl.ThreatModel.momentum_step(self, points, grad, center, **{**options, "alpha": 1.0})


def forget_best(self, points, grad, center, *, trail, **options):
    other = fl.Trail(trail.previous, trail.best.clone(), trail.best_grad)
    return fl.ThreatModel.momentum_step(self, points, grad, center, trail=other, **options)


def mixed_momentum(self, points, grad, center, **options):
    grad = grad if len(grad) == 5 else -grad
    return fl.ThreatModel.momentum_step(self, points, grad, center, **options)


def lazy_direction(self, grad):
    return torch.cat([grad[:, :1].sign(), torch.zeros_like(grad[:, 1:])], dim=1)


BROKEN = [
    broken("project must not change its arguments", project=write_to_points),
    broken("a projection must lie in the set", project=lambda s, p, c: (c + 0.5 * (p - c)).clamp(0, 1)),
    broken("a projection must be finite", project=lambda s, p, c: p / 0 * 0),
    broken("a projection must have values in", project=lambda s, p, c: torch.clamp(p, c - 0.2, c + 0.2)),
    broken("as `contains` says", project=lambda s, p, c: torch.clamp(p, c - 0.3, c + 0.3).clamp(0, 1)),
    broken(
        "examples must not influence each other",
        project=lambda s, p, c: torch.clamp(p, c - 0.2 / len(p), c + 0.2 / len(p)).clamp(0, 1),
    ),
    broken("the steepest direction must not lose", steepest=lambda s, g: -g.sign()),
    broken("another direction of length one gains more", steepest=lazy_direction),
    broken("must not depend on the gradient's scale", steepest=lambda s, g: g / (g.abs() + 1e-8)),
    broken("the steepest direction must have length <= 1", steepest=lambda s, g: 1.5 * g.sign()),
    broken("the steepest direction of a zero gradient", steepest=lambda s, g: (g >= 0) * 2.0 - 1),
    broken("must not change its arguments", steepest=write_to_gradient),
    broken("a sample must lie in the set", sample=lambda s, c, key: c + 0.3),
    broken(
        "a sample must depend on the key alone",
        sample=lambda s, c, key: s.project(c + 0.1 * torch.rand_like(c), c),
    ),
    broken(
        "a sample must not depend on its batch",
        sample=lambda s, c, key: s.project(c + over_examples(0.01 * torch.arange(len(c)), c), c),
    ),
    broken("the start must be a new tensor", start=lambda s, c: c),
    broken("the start must stand for the centre", start=lambda s, c: c + 0.1),
    broken("the start must stand for the centre", decode=lambda s, p, c: p * 0.5),
    broken("start must not change its arguments", start=lambda s, c: c.zero_().clone()),
    broken("decode must not change its arguments", decode=lambda s, p, c: p.mul_(0.5) * 2),
    broken("step without out must not change", step=write_to_start),
    broken("step must write to out", step=forget_out),
    broken("step with out= must give the same", step=other_out),
    broken("a step must equal its definition", step=half_step),
    broken("a zero gradient must not move", step=drift),
    broken("a step must lie in the set", step=escape),
    broken("a step with momentum must equal its definition", momentum_step=no_momentum),
    broken("a step with momentum must equal its definition", momentum_step=forget_best),
    broken("a step with momentum must not depend on its batch", momentum_step=mixed_momentum),
    broken("rows must follow them", rows=lambda s, index: Narrow() if len(index) < 5 else s),
]


def check_cube(make):
    check_threat_model(make, shape=(3, 4), contains=within_linf(0.2 + 1e-6), length=largest)


def test_the_kit_passes_what_is_right():
    check_cube(Cube)


@pytest.mark.parametrize(("fault", "rule"), BROKEN)
def test_the_kit_fails_what_is_wrong_for_its_own_reason(fault, rule):
    with pytest.raises(AssertionError, match=re.escape(rule)):
        check_cube(fault)


@pytest.mark.parametrize(
    ("extract", "rule"),
    [
        (lambda x: x, "features must be (batch, features)"),
        (lambda x: x.flatten(1)[:1], "one row of features per image"),
        (lambda x: x.flatten(1) / 0, "features must be finite"),
        (lambda x: x.flatten(1) + torch.rand(()), "a function of the images alone"),
        (lambda x: x.flatten(1) - x.flatten(1).mean(dim=0), "images must not influence each other"),
        (lambda x: x.flatten(1) + x.mean(dim=0).sum() - x.mean(dim=0).sum().detach(), "images must not influence"),
        (lambda x: x.flatten(1).detach(), "must have a gradient"),
        (lambda x: x.flatten(1).detach() * torch.ones(1, requires_grad=True), "must have a gradient"),
        (lambda x: 0 * x.flatten(1), "must have a gradient"),
        (lambda x: x.mul_(0.5).flatten(1), "an extractor must not change its arguments"),
    ],
)
def test_the_kit_fails_broken_extractors(extract, rule, images):
    with pytest.raises(AssertionError, match=re.escape(rule)):
        check_extractor(lambda: extract, images=images)


class Unfaithful(Cube):
    """A set that steps out of itself, and out of the values of images where it is asked to step far."""

    def step(self, points, grad, center, *, step_size, out=None):
        moved = points + 100 * step_size * grad.sign()
        return moved if step_size > 0.1 else moved.clamp(0, 1)


def test_the_kit_fails_broken_tasks(images):
    target, box = images.flip(0), fl.threat_model("box")
    seeds = iter(range(100))

    def task(**options):
        chosen = {"center": images, "within": box, "steps": 1, "step_size": 0.5, **options}
        return fl.Problem(fl.stay_near(target), **chosen)

    cases = [
        (lambda: images, "a task must return a featlab.Problem, got Tensor"),
        (
            lambda: fl.Problem(fl.stay_near(images), images, box, 1, 0.5, random_start=True, keep="last"),
            "the solution must not be worse than the start",
        ),
        (lambda: task(random_start=True, seed=next(seeds)), "a task must be a function of its arguments"),
        (lambda: task(within=Unfaithful(), keep="last", step_size=0.01), "must lie in the task's set"),
        (lambda: task(within=Unfaithful(), keep="last"), "must have values in [0, 1]"),
        (lambda: task(within=Smaller(), steps=0, keep="last"), "one image for each of the task's"),
        (lambda: task(within=Writing()), "solving a task must not change its arguments"),
    ]
    for make, rule in cases:
        with pytest.raises(AssertionError, match=re.escape(rule)):
            check_task(make)


class Smaller(Cube):
    """A set whose images have lost a row."""

    def decode(self, points, center):
        return points[:, :, :1]


class Writing(Cube):
    """A set that moves its centre."""

    def start(self, center):
        center.mul_(0.5)
        return center.clone()
