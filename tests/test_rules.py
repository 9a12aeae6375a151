"""Step rules against their papers' recurrences in float64."""

import itertools

import torch

import featlab as fl

from known import Ball, Cube


class Quadratic:
    """-x'Ax/2 + b'x per example, with a known gradient."""

    def __init__(self):
        torch.manual_seed(1)
        root = torch.randn(6, 6, dtype=torch.float64)
        self.matrix, self.vector = root @ root.T / 6, torch.randn(6, dtype=torch.float64)

    def __call__(self, images):
        return -((images @ self.matrix) * images).sum(1) / 2 + images @ self.vector

    def gradient(self, images):
        return -(images @ self.matrix) + self.vector


def walk(rule, within, step_size, steps):
    objective, center = Quadratic(), torch.full((3, 6), 0.5, dtype=torch.float64) + torch.arange(3)[:, None] * 0.01
    frames = fl.ascend(fl.Problem(objective, center, within, steps, step_size, rule=rule))
    return objective, center, [frame.images for frame in frames]


def test_steepest_follows_the_threat_models_own_step():
    objective, center, points = walk(fl.Steepest(), Cube(0.2), 0.07, 4)
    for before, after in itertools.pairwise(points):
        torch.testing.assert_close(after, Cube(0.2).project(before + 0.07 * objective.gradient(before).sign(), center))


def test_momentum_accumulates_l1_normalised_gradients():
    objective, center, points = walk(fl.Momentum(decay=0.8), Cube(0.3), 0.05, 5)
    momentum = torch.zeros_like(center)
    for before, after in itertools.pairwise(points):
        grad = objective.gradient(before)
        momentum = 0.8 * momentum + grad / grad.abs().sum(1, keepdim=True)
        torch.testing.assert_close(after, Cube(0.3).project(before + 0.05 * momentum.sign(), center))


def test_momentum_of_a_zero_gradient_is_not_nan():
    rule, points = fl.Momentum(), torch.full((2, 3), 0.5)
    moved, state = rule.update(
        points,
        torch.zeros(2, 3),
        torch.zeros(2),
        points,
        within=Cube(0.1),
        step_size=0.1,
        state=rule.begin(points, steps=1, key=fl.Key(seed=0, examples=torch.arange(2))),
    )
    assert torch.equal(moved, points)
    assert torch.equal(state["momentum"], torch.zeros(2, 3))


def test_adam_is_torchs_adam():
    objective, center, points = walk(fl.Adam(), Ball(100.0), 0.05, 6)
    parameter = center.clone().requires_grad_()
    optimizer = torch.optim.Adam([parameter], lr=0.05, maximize=True)
    for point in points[1:]:
        optimizer.zero_grad()
        objective(parameter).sum().backward()
        optimizer.step()
        torch.testing.assert_close(point, parameter.detach())
