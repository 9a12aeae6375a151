"""Attacks as a whole: what they draw depends on the key alone, what they ask of models, and what they record."""

import json

import pytest
import torch
from torch import nn

import featlab as fl
from featlab.attacks import suite

from known import Linear

NORMS = {"linf": 0.1, "l2": 0.6, "l1": 4.0}


@pytest.fixture
def small():
    torch.manual_seed(8)
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 4)).double()


@pytest.fixture
def pictures():
    torch.manual_seed(9)
    return torch.rand(7, 1, 8, 8, dtype=torch.float64)


def answers(model, images):
    return model(images).argmax(dim=1).detach()


ATTACKS = {
    "fab": lambda model, x, y, within, examples: fl.fab(model, x, y, within=within, steps=6, targets=2),
    "ddn": lambda model, x, y, within, examples: fl.ddn(model, x, y, within=within, steps=8, targets=1),
    "square": lambda model, x, y, within, examples: fl.square(
        model, x, y, within=within, steps=25, stop=False, seed=3, examples=examples
    ),
    "apgd": lambda model, x, y, within, examples: fl.apgd(
        model, x, y, within=within, steps=12, stop=True, seed=3, examples=examples
    ),
    "apgd without stop": lambda model, x, y, within, examples: fl.apgd(
        model, x, y, within=within, steps=12, seed=3, examples=examples
    ),
    "expectation": lambda model, x, y, within, examples: fl.pgd(
        model, x, y, within=within, steps=3, step_size=0.05, draws=2, through=shaken, seed=3, examples=examples
    ),
}


def shaken(images, key):
    noise = fl.ops.random.uniform(images, seed=key.seed, examples=key.examples, restart=key.restart)
    return images + 0.1 * noise


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ATTACKS)
def test_no_example_influences_another(name, norm, small, pictures):
    labels, within = answers(small, pictures), fl.threat_model(norm, eps=NORMS[norm])
    together = fl.maximize(ATTACKS[name](small, pictures, labels, within, torch.arange(7)))
    again = fl.maximize(ATTACKS[name](small, pictures, labels, within, torch.arange(7)))
    assert torch.equal(together, again)
    assert not torch.equal(together, pictures)
    for some in (torch.tensor([4]), torch.tensor([6, 1])):
        part = fl.maximize(ATTACKS[name](small, pictures[some], labels[some], within, some))
        torch.testing.assert_close(part, together[some], rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(8,), (4, 6), (1, 1), (3, 5, 7), (2, 3, 4, 5)], ids=str)
def test_random_search_moves_any_shape_inside_and_upwards(shape, norm):
    torch.manual_seed(10)
    model = nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(shape).numel(), 3))
    images = torch.rand(4, *shape)
    labels, within = answers(model, images), fl.threat_model(norm, eps=torch.tensor([0.05, 0.1, 0.2, 0.3]))
    problem = fl.square(model, images, labels, within=within, steps=20, stop=False)
    frames = list(fl.ascend(problem))
    for frame in frames:
        assert torch.equal(within.project(frame.images.clone(), images), frame.images)
    best = fl.maximize(problem)
    scores = fl.margin(model, labels)
    assert bool((scores(best) > scores(images)).all())
    torch.testing.assert_close(scores(best), torch.stack([frame.scores for frame in frames]).amax(dim=0))


def test_random_search_never_asks_for_a_gradient_and_draws_by_restart(small, pictures):
    asked = []

    def model(images):
        asked.append(torch.is_grad_enabled())
        return small(images)

    labels, within = answers(small, pictures), fl.threat_model("l2", eps=0.5)
    first = fl.maximize(fl.square(model, pictures, labels, within=within, steps=5, stop=False))
    other = fl.maximize(fl.square(model, pictures, labels, within=within, steps=5, stop=False, seed=1))
    assert not any(asked)
    assert not torch.equal(first, other)


def test_random_search_needs_a_radius(small, pictures):
    labels, within = answers(small, pictures), fl.threat_model("l2", eps=float("inf"))
    with pytest.raises(ValueError, match="must be finite"):
        fl.maximize(fl.square(small, pictures, labels, within=within, steps=2))


def test_smallest_changes_need_a_set_whose_radius_can_change(small, pictures):
    with pytest.raises(ValueError, match="no radius"):
        fl.fab(small, pictures, answers(small, pictures), within=fl.threat_model("box"))


def test_smallest_changes_stay_under_a_mask(small, pictures):
    labels = answers(small, pictures)
    mask = torch.zeros(1, 8, 8)
    mask[:, :, :4] = 1
    within = fl.threat_model("masked", inside=fl.threat_model("l2", eps=0.1), mask=mask)
    found = fl.maximize(fl.fab(small, pictures, labels, within=within, steps=20))
    assert torch.equal(found[..., 4:], pictures[..., 4:])
    assert bool((answers(small, found) != labels).any())


def test_sparse_ascent_ends_inside_and_beats_the_start(small, pictures):
    labels, within = answers(small, pictures), fl.threat_model("l1", eps=2.0)
    found = fl.maximize(fl.apgd(small, pictures, labels, within=within, steps=20))
    assert bool(((found - pictures).abs().flatten(1).sum(dim=1) <= 2.0).all())
    loss = fl.cross_entropy(small, labels)
    assert bool((loss(found) > loss(pictures)).all())


def test_expectation_is_the_mean_over_its_draws(small, pictures):
    labels = answers(small, pictures)
    score = fl.expectation(fl.cross_entropy(small, labels), draws=3, through=shaken, seed=2)
    keys = [fl.Key(seed=2, examples=torch.arange(7), restart=draw) for draw in (6, 7, 8)]
    wanted = torch.stack([fl.cross_entropy(small, labels)(shaken(pictures, key)) for key in keys]).mean(dim=0)
    torch.testing.assert_close(score.at(2)(pictures), wanted)
    some = torch.tensor([5, 2])
    torch.testing.assert_close(score.rows(some).at(2)(pictures[some]), wanted[some])
    with pytest.raises(ValueError, match="draws must be 1 or more"):
        fl.expectation(score, draws=0)


def test_expectation_over_a_random_model_averages_its_noise(linear, middle):
    class Noisy(nn.Module):
        def forward(self, images):
            return linear(images + torch.randn_like(images))

    labels, images = answers(linear, middle), middle[:4].repeat(16, 1, 1, 1)
    labels = labels[:4].repeat(16)
    torch.manual_seed(0)
    one, many = (fl.expectation(fl.margin(Noisy(), labels), draws=draws)(images) for draws in (1, 64))
    assert many.reshape(16, 4).std(dim=0).mean() < one.reshape(16, 4).std(dim=0).mean() / 4


def test_a_victim_is_asked_but_never_followed(linear, middle):
    grads = []

    class Victim(nn.Module):
        def forward(self, images):
            grads.append(images.requires_grad)
            return linear(images)

    labels = answers(linear, middle)
    towards = Linear(linear.weight.detach() + 0.1, linear.bias.detach())
    options = {"within": fl.threat_model("linf", eps=0.2), "steps": 10, "step_size": 0.05}
    found = fl.maximize(fl.transfer(towards, middle, labels, victim=Victim(), **options))
    assert grads
    assert not any(grads)
    assert bool((answers(linear, found) != labels).all())
    untold = fl.maximize(fl.transfer([towards, linear], middle, labels, **options))
    torch.testing.assert_close((untold - middle).abs().amax(dim=(1, 2, 3)), torch.full((64,), 0.2).double())
    with pytest.raises(ValueError, match="at least one surrogate"):
        fl.transfer([], middle, labels, **options)


def test_a_non_transferable_attack_fools_one_model_alone():
    """Each model has a direction of its own beside a common one; the attack is to take the first model's own."""
    torch.manual_seed(1)
    common, *own = torch.kron(torch.eye(4), torch.ones(5)).double()  # Orthogonal to each other.
    models = [Linear(common + mine, -(common + mine).sum() / 2) for mine in own]
    images = 0.5 + 0.05 * torch.randn(40, 20, dtype=torch.float64)
    labels = (images - 0.5) @ common > 0
    keep = torch.stack([answers(model, images) == labels for model in models]).all(dim=0)
    images, labels = images[keep], labels[keep].long()
    options = {"within": fl.threat_model("l2", eps=0.4), "steps": 30, "step_size": 0.05}
    plain = fl.maximize(fl.pgd(models[0], images, labels, **options))
    alone = fl.maximize(fl.non_transferable(models[0], models[1:], images, labels, **options))
    targeted = fl.maximize(fl.non_transferable(models[0], models[1:], images, labels, targets=1 - labels, **options))

    def fooled(found):
        return [float((answers(model, found) != labels).double().mean()) for model in models]

    assert fooled(plain)[0] > 0.9
    assert sum(fooled(plain)[1:]) > 0.5
    for found in (alone, targeted):
        assert fooled(found)[0] > 0.9
        assert sum(fooled(found)[1:]) < 0.05
    with pytest.raises(ValueError, match="at least one other"):
        fl.non_transferable(models[0], [], images, labels, **options)


@pytest.mark.parametrize("name", ["standard", "random", "apgd", "apgd-t", "pgd"])
def test_suites_record_themselves_as_plain_values(name, small, pictures):
    assert len({attack.name for attack in suite(name)}) == len(suite(name))
    report = fl.evaluate(
        small,
        (pictures, 1 + 0 * answers(small, pictures)),
        within=fl.threat_model("linf", eps=1.0),
        suite=[attack for attack in suite(name) if attack.name != "square"],
    )
    kept = json.loads(json.dumps(report.record()))
    assert [attack["name"] for attack in kept["attacks"]] == [a.name for a in suite(name) if a.name != "square"]


def test_in_an_l1_ball_the_first_attack_of_the_standard_suite_starts_five_times(small, pictures):
    labels, first = answers(small, pictures), suite("standard")[0]
    restarts = {
        norm: first.problem(small, pictures, labels, within=fl.threat_model(norm, eps=eps)).restarts
        for norm, eps in NORMS.items()
    }
    assert restarts == {"linf": 1, "l2": 1, "l1": 5}
