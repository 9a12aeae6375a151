"""Objectives of pictures: total variation beside a score, and scores under random maps."""

import pytest
import torch

import featlab as fl
from featlab import ops


@pytest.fixture
def pictures():
    return torch.rand(6, 1, 9, 8, generator=torch.Generator().manual_seed(0))


def brightness_in_the_middle(images):
    return images[:, :, 3:6, 3:6].flatten(1).mean(dim=1)


class Middle(fl.Objective):
    """The same with rows, and with a factor for each example."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, images):
        return self.factor * brightness_in_the_middle(images)

    def rows(self, index):
        return Middle(self.factor[index])


def test_total_variation_subtracts_and_follows_rows(pictures):
    weight, index = torch.linspace(0.1, 0.6, 6), torch.tensor([4, 1])
    score = fl.stay_near(pictures) - 2 * fl.total_variation(weight=weight, form="huber", delta=0.1)
    expected = -2 * ops.total_variation(pictures, weight=weight, form="huber", delta=0.1)
    torch.testing.assert_close(score(pictures), expected)
    assert torch.equal(score.rows(index)(pictures[index]), score(pictures)[index])
    shared = fl.total_variation(weight=3.0).rows(index)
    assert torch.equal(shared(pictures[index]), ops.total_variation(pictures[index], weight=3.0))


def test_ascending_against_it_smooths(pictures):
    score = -fl.total_variation(form="l2")
    frames = list(fl.ascend(fl.Problem(score, pictures, fl.threat_model("box"), 20, 0.1)))
    scores = torch.stack([frame.scores for frame in frames])
    assert (scores.diff(dim=0) > 0).all()
    assert (scores[-1] > 0.2 * scores[0]).all()  # both are negative


def test_jittered_is_the_mean_over_its_draws(pictures):
    score = fl.jittered(brightness_in_the_middle, jitter=2, rotate=10.0, draws=3, seed=5).at(4)
    moved = [
        ops.random_affine(pictures, seed=5, examples=torch.arange(6), step=12 + k, jitter=2, rotate=10.0)
        for k in range(3)
    ]
    expected = torch.stack([brightness_in_the_middle(images) for images in moved]).mean(dim=0)
    assert torch.equal(score(pictures), expected)
    assert torch.equal(score(pictures), score(pictures)), "a call changes nothing"


def test_jittered_follows_rows_whatever_the_split(pictures):
    score = fl.jittered(Middle(torch.arange(1.0, 7.0)), jitter=2, scale=(0.9, 1.1), examples=torch.arange(6) + 30).at(2)
    some = torch.tensor([5, 0, 3])
    assert torch.equal(score.rows(some)(pictures[some]), score(pictures)[some])
    again = torch.tensor([2, 0])
    assert torch.equal(score.rows(some).rows(again)(pictures[some][again]), score(pictures)[some][again])
    unnamed = fl.jittered(Middle(torch.ones(6)), jitter=2)
    assert torch.equal(unnamed.rows(some).rows(again)(pictures[some][again]), unnamed(pictures)[some][again])


def problem(score, pictures, **options):
    chosen = {"steps": 5, "step_size": 0.2, "keep": "last", **options}
    return fl.Problem(score, pictures, fl.threat_model("box"), **chosen)


def test_every_step_of_a_problem_has_its_own_draw(pictures):
    score = fl.jittered(brightness_in_the_middle, jitter=3, seed=1)
    still = list(fl.ascend(problem(score, pictures, step_size=0.0)))
    for step in still:
        assert torch.equal(step.scores, score.at(step.number)(pictures))
    assert len({step.scores[0].item() for step in still}) > 1
    both = list(fl.ascend(problem(score, pictures, steps=2, restarts=2, random_start=True, keep="best")))
    for draw, step in enumerate(both):
        assert torch.equal(step.scores, score.at(draw)(step.images)), "restarts go on counting"


def test_a_sum_passes_the_draw_on(pictures):
    score = fl.jittered(brightness_in_the_middle, jitter=3, seed=1) - 0.5 * fl.total_variation()
    assert not torch.equal(score.at(1)(pictures), score(pictures))
    nested = fl.jittered(fl.jittered(brightness_in_the_middle, jitter=1, seed=2), jitter=1)
    assert nested.at(3).inner.step == 3


def test_the_result_does_not_depend_on_the_batch(pictures):
    names = torch.arange(6) + 11

    def found(rows):
        score = fl.jittered(brightness_in_the_middle, jitter=2, rotate=15.0, examples=names[rows])
        return fl.maximize(problem(score, pictures[rows]))

    whole = found(torch.arange(6))
    assert torch.equal(torch.cat([found(torch.tensor([0, 1])), found(torch.tensor([2, 3, 4, 5]))]), whole)


def test_examples_that_leave_take_their_draws_with_them(pictures):
    """With a criterion that lets some leave, the others end where they end without it."""

    class Bright:
        def __init__(self, limit):
            self.limit = limit

        def __call__(self, images):
            return brightness_in_the_middle(images) > self.limit

        def rows(self, index):
            return Bright(self.limit[index])

    limit = torch.tensor([9.0, 0.0, 9.0, 0.55, 9.0, 0.6])
    score = fl.jittered(Middle(torch.ones(6)), jitter=1, seed=3)
    alone = fl.maximize(problem(score, pictures))
    leaving = fl.maximize(problem(score, pictures, done=Bright(limit)))
    assert torch.equal(leaving[limit == 9.0], alone[limit == 9.0])
    assert torch.equal(leaving[1], pictures[1])


def test_jitter_makes_what_is_found_robust_to_it(pictures):
    """Without maps the bright place is the window itself; under maps it is wider, and holds when the picture moves."""
    start = torch.full((6, 1, 21, 21), 0.5)

    def window(images):
        return images[:, :, 9:12, 9:12].flatten(1).mean(dim=1)

    plain = fl.maximize(problem(window, start, steps=40, step_size=0.3))
    robust = fl.maximize(problem(fl.jittered(window, jitter=4, seed=1), start, steps=40, step_size=0.3))
    fresh = fl.jittered(window, jitter=4, seed=99, draws=40)
    assert (fresh(robust) > fresh(plain) + 0.1).all()


def test_what_is_refused(pictures):
    with pytest.raises(ValueError, match="draws must be 1 or more, got 0"):
        fl.jittered(brightness_in_the_middle, draws=0)
    with pytest.raises(ValueError, match="plain function, which cannot follow"):
        fl.jittered(brightness_in_the_middle, jitter=1).rows(torch.tensor([0]))


def test_the_box_is_normalised_gradient_ascent():
    """x' = x + size * g / |g|, which other libraries call SGD on a normalised gradient: l2 steps in an endless ball."""
    torch.manual_seed(0)
    points, grad = (
        torch.randn(4, 3, 5, 5),
        torch.randn(4, 3, 5, 5) * torch.tensor([1e-20, 1.0, 1e10, 0.0])[:, None, None, None],
    )
    everywhere = fl.threat_model("box", low=float("-inf"), high=float("inf"))
    size = torch.tensor([0.1, 0.5, 2.0, 1.0])
    moved = everywhere.step(points, grad, points, step_size=size)
    exact = grad.double() / grad.double().flatten(1).norm(dim=1).clamp_min(1e-300)[:, None, None, None]
    expected = points.double() + size.double()[:, None, None, None] * exact
    torch.testing.assert_close(moved.double(), expected, rtol=0, atol=3e-7)
    cut = fl.threat_model("box", low=-0.5, high=0.5).step(points, grad, points, step_size=size)
    torch.testing.assert_close(cut.double(), expected.clamp(-0.5, 0.5), rtol=0, atol=3e-7)
    endless = ops.l2_step(points, grad, points, eps=float("inf"), step_size=size, low=-0.5, high=0.5)
    assert torch.equal(cut, endless)


def test_a_random_score_is_not_taken_to_go_round_in_circles(pictures):
    """With steps of size zero every example comes back to where it was; the next draw may still score more."""
    score = fl.jittered(Middle(torch.ones(6)), jitter=3, seed=1) - 0.0 * fl.total_variation()
    assert score.random
    assert not (fl.total_variation() - fl.stay_near(pictures)).random
    options = {"step_size": 0.0, "steps": 6, "keep": "best"}
    frames = list(fl.ascend(problem(score, pictures, detect_cycles=True, **options)))
    assert [frame.number for frame in frames] == list(range(7))
    assert len({frame.scores[0].item() for frame in frames}) > 1
