"""The loop: closed forms on linear models, what leaves the batch, and that nothing of the caller's changes."""

import copy
import dataclasses
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import featlab as fl

from known import Ball, Cube, Linear


def own_labels(model, images):
    return model(images).argmax(dim=1).detach()


def test_best_max_norm_point_of_a_linear_model_is_reached(linear, middle):
    labels, eps = own_labels(linear, middle), 0.05
    found = fl.maximize(fl.pgd(linear, middle, labels, within=Cube(eps), steps=5, step_size=0.02, loss="margin"))
    away = torch.where(labels == 1, -1.0, 1.0).double()[:, None]
    best = middle.flatten(1) + eps * away * linear.weight.sign()
    torch.testing.assert_close(found.flatten(1), best.detach(), rtol=0, atol=1e-12)


def test_best_euclidean_point_of_a_linear_model_is_reached(linear, middle):
    labels, eps = own_labels(linear, middle), 0.1
    found = fl.maximize(fl.pgd(linear, middle, labels, within=Ball(eps), steps=3, step_size=0.06, loss="margin"))
    away = torch.where(labels == 1, -1.0, 1.0).double()[:, None]
    best = middle.flatten(1) + eps * away * linear.weight / linear.weight.norm()
    torch.testing.assert_close(found.flatten(1), best.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("eps", [0.0, 0.01, 0.03, 0.08])
def test_robust_accuracy_of_a_linear_model_is_its_closed_form(linear, middle, eps):
    labels = own_labels(linear, middle)
    labels[::5] = 1 - labels[::5]  # Some are wrong already.
    value = linear.value(middle).detach() * torch.where(labels == 1, 1.0, -1.0)
    exact = (value - eps * linear.weight.detach().abs().sum() > 0).double().mean()
    report = fl.evaluate(linear, (middle, labels), within=Cube(eps), suite="quick")
    assert report.robust.accuracy == float(exact)
    assert report.clean.accuracy == float((value > 0).double().mean())


def test_frames_climb_and_may_be_kept(linear, middle):
    labels = own_labels(linear, middle)
    frames = list(fl.ascend(fl.pgd(linear, middle, labels, within=Cube(0.1), steps=4, step_size=0.01)))
    assert [frame.number for frame in frames] == [0, 1, 2, 3, 4]
    torch.testing.assert_close(frames[0].images, middle, rtol=0, atol=0)
    for earlier, later in itertools.pairwise(frames):
        assert (later.scores > earlier.scores).all()
        assert not torch.equal(earlier.images, later.images)
        torch.testing.assert_close(
            fl.cross_entropy(linear, labels)(earlier.images).detach(), earlier.scores, rtol=0, atol=0
        )


def test_step_size_and_eps_per_example(linear, middle):
    labels = own_labels(linear, middle)
    eps = torch.linspace(0.01, 0.05, len(middle), dtype=torch.float64)
    problem = fl.pgd(linear, middle, labels, within=Cube(eps), steps=4, step_size=eps / 3)
    moved = (fl.maximize(problem) - middle).flatten(1).abs().amax(dim=1)
    torch.testing.assert_close(moved, eps, rtol=0, atol=1e-12)


class Hill:
    """-(x - peak)^2 summed: overshooting loses score, so the best point is not the last."""

    def __init__(self, peak):
        self.peak = peak

    def __call__(self, images):
        return -(images - self.peak).square().flatten(1).sum(dim=1)


def test_best_is_kept_not_last():
    center = torch.full((3, 4), 0.5)
    overshoot = dict(within=Cube(1.0), steps=1, step_size=0.4)
    problem = fl.Problem(Hill(0.55), center, **overshoot)
    assert torch.equal(fl.maximize(problem), center)
    last = fl.Problem(Hill(0.55), center, keep="last", **overshoot)
    torch.testing.assert_close(fl.maximize(last), torch.full((3, 4), 0.9))


def test_restarts_keep_the_best_of_all_and_never_overwrite_a_success(linear, middle):
    """The regression that `robustness` has: there, the last restart overwrites every example.

    With one tiny step from a random start, some restarts succeed on an example and others fail; the answer must fool
    the model wherever any restart does.
    """
    labels = own_labels(linear, middle)
    alone = {"within": Cube(0.05), "steps": 0, "step_size": 0.0, "random_start": True}
    restarts = 6
    single = []
    for restart in range(restarts):
        points = Cube(0.05).sample(middle, key=fl.Key(seed=0, examples=torch.arange(64), restart=restart))
        single.append(fl.cross_entropy(linear, labels)(points).detach())
    fooled = torch.stack(single) > torch.tensor(2.0).log()  # Two classes: wrong where the loss is above log 2.
    assert not torch.equal(fooled[-1], fooled.any(dim=0))  # Otherwise the last restart alone would do.
    found = fl.maximize(fl.pgd(linear, middle, labels, stop=True, restarts=restarts, **alone))
    assert torch.equal(linear(found).argmax(dim=1) != labels, fooled.any(dim=0))
    best = fl.maximize(fl.pgd(linear, middle, labels, restarts=restarts, **alone))
    torch.testing.assert_close(fl.cross_entropy(linear, labels)(best).detach(), torch.stack(single).amax(dim=0))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(0, 6), restarts=st.integers(1, 3), momentum=st.booleans())
def test_examples_that_leave_end_as_if_they_had_been_alone(seed, steps, restarts, momentum):
    torch.manual_seed(seed)
    model = Linear(torch.randn(6, dtype=torch.float64), torch.zeros((), dtype=torch.float64))
    images, labels = torch.rand(7, 6, dtype=torch.float64), torch.randint(0, 2, (7,))
    options = {
        "within": Cube(0.2),
        "steps": steps,
        "step_size": 0.07,
        "random_start": True,
        "restarts": restarts,
        "stop": True,
        "rule": fl.Momentum() if momentum else fl.Adam(),
        "seed": seed,
    }
    together = fl.maximize(fl.pgd(model, images, labels, examples=torch.arange(7), **options))
    for row in range(7):
        only = torch.tensor([row])
        alone = fl.maximize(fl.pgd(model, images[only], labels[only], examples=only, **options))
        torch.testing.assert_close(together[only], alone, rtol=0, atol=1e-12)


def test_finished_examples_cost_no_forward_pass(linear, middle):
    seen = []

    class Counting(nn.Module):
        def forward(self, images):
            seen.append(len(images))
            return linear(images)

    labels = own_labels(linear, middle)
    fl.maximize(fl.pgd(Counting(), middle, labels, within=Cube(0.1), steps=20, step_size=0.01, stop=True))
    assert seen[0] == len(middle)
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < len(middle)
    assert len(seen) <= 21  # Scores and verdicts come from one pass.


class Maze(nn.Module):
    """Three classes of sines of the images, so that steps of one size go astray, and some in circles."""

    def __init__(self, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.waves = torch.randn(6, 9, generator=generator, dtype=torch.float64) * 8
        self.heads = torch.randn(9, 3, generator=generator, dtype=torch.float64)
        self.passes = 0

    def forward(self, images):
        self.passes += len(images)
        # Summed one by one, so that an example's bits do not depend on its batch.
        waves = torch.sin((images[:, :, None] * self.waves).sum(dim=1))
        return (waves[:, :, None] * self.heads).sum(dim=1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 40), restarts=st.integers(1, 2), stop=st.booleans())
def test_cycles_are_left_with_the_same_images_to_the_bit(seed, steps, restarts, stop):
    model = Maze(seed)
    images = torch.rand(8, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    options = {"within": Cube(0.3), "steps": steps, "step_size": 0.1, "stop": stop, "restarts": restarts}
    problem = fl.pgd(model, images, model(images).argmax(dim=1), random_start=restarts > 1, seed=seed, **options)
    found = fl.maximize(dataclasses.replace(problem, detect_cycles=True))
    assert torch.equal(found, fl.maximize(problem))


def test_going_round_in_circles_is_noticed():
    def passes(detect_cycles):
        model = Maze(1)
        images = torch.rand(64, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        problem = fl.pgd(model, images, torch.zeros(64).long(), within=Cube(0.3), steps=100, step_size=0.1)
        fl.maximize(dataclasses.replace(problem, detect_cycles=detect_cycles))
        return model.passes

    assert passes(False) == 101 * 64
    assert passes(True) < passes(False) / 2


def test_frames_of_examples_that_went_round_stay(linear, middle):
    """A gradient of zero stands still, which is the shortest circle."""
    flat = fl.Problem(lambda images: 0 * images.flatten(1).sum(dim=1), middle, Cube(0.1), 5, 0.02, detect_cycles=True)
    with pytest.raises(ValueError, match="plain function"):
        fl.maximize(flat)
    still = fl.Problem(0 * fl.margin(linear, own_labels(linear, middle)), middle, Cube(0.1), 5, 0.02)
    frames = list(fl.ascend(dataclasses.replace(still, detect_cycles=True)))
    assert [frame.number for frame in frames] == [0, 1]
    assert torch.equal(frames[-1].images, middle)


def test_momentum_is_part_of_where_an_example_is(linear, middle):
    labels = own_labels(linear, middle)
    options = {"within": Cube(0.05), "steps": 30, "step_size": 0.02, "rule": fl.Momentum(0.9)}
    problem = fl.pgd(linear, middle, labels, **options)
    assert torch.equal(fl.maximize(dataclasses.replace(problem, detect_cycles=True)), fl.maximize(problem))


def everything(model):
    return (
        {name: module.training for name, module in model.named_modules()},
        {name: (p.requires_grad, p.detach().clone(), p.grad) for name, p in model.named_parameters()},
        {name: buffer.clone() for name, buffer in model.named_buffers()},
    )


@pytest.mark.parametrize("grad_mode", [True, False])
def test_nothing_of_the_callers_changes(net, images, labels, grad_mode):
    net.train()
    net[1].eval()  # A frozen batch norm inside a net that trains.
    net[0].weight.requires_grad_(False)
    net[5].bias.grad = torch.ones(3)
    before, keep, rng = everything(net), images.clone(), torch.get_rng_state()
    with torch.set_grad_enabled(grad_mode):
        for frame in fl.ascend(fl.pgd(net, images, labels, within=Cube(0.1), steps=2, step_size=0.1)):
            assert torch.is_grad_enabled() is grad_mode
            assert net.training
            assert not frame.images.requires_grad
        fl.evaluate(net, (images, labels), within=Cube(0.1), suite="quick")
        assert torch.is_grad_enabled() is grad_mode
    modes, parameters, buffers = everything(net)
    assert modes == before[0]
    assert modes["1"] is False
    for name, (requires_grad, value, grad) in before[1].items():
        assert parameters[name][0] is requires_grad
        assert torch.equal(parameters[name][1], value)
        assert (parameters[name][2] is None) if grad is None else torch.equal(parameters[name][2], grad)
    for name, value in before[2].items():
        assert torch.equal(buffers[name], value)
    assert torch.equal(images, keep)
    assert images.requires_grad is False
    assert torch.equal(torch.get_rng_state(), rng)


def test_the_model_is_restored_when_the_objective_fails(net, images):
    net.train()

    def broken(images):
        net(images)
        raise RuntimeError("in the middle")

    objective = fl.objectives.OnModel(broken, fl.cross_entropy(net, torch.zeros(10, dtype=torch.int64)).head)
    with pytest.raises(RuntimeError, match="in the middle"):
        fl.maximize(fl.Problem(objective, images, Cube(0.1), 1, 0.1))
    assert all(module.training for module in net.modules())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_models_of_any_precision(net, images, labels, dtype):
    model = copy.deepcopy(net).to(dtype)

    def cast(images):
        return model(images.to(dtype))

    model.eval()
    found = fl.maximize(fl.pgd(cast, images, labels, within=Cube(0.1), steps=2, step_size=0.1))
    assert found.dtype == torch.float32
    assert ((found - images).abs() <= 0.1 + 1e-6).all()


@pytest.mark.parametrize("shape", [(5,), (2, 7), (3, 4, 5), (1, 2, 3, 4)])
def test_any_input_shape(shape):
    center = torch.full((2, *shape), 0.5)
    found = fl.maximize(fl.Problem(Hill(0.6), center, Cube(0.2), 10, 0.01))
    torch.testing.assert_close(found, torch.full_like(center, 0.6))


def test_memory_format_is_followed(images):
    center = images.expand(-1, 3, -1, -1).to(memory_format=torch.channels_last)
    found = fl.maximize(fl.Problem(Hill(0.4), center, Cube(0.2), 3, 0.05))
    plain = fl.maximize(fl.Problem(Hill(0.4), center.contiguous(), Cube(0.2), 3, 0.05))
    assert torch.equal(found, plain)


def test_an_empty_batch_is_an_empty_answer(linear):
    empty = torch.zeros(0, 12, dtype=torch.float64)
    problem = fl.pgd(linear, empty, torch.zeros(0, dtype=torch.int64), within=Cube(0.1), steps=2, step_size=0.1)
    assert fl.maximize(problem).shape == (0, 12)


def test_targeted_is_towards(linear, middle):
    targets = 1 - own_labels(linear, middle)
    found = fl.maximize(
        fl.pgd(linear, middle, targets, within=Cube(0.3), steps=20, step_size=0.05, targeted=True, stop=True)
    )
    assert torch.equal(own_labels(linear, found), targets)


BAD = [
    ({"center": torch.zeros(3, 4, dtype=torch.uint8)}, "images.float"),
    ({"center": torch.zeros(3, 4, dtype=torch.bfloat16)}, "float32 or float64"),
    ({"steps": -1}, "steps must be >= 0"),
    ({"restarts": 2}, "random_start=True"),
    ({"step_size": torch.ones(5)}, r"one value or one per example, \(3,\)"),
    ({"step_size": float("nan")}, "finite"),
    ({"keep": "worst"}, "'best', 'last' or 'nearest'"),
    ({"keep": "last", "detect_cycles": True}, "a walk in a circle"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=lambda value: str(value)[:30])
def test_bad_problems_are_refused_at_the_door(change, message):
    options = {"center": torch.zeros(3, 4), "within": Cube(0.1), "steps": 1, "step_size": 0.1} | change
    with pytest.raises(ValueError, match=message):
        fl.Problem(Hill(0.1), **options)


def test_images_out_of_range_and_bad_labels_are_refused(linear):
    options = {"within": Cube(0.1), "steps": 1, "step_size": 0.1}
    with pytest.raises(ValueError, match=r"\[0, 1\], got values from -1 to 2"):
        fl.pgd(linear, torch.tensor([[-1.0, 2.0]]), torch.tensor([0]), **options)
    with pytest.raises(ValueError, match="unnormalised"):
        fl.pgd(linear, torch.full((1, 2), torch.nan), torch.tensor([0]), **options)
    with pytest.raises(ValueError, match="one per image"):
        fl.pgd(linear, torch.zeros(2, 2), torch.tensor([0]), **options)
    with pytest.raises(ValueError, match="did you mean 'margin'"):
        fl.pgd(linear, torch.zeros(1, 2), torch.tensor([0]), loss="margn", **options)


def test_an_objective_without_gradient_is_refused():
    with pytest.raises(ValueError, match="no uphill"):
        fl.maximize(fl.Problem(lambda images: torch.zeros(2), torch.zeros(2, 3), Cube(0.1), 1, 0.1))


def test_a_plain_function_cannot_leave_the_batch(linear, middle):
    labels = own_labels(linear, middle)
    score = fl.cross_entropy(linear, labels)
    problem = fl.Problem(score.__call__, middle, Cube(0.05), 9, 0.01, done=fl.misclassified(linear, labels))
    with pytest.raises(ValueError, match="define rows"):
        fl.maximize(problem)
