"""Mass that moves: what a plan costs, where it arrives, and that no nearer plan is as cheap."""

import pytest
import torch
from fashion import losses, trained
from torch import nn

import featlab as fl
from featlab.testing import check_threat_model

W = "wasserstein:eps=0.1"


def feasible(within, eps):
    def contains(plan, center):
        kept = (plan.sum(dim=2) - center).abs().flatten(1).amax(dim=1) <= 1e-6
        light = (within._arrived(plan) <= 1 + 1e-6).flatten(1).all(dim=1)
        return (within.cost(plan, center) <= eps) & kept & light & (plan >= 0).flatten(1).all(dim=1)

    return contains


@pytest.mark.parametrize("shape", [(3, 6, 6), (1, 5, 7)], ids=str)
def test_it_holds_the_kit(shape):
    each = torch.tensor([0.0, 0.01, 0.1, 0.5, 2.0])
    within = fl.threat_model("wasserstein", eps=each, window=3)
    options = {"shape": shape, "moves_images": False, "examples": 4}
    check_threat_model(lambda: fl.threat_model(W), contains=feasible(fl.threat_model(W), 0.1), **options)
    check_threat_model(lambda: fl.threat_model("wasserstein", eps=each, window=3), **options)
    far = within.start(torch.rand(5, *shape)) + 1
    moved = within.cost(within.project(far, torch.full((5, *shape), 0.5)), torch.full((5, *shape), 0.5))
    assert (moved <= each).all()
    assert moved[0] == 0


def test_what_a_plan_costs_and_where_it_arrives():
    picture = torch.zeros(1, 1, 5, 5)
    picture[0, 0, 2, 2], picture[0, 0, 4, 4] = 0.6, 0.2
    within = fl.threat_model("wasserstein:eps=9,window=3")
    plan = within.start(picture)
    plan[0, 0, 4, 2, 2] -= 0.3
    plan[0, 0, 0, 2, 2] += 0.3  # Up and to the left: sqrt(2) pixels.
    wanted = picture.clone()
    wanted[0, 0, 2, 2], wanted[0, 0, 1, 1] = 0.3, 0.3
    torch.testing.assert_close(within.decode(plan, picture), wanted)
    torch.testing.assert_close(within.cost(plan, picture), torch.tensor([0.3 * 2**0.5 / 0.8], dtype=torch.float64))
    assert torch.equal(within.decode(within.start(picture), picture), picture)
    assert within.cost(within.start(picture), picture) == 0
    # Beyond the image nothing arrives, and nothing is sent.
    sent = within.project(plan + 1, picture)
    assert (sent[0, 0, [2, 5, 6, 7, 8], 4, 4] == 0).all()
    torch.testing.assert_close(sent.sum(dim=2), picture)


def on_simplices(values, mass):
    """The nearest non-negative numbers with sum `mass` along the last dimension, by sorting (Duchi et al. 2008)."""
    ordered = values.sort(dim=-1, descending=True).values
    number = torch.arange(1, values.shape[-1] + 1)
    shift = (ordered.cumsum(dim=-1) - mass[..., None]) / number
    last = ((ordered > shift).sum(dim=-1, keepdim=True) - 1).clamp_min(0)
    return torch.where(mass[..., None] > 0, (values - shift.gather(-1, last)).clamp_min(0), 0.0)


def nearest(wanted, center, eps):
    """The definition: the least price whose plan is cheap enough, by bisection, for each image by itself."""
    windows = nn.functional.unfold(torch.ones_like(center[:1]), 5, padding=2).reshape(25, *center.shape[2:]) > 0
    steps = torch.cartesian_prod(torch.arange(-2, 3), torch.arange(-2, 3)).double().norm(dim=1)
    found = []
    for plan, image in zip(wanted, center, strict=True):
        rows, mass, low, high = plan[0].movedim(0, -1), image[0], 0.0, 100.0
        off = torch.where(windows.movedim(0, -1), 0.0, -torch.inf)
        for _ in range(60):
            price = (low + high) / 2
            cheap = on_simplices(rows - price * steps + off, mass)
            low, high = (price, high) if (cheap * steps).sum() > eps * mass.sum() else (low, price)
        found.append(on_simplices(rows - high * steps + off, mass).movedim(-1, 0)[None])
    return torch.stack(found)


@pytest.mark.parametrize("size", [0.001, 0.05, 3.0])
def test_the_projection_is_the_nearest_plan(size):
    torch.manual_seed(0)
    center = 0.03 * torch.rand(6, 1, 5, 6, dtype=torch.float64)  # So dark that no pixel can become too bright.
    center[0, 0, :2] = 0
    within = fl.threat_model("wasserstein:eps=0.1")
    wanted = within.start(center) + size * torch.randn(6, 1, 25, 5, 6, dtype=torch.float64)
    found, reference = within.project(wanted, center), nearest(wanted, center, 0.1)
    torch.testing.assert_close(found, reference, atol=1e-6, rtol=0)
    assert (within.cost(found, center) > 0.09999).any(), "the price must be at work"


def test_bright_pixels_take_no_more_than_fits():
    torch.manual_seed(1)
    white = (torch.rand(8, 1, 9, 9) > 0.3).float()
    within = fl.threat_model("wasserstein:eps=0.5")
    plan = within.project(within.start(white) + torch.randn(8, 1, 25, 9, 9), white)
    arrived = within._arrived(plan)
    assert (arrived <= 1 + 1e-6).all()
    assert (arrived - white).abs().flatten(1).sum(dim=1).min() > 1, "mass must have moved all the same"
    torch.testing.assert_close(arrived.flatten(1).sum(dim=1), white.flatten(1).sum(dim=1))


def test_attacks_move_little_mass_and_fool_the_net():
    net, images, labels = trained()
    images, labels = images[:24], labels[:24]
    within = fl.threat_model("wasserstein:eps=0.1,window=3")
    problem = fl.pgd(net, images, labels, within=within, steps=6, step_size=0.3)
    found = fl.maximize(problem)
    assert ((found >= 0) & (found <= 1)).all()
    mass = images.flatten(1).sum(dim=1)
    torch.testing.assert_close(found.flatten(1).sum(dim=1), mass, rtol=1e-4, atol=0)
    # What moves by a pixel leaves one and reaches another: each costs at least half of what changed.
    assert ((found - images).abs().flatten(1).sum(dim=1) <= 2 * 0.1 * mass * (1 + 1e-4)).all()
    random = within.decode(within.sample(images, key=fl.Key(seed=0, examples=torch.arange(24))), images)
    fooled = (net(found).argmax(dim=1) != labels).sum()
    assert fooled > (net(random).argmax(dim=1) != labels).sum() + 6
    assert (losses(net, found, labels) >= losses(net, images, labels)).all()
    attack = fl.Attack("quick", steps=4, relative_step=0.4)
    held = fl.evaluate(net, (images, labels), within=within, suite=[attack]).held
    assert int(held.sum()) <= len(images) - int(fooled) + 3


def test_a_black_picture_stays_black():
    black = torch.zeros(2, 1, 6, 6)
    within = fl.threat_model(W)
    plan = within.sample(black, key=fl.Key(seed=0, examples=torch.arange(2)))
    assert not within.project(plan + 1, black).any()
    assert not within.cost(plan, black).any()


@pytest.mark.parametrize("options", ["eps=-1", "eps=nan", "eps=1,window=4", "eps=1,rounds=0"])
def test_what_makes_no_set_is_refused(options):
    with pytest.raises(ValueError, match=r"eps must be a number >= 0|window must be odd and rounds >= 1"):
        fl.threat_model(f"wasserstein:{options}")


def test_mass_moves_in_pictures(images):
    with pytest.raises(ValueError, match=r"pictures of shape \(batch, channels, height, width\), got \(10, 64\)"):
        fl.threat_model(W).start(images.flatten(1))
