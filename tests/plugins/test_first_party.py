"""featlab's own plugins run the kit that everyone runs, and hold what they promise beyond it."""

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


def within_l1(eps):
    def contains(points, center):
        return (points.double() - center.double()).flatten(1).abs().sum(dim=1) <= eps

    return contains


def within_l0(count, dim=None):
    """Values that differ, or with dim=1 pixels."""

    def contains(points, center):
        differs = points != center
        pixels = differs if dim is None or points.dim() == 2 else differs.any(dim=dim)
        return pixels.flatten(1).sum(dim=1) <= count

    return contains


def absolute(directions):
    return directions.flatten(1).abs().sum(dim=1)


def largest(directions):
    return directions.flatten(1).abs().amax(dim=1)


def euclidean(directions):
    return directions.flatten(1).norm(dim=1)


KNOWN = {
    "linf": {"contains": within_linf(8 / 255), "length": largest},
    "linf-each": {"contains": within_linf(per_example), "length": largest},
    "l2": {"contains": within_l2(0.5), "length": euclidean},
    "l2-each": {"contains": within_l2(per_example), "length": euclidean},
    "l2-exact": {"contains": within_l2(0.5), "length": euclidean},
    "l1": {"contains": within_l1(2.0), "length": absolute},
    "l1-each": {"contains": within_l1(30 * per_example), "length": absolute},
    "l0": {"contains": within_l0(5), "length": euclidean},
    "l0-each": {"contains": within_l0(torch.arange(5)), "length": euclidean},
    "l0-pixels": {"contains": within_l0(4, dim=1), "length": euclidean},
    "box": {"length": euclidean},
}
MAKERS = {
    "linf": lambda shape: fl.threat_model("linf", eps=8 / 255),
    "linf-each": lambda shape: fl.threat_model("linf", eps=per_example),
    "l2": lambda shape: fl.threat_model("l2", eps=0.5),
    "l2-each": lambda shape: fl.threat_model("l2", eps=per_example),
    "l2-exact": lambda shape: fl.threat_model("l2", eps=0.5, exact=True),
    "l1": lambda shape: fl.threat_model("l1", eps=2.0),
    "l1-each": lambda shape: fl.threat_model("l1", eps=30 * per_example, sparsity=0.2),
    "l0": lambda shape: fl.threat_model("l0", count=5),
    "l0-each": lambda shape: fl.threat_model("l0", count=torch.arange(5)),
    "l0-pixels": lambda shape: fl.threat_model("l0", count=4, per="pixel"),
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
    "masked-l1": lambda shape: fl.threat_model("masked", inside=fl.threat_model("l1", eps=2.0), mask=half_mask(shape)),
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
@pytest.mark.parametrize("name", ["linf", "l2", "l1"])
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
        elif name == "l2":
            assert (difference.square().sum(dim=1).sqrt() <= eps).all()
        else:
            assert (difference.abs().sum(dim=1) <= eps).all()


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
