"""Tasks beside plain PyTorch loops that do the same, for their time; and what nets make of tasks (`quality`).

The loops are those of large-eps adversarial examples and of representation inversion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

import featlab as fl
from benchmarks import nets, quality
from benchmarks.options import Options, compared
from benchmarks.rows import Row
from benchmarks.whole import measured

EPS = 6.0
NETS = {"small_cnn robust l2": 64, "resnet18 standard": 8}
Way = Callable[[fl.Classifier, Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class Task:
    """A task: its steps, who does it, and what is said of the result."""

    steps: int
    ways: Mapping[str, Way]
    judge: Callable[[fl.Classifier, Tensor, Tensor], str]


def run(options: Options) -> Iterator[list[Row]]:
    """Yield the rows of each task on each net, a list for each measurement; then those of what is made."""
    for net, batch in NETS.items():
        if options.quick and net.startswith("resnet18"):
            continue
        for title, task in TASKS.items():
            steps = 5 if options.quick else task.steps
            name = f"{title}-{steps} {net}"
            if options.wants(name):
                yield measure(name, net, options, batch, steps, task)
    yield from quality.run(options)


def measure(name: str, net: str, options: Options, batch: int, steps: int, task: Task) -> list[Row]:
    """Return a row for each way to do one task, with what came of it."""
    recipe = nets.RECIPES[net].quick() if options.quick else nets.RECIPES[net]
    model = nets.net(recipe, options.device)
    images = nets.images_of(recipe, train=False, count=2 * batch)[0].to(options.device)
    start, goal = images[:batch], images[batch:]
    ways = {provider: lambda _, way=way: way(model, start, goal, steps) for provider, way in task.ways.items()}

    def tell(found: Tensor, _: float) -> dict[str, object]:
        return {"note": f"{task.judge(model, found, goal)}; {recipe}"}

    row = Row(bench="tasks", name=name, provider="", shape="x".join(map(str, start.shape)), dtype="float32")
    budget = options.budget(seconds=10.0, least=3, quick_seconds=0.0, quick_least=1)
    return compared(measured(row, ways, None, tell=tell, budget=budget, device=options.device))


def targets(model: fl.Classifier, goal: Tensor) -> Tensor:
    """Return the classes to move to: the answers for the goals."""
    return fl.predict(model, goal)


def featlab_large_eps(model: fl.Classifier, start: Tensor, goal: Tensor, steps: int) -> Tensor:
    """Return the task's result."""
    within, labels = fl.threat_model("l2", eps=EPS), targets(model, goal)
    return fl.maximize(fl.task("large-eps")(model=model, images=start, labels=labels, within=within, steps=steps))


def plain_large_eps(model: fl.Classifier, start: Tensor, goal: Tensor, steps: int) -> Tensor:
    """Return targeted PGD in l2 in plain PyTorch."""
    labels, points, size = targets(model, goal), start.clone(), 2.5 * EPS / steps
    for _ in range(steps):
        points = points.detach().requires_grad_()
        (grad,) = torch.autograd.grad(F.cross_entropy(model(points), labels, reduction="sum"), points)
        with torch.no_grad():
            moved = points - size * unit(grad) - start
            points = (start + moved.renorm(2, 0, EPS)).clamp(0, 1)
    return points.detach()


def featlab_invert(model: fl.Classifier, start: Tensor, goal: Tensor, steps: int) -> Tensor:
    """Return the task's result."""
    problem = fl.task("invert")(model=model, images=start, reference=goal, steps=steps, step_size=0.1)
    return fl.maximize(problem)


def plain_invert(model: fl.Classifier, start: Tensor, goal: Tensor, steps: int) -> Tensor:
    """Return normalised gradient descent on the relative distance of representations, in plain PyTorch."""
    extract = fl.extractor(model, "penultimate")
    with torch.no_grad():
        wanted = extract(goal)
    points = start.clone()
    for _ in range(steps):
        points = points.detach().requires_grad_()
        distance = (extract(points) - wanted).norm(dim=1) / wanted.norm(dim=1)
        (grad,) = torch.autograd.grad(distance.sum(), points)
        with torch.no_grad():
            points = (points - 0.1 * unit(grad)).clamp(0, 1)
    return points.detach()


def unit(grad: Tensor) -> Tensor:
    """Return each example's gradient at length one."""
    return grad / (grad.flatten(1).norm(dim=1) + 1e-10).reshape(-1, *[1] * (grad.dim() - 1))


def reached(model: fl.Classifier, found: Tensor, goal: Tensor) -> str:
    """Say how many images the net gives the wanted class."""
    return f"{float((fl.predict(model, found) == targets(model, goal)).float().mean()):.0%} reach their class"


def distance(model: fl.Classifier, found: Tensor, goal: Tensor) -> str:
    """Say how near the representations came."""
    extract = fl.extractor(model, "penultimate")
    with torch.no_grad():
        wanted = extract(goal)
        left = (extract(found) - wanted).norm(dim=1) / wanted.norm(dim=1)
    return f"relative distance {float(left.mean()):.3f}"


TASKS = {
    "large-eps": Task(40, {"featlab": featlab_large_eps, "plain loop": plain_large_eps}, reached),
    "invert": Task(100, {"featlab": featlab_invert, "plain loop": plain_invert}, distance),
}
