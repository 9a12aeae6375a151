"""What the l1 and l0 balls are for: sparse steps find what dense ones do not."""

import pytest
import torch
from fashion import trained

import featlab as fl


class Rescaled(fl.ThreatModel):
    """The l1 ball as it is usually built: dense steps of l1 length one, scaled back into the ball and cut."""

    def __init__(self, eps):
        self.eps = eps

    def project(self, points, center):
        offset = points - center
        length = offset.flatten(1).abs().sum(dim=1).reshape(-1, *[1] * (points.dim() - 1))
        return (center + offset * (self.eps / length).clamp(max=1.0)).clamp(0, 1)

    def steepest(self, grad):
        length = grad.flatten(1).abs().sum(dim=1).reshape(-1, *[1] * (grad.dim() - 1))
        return grad / length.clamp(min=1e-30)

    def sample(self, center, *, key):
        return center.clone()


def fooled(net, images, labels, within, step_size):
    problem = fl.pgd(net, images, labels, within=within, steps=20, step_size=step_size)
    with torch.no_grad():
        return float((net(fl.maximize(problem)).argmax(dim=1) != labels).double().mean())


def test_sparse_steps_fool_clearly_more_than_dense_ones():
    eps = 8.0
    sparse = fooled(*trained(count=200), fl.threat_model("l1", eps=eps), eps / 8)
    dense = max(fooled(*trained(count=200), Rescaled(eps), size) for size in (eps / 8, eps / 2))
    assert sparse > dense + 0.2


def test_l0_fools_more_than_chance():
    net, images, labels = trained(count=200)
    within = fl.threat_model("l0", count=10)
    found = fl.maximize(fl.pgd(net, images, labels, within=within, steps=20, step_size=within.radius))
    assert ((found != images).flatten(1).sum(dim=1) <= 10).all()
    random = within.sample(images, key=fl.Key(seed=0, examples=torch.arange(len(images))))
    with torch.no_grad():
        hit = (net(found).argmax(dim=1) != labels).double().mean()
        chance = (net(random).argmax(dim=1) != labels).double().mean()
    assert hit > chance + 0.2


def knapsack(weights, center, eps):
    """Return the largest <weights, x> in the ball and the box: fill the heaviest first, the last one in part."""
    room = torch.where(weights > 0, 1 - center, center)
    order = weights.abs().argsort(descending=True)
    filled = (eps - (room[:, order].cumsum(dim=1) - room[:, order])).clamp(min=0).minimum(room[:, order])
    return (center * weights).sum(dim=1) + (filled * weights[order].abs()).sum(dim=1)


@pytest.mark.parametrize("eps", [0.2, 1.5, 4.0])
def test_on_a_linear_score_the_ascent_fills_a_knapsack(eps):
    torch.manual_seed(1)
    weights, center = torch.randn(60, dtype=torch.float64), torch.rand(8, 60, dtype=torch.float64)
    within = fl.threat_model("l1", eps=eps, sparsity=1 / 60)
    found = fl.maximize(fl.Problem(lambda x: x @ weights, center, within, 400, eps / 20))
    best = knapsack(weights, center, eps)
    gained, possible = found @ weights - center @ weights, best - center @ weights
    assert (gained <= possible * (1 + 1e-9)).all()
    assert (gained >= 0.97 * possible).all()


def test_examples_that_leave_take_their_count_along():
    count = torch.tensor([1, 5, 9])
    within = fl.threat_model("l0", count=count).rows(torch.tensor([2, 0]))
    center = torch.full((2, 20), 0.5)
    moved = within.project(center + torch.linspace(0.1, 0.2, 20), center)
    assert (moved != center).sum(dim=1).tolist() == [9, 1]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("l1", {"eps": 1.0, "sparsity": 0.0}, "sparsity is the share"),
        ("l1", {"eps": -1.0}, "eps must be a number >= 0"),
        ("l0", {"count": -1}, "count must be a whole number"),
        ("l0", {"count": 1, "per": "row"}, "per must be 'value' or 'pixel'"),
        ("l0", {"count": 1, "high": float("inf")}, "low and high must be finite"),
    ],
)
def test_options_that_make_no_set_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        fl.threat_model(name, **options)


def test_the_exact_l2_projection_is_nearer_than_scaling_and_cutting():
    torch.manual_seed(2)
    center = torch.rand(16, 50)
    points = center + 0.5 * torch.randn(16, 50)
    exact = fl.threat_model("l2", eps=1.0, exact=True).project(points, center)
    usual = fl.threat_model("l2", eps=1.0).project(points, center)
    assert ((exact - points).norm(dim=1) < (usual - points).norm(dim=1)).all()


def test_threat_models_parse():
    assert fl.threat_model("l1:eps=12").eps == 12
    assert fl.threat_model("l0:count=3,per=pixel").per == "pixel"
