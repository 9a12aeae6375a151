"""Objectives against float64 formulas, their algebra, and their rows."""

import pytest
import torch
import torch.nn.functional as F

import featlab as fl


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return torch.randn(6, 5, dtype=torch.float64)


@pytest.fixture
def answers():
    return torch.tensor([0, 1, 2, 3, 4, 0])


def identity(images):
    return images


def test_cross_entropy(logits, answers):
    expected = torch.logsumexp(logits, 1) - logits[torch.arange(6), answers]
    torch.testing.assert_close(fl.cross_entropy(identity, answers)(logits), expected)


def test_margin_is_positive_exactly_where_misclassified(logits, answers):
    scores = fl.margin(identity, answers)(logits)
    for row, answer in enumerate(answers.tolist()):
        others = [float(value) for column, value in enumerate(logits[row]) if column != answer]
        assert float(scores[row]) == pytest.approx(max(others) - float(logits[row, answer]))
    assert torch.equal(scores > 0, fl.misclassified(identity, answers)(logits))
    assert torch.equal(scores > 0, ~fl.classified_as(identity, answers)(logits))


def test_dlr_does_not_change_with_scale_and_shift(logits, answers):
    scores = fl.dlr(identity, answers)(logits)
    torch.testing.assert_close(fl.dlr(identity, answers)(7 * logits - 3), scores)
    assert torch.equal(scores > 0, fl.margin(identity, answers)(logits) > 0)
    with pytest.raises(ValueError, match="at least 3 classes"):
        fl.dlr(identity, torch.tensor([0]))(torch.zeros(1, 2))


def test_targeted_dlr_is_its_formula(logits, answers):
    targets = (answers + 2) % 5
    scores = fl.dlr_targeted(identity, answers, targets)(logits)
    for row, (answer, target) in enumerate(zip(answers.tolist(), targets.tolist(), strict=True)):
        z = logits[row].tolist()
        ordered = sorted(z, reverse=True)
        expected = -(z[answer] - z[target]) / (ordered[0] - (ordered[2] + ordered[3]) / 2)
        assert float(scores[row]) == pytest.approx(expected)
    torch.testing.assert_close(fl.dlr_targeted(identity, answers, targets)(7 * logits - 3), scores)
    with pytest.raises(ValueError, match="at least 4 classes"):
        fl.dlr_targeted(identity, answers[:1], targets[:1])(torch.zeros(1, 3))


def test_log_ratio_is_the_logarithm_of_the_odds(logits, answers):
    own = logits.softmax(dim=1)[torch.arange(6), answers]
    scores = fl.log_ratio(identity, answers)(logits)
    torch.testing.assert_close(scores, ((1 - own) / own).log())
    torch.testing.assert_close(F.softplus(scores), fl.cross_entropy(identity, answers)(logits))
    certain = torch.tensor([[1000.0, 0.0, -5.0]], requires_grad=True)
    (grad,) = torch.autograd.grad(fl.log_ratio(identity, torch.tensor([0]))(certain).sum(), certain)
    assert grad[0, 0] == -1.0, "the gradient should not vanish"


def test_activation(logits, answers):
    assert torch.equal(fl.activation(identity, unit=3)(logits), logits[:, 3])
    assert torch.equal(fl.activation(identity, unit=answers)(logits), logits[torch.arange(6), answers])


def test_match_is_the_negative_distance(logits):
    wanted = logits.flip(0)
    expected = -(logits - wanted).square().sum(1).sqrt()
    torch.testing.assert_close(fl.match(identity, wanted)(logits), expected)
    relative = expected / wanted.square().sum(1).sqrt()
    torch.testing.assert_close(fl.match(identity, wanted, relative=True)(logits), relative)


def test_stay_near_counts_only_outside_the_mask():
    before, after = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    mask = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    after[0, 0, 0, 0] = 5  # Inside: free.
    after[1, 0, 1, 1] = 2  # Outside: 4 / 4.
    assert fl.stay_near(before, mask=mask)(after).tolist() == [0.0, -1.0]
    assert fl.stay_near(before)(after).tolist() == [-25 / 4, -1.0]


def test_algebra(logits, answers):
    first, second = fl.cross_entropy(identity, answers), fl.margin(identity, answers)
    a, b = first(logits), second(logits)
    for combined, expected in [
        (first + second, a + b),
        (first - second, a - b),
        (3 * first, 3 * a),
        (first * 0.5, 0.5 * a),
        (-first, -a),
        (first + (lambda images: images[:, 0]), a + logits[:, 0]),
        (2 * (first - 0.1 * second), 2 * a - 0.2 * b),
    ]:
        torch.testing.assert_close(combined(logits), expected)


def test_rows_equal_slicing(logits, answers):
    index = torch.tensor([4, 1, 1])
    some = [
        fl.cross_entropy(identity, answers),
        fl.margin(identity, answers) - 2 * fl.dlr(identity, answers),
        fl.dlr_targeted(identity, answers, answers.flip(0)) + fl.log_ratio(identity, answers),
        fl.activation(identity, unit=answers),
        fl.activation(identity, unit=2),
        fl.match(identity, logits.flip(0), relative=True),
        fl.stay_near(logits.flip(0)),
        fl.stay_near(logits.flip(0), mask=torch.rand(6, 5, dtype=torch.float64)),
    ]
    for objective in some:
        torch.testing.assert_close(objective.rows(index)(logits[index]), objective(logits)[index])


@pytest.mark.parametrize("make", [fl.cross_entropy, fl.margin, fl.dlr, fl.log_ratio])
def test_three_steps_raise_the_score(net, images, make):
    objective = make(net, fl.predict(net, images))
    with torch.no_grad():
        start = objective(images)
    points = images.clone()
    for _ in range(3):
        points.requires_grad_()
        (grad,) = torch.autograd.grad(objective(points).sum(), points)
        points = (points + 0.01 * grad / grad.flatten(1).norm(dim=1)[:, None, None, None]).detach()
    assert (objective(points) > start).all()


def test_low_precision_outputs_are_judged_in_float32(images, labels):
    def low(images):
        return F.normalize(images.flatten(1)[:, :3], dim=1).bfloat16()

    assert fl.cross_entropy(low, labels)(images).dtype == torch.float32
