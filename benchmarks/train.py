"""Robust training: images per second of `featlab.train` beside a plain loop, from the same weights for one epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import featlab as fl
from benchmarks import nets
from benchmarks.options import Options, compared
from benchmarks.peers import load
from benchmarks.rows import Row
from benchmarks.whole import measured

BATCH = 128
STEPS = 7
RADII = {"linf": 0.1, "l2": 1.5}
LR = 0.02
Way = Callable[[nn.Module, Tensor, Tensor, nets.Recipe, str, float], None]
"""Train a model for one epoch on images and labels, after a recipe, in a norm and a radius."""


def run(options: Options) -> Iterator[list[Row]]:
    """Yield the rows of robust training on the small net and on ResNet-18, a list for each measurement."""
    for architecture, count in {"small_cnn": 2560, "resnet18": 128}.items():
        if options.quick and architecture == "resnet18":
            continue
        for norm, eps in RADII.items():
            name = f"robust training {architecture} pgd-{STEPS} {norm}"
            if options.wants(name):
                yield measure(name, architecture, options, norm, eps, 256 if options.quick else count)


def measure(name: str, architecture: str, options: Options, norm: str, eps: float, count: int) -> list[Row]:
    """Return a row for each way to train one epoch, with how many images it took per second."""
    recipe = nets.Recipe(architecture, count, 1, LR, f"{norm}:eps={eps}", 2.5 * eps / STEPS, STEPS)
    images, labels = nets.images_of(recipe, train=True, count=count)
    test = nets.images_of(recipe, train=False, count=256)

    def epoch(way: Way) -> Callable[[None], nn.Module]:
        def train(_: None) -> nn.Module:
            model = nets.fresh(recipe, options.device)
            way(model, images, labels, recipe, norm, eps)
            return model

        return train

    def tell(model: nn.Module, seconds: float) -> dict[str, object]:
        clean = fl.accuracy(model.eval(), test).accuracy
        return {"note": f"{count / seconds:.0f} images/s, one epoch of {count} images, then {clean:.0%} clean"}

    row = Row(bench="train", name=name, provider="", shape="x".join(map(str, (BATCH, *recipe.shape))), dtype="float32")
    ways = {provider: epoch(way) for provider, way in WAYS.items()}
    budget = options.budget(seconds=20.0, least=3, quick_seconds=0.0, quick_least=1)
    return compared(measured(row, ways, None, tell=tell, budget=budget, device=options.device))


def featlab_way(model: nn.Module, images: Tensor, labels: Tensor, recipe: nets.Recipe, norm: str, eps: float) -> None:
    """Train by featlab."""
    del norm, eps
    schedule = fl.Schedule(epochs=1, lr=LR, batch_size=BATCH, curve="constant")
    for _ in fl.train(model, (images, labels), schedule=schedule, inner=nets.inner(recipe)):
        pass


def plain_way(model: nn.Module, images: Tensor, labels: Tensor, recipe: nets.Recipe, norm: str, eps: float) -> None:
    """Train by a plain float32 loop: eval mode for the attack, SGD on what it found."""
    device = next(model.parameters()).device
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, weight_decay=5e-4, nesterov=True)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    for rows in order.split(BATCH):
        x, y = images[rows].to(device), labels[rows].to(device)
        model.eval()
        moved = plain_attack(model, x, y, recipe.step_size, norm, eps)
        model.train()
        loss = F.cross_entropy(model(moved), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def plain_attack(model: nn.Module, x: Tensor, y: Tensor, step_size: float, norm: str, eps: float) -> Tensor:
    """Return PGD from a random start, in plain PyTorch."""
    each = (-1, *[1] * (x.dim() - 1))

    def inside(points: Tensor) -> Tensor:
        offset = points - x
        if norm == "linf":
            return (x + offset.clamp(-eps, eps)).clamp(0, 1)
        return (x + offset.renorm(2, 0, eps)).clamp(0, 1)

    moved = inside(x + eps * (2 * torch.rand_like(x) - 1))
    for _ in range(STEPS):
        moved = moved.detach().requires_grad_()
        (grad,) = torch.autograd.grad(F.cross_entropy(model(moved), y), moved)
        with torch.no_grad():
            length = 1.0 if norm == "linf" else grad.flatten(1).norm(dim=1).reshape(each) + 1e-10
            moved = inside(moved + step_size * (grad.sign() if norm == "linf" else grad / length))
    return moved.detach()


def robustness_way(
    model: nn.Module, images: Tensor, labels: Tensor, recipe: nets.Recipe, norm: str, eps: float
) -> None:
    """Train as MadryLab robustness does: its attacker makes the batch, one SGD step learns from it."""
    attacker = load("robustness.attacker").Attacker(model.net, Normalization())
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, weight_decay=5e-4)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    for rows in order.split(BATCH):
        x, y = images[rows], labels[rows]
        constraint = {"linf": "inf", "l2": "2"}[norm]
        model.eval()
        moved = attacker(
            x,
            y,
            constraint=constraint,
            eps=eps,
            step_size=recipe.step_size,
            iterations=STEPS,
            random_start=True,
            use_best=False,
        )
        model.train()
        loss = F.cross_entropy(model(moved), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


class Normalization:
    """Mean and deviation in the form that robustness reads them from a data set."""

    mean = torch.tensor([0.286])
    std = torch.tensor([0.353])


WAYS: dict[str, Way] = {
    "featlab": featlab_way,
    "plain loop": plain_way,
    "robustness": robustness_way,
}
"""Who trains."""
