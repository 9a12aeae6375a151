"""Cases of the linf and l2 balls."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from benchmarks.ops.cases import Case, Formula, Sizes, register
from benchmarks.peers import load

LINF = {"eps": 8 / 255, "step_size": 2 / 255}
L2 = {"eps": 0.5, "step_size": 0.1}
BOX = {"low": 0.0, "high": 1.0}


def step(sizes: Sizes, *, eps: float, step_size: float) -> dict[str, object]:
    """Return a step in place, as `maximize` takes it: three streams in, one out."""
    points = sizes.uniform()
    scalars = {"eps": sizes.each(eps), "step_size": sizes.each(step_size)}
    return {"points": points, "grad": sizes.normal(), "center": sizes.uniform(), **scalars, **BOX, "out": points}


def projection(sizes: Sizes, *, eps: float, step_size: float) -> dict[str, object]:
    """Return a projection of points outside the ball; not in place, since it would have nothing to do again."""
    center = sizes.uniform()
    points = center + sizes.uniform(-2 * step_size, 2 * step_size) * (1 if eps < 0.1 else 2)
    return {"points": points, "center": center, "eps": sizes.each(eps), **BOX, "out": torch.empty_like(points)}


def sample(sizes: Sizes, *, eps: float, step_size: float) -> dict[str, object]:
    """Return a random start."""
    del step_size
    center, identities = sizes.uniform(), sizes.identities()
    key = {"examples": identities, "seed": 1, "restart": 0}
    return {"center": center, "eps": sizes.each(eps), **key, **BOX, "out": torch.empty_like(center)}


def rows(values: Tensor, like: Tensor) -> Tensor:
    """Return one value per example, shaped to broadcast."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def linf_step(a: SimpleNamespace) -> Tensor:
    """Return the sign step in the field's usual five operations."""
    moved = a.points + LINF["step_size"] * a.grad.sign()
    return (a.center + (moved - a.center).clamp(-LINF["eps"], LINF["eps"])).clamp(0, 1)


def linf_project(a: SimpleNamespace) -> Tensor:
    """Return the projection in the usual form."""
    return (a.center + (a.points - a.center).clamp(-LINF["eps"], LINF["eps"])).clamp(0, 1)


def linf_sample(a: SimpleNamespace) -> Tensor:
    """Return a random start in the usual form."""
    return (a.center + torch.empty_like(a.center).uniform_(-LINF["eps"], LINF["eps"])).clamp(0, 1)


def l2_scaled(points: Tensor, center: Tensor) -> Tensor:
    """Return the projection to the ball by the norm and a factor, then the box."""
    offset = points - center
    factor = (L2["eps"] / offset.flatten(1).norm(dim=1).clamp_min(1e-12)).clamp_max(1)
    return (center + offset * rows(factor, offset)).clamp(0, 1)


def l2_step(a: SimpleNamespace) -> Tensor:
    """Return the normalised step in the usual form."""
    norm = rows(a.grad.flatten(1).norm(dim=1) + 1e-10, a.grad)
    return l2_scaled(a.points + L2["step_size"] * a.grad / norm, a.center)


def l2_project(a: SimpleNamespace) -> Tensor:
    """Return the projection in the usual form."""
    return l2_scaled(a.points, a.center)


def l2_sample(a: SimpleNamespace) -> Tensor:
    """Return a uniform start in the usual form: a normal direction and the root of a uniform number."""
    drawn = torch.randn_like(a.center)
    size = a.center[0].numel()
    length = L2["eps"] * torch.rand(len(drawn), device=drawn.device) ** (1 / size)
    return (a.center + drawn * rows(length / drawn.flatten(1).norm(dim=1), drawn)).clamp(0, 1)


def robustness_step(name: str, *, eps: float, step_size: float) -> Formula:
    """Return a step class of MadryLab robustness as its attacker calls it."""
    cls = getattr(load("robustness.attack_steps"), name)

    def run(a: SimpleNamespace) -> Tensor:
        stepper = cls(orig_input=a.center, eps=eps, step_size=step_size)
        return stepper.project(stepper.step(a.points, a.grad))

    return run


def robustness_projection(name: str, *, eps: float, step_size: float) -> Formula:
    """Return the projection of a step class of MadryLab robustness."""
    cls = getattr(load("robustness.attack_steps"), name)
    return lambda a: cls(orig_input=a.center, eps=eps, step_size=step_size).project(a.points)


def foolbox_step(name: str, *, eps: float, step_size: float) -> Formula:
    """Return the lines of foolbox's loop between two gradients, by its own methods."""
    attack = getattr(load("foolbox").attacks, name)(steps=1, abs_stepsize=step_size)
    astensor = load("eagerpy").astensor

    def run(a: SimpleNamespace) -> Tensor:
        x, x0, grad = astensor(a.points), astensor(a.center), astensor(a.grad)
        bounds = load("foolbox").types.Bounds(0, 1)
        x = x + step_size * attack.normalize(grad, x=x, bounds=bounds)
        return attack.project(x, x0, eps).clip(0, 1).raw

    return run


FORMULAS = {
    "linf": (LINF, "LinfStep", "LinfPGD", {"step": linf_step, "project": linf_project, "sample": linf_sample}),
    "l2": (L2, "L2Step", "L2PGD", {"step": l2_step, "project": l2_project, "sample": l2_sample}),
}
for norm, (size, madry, foolbox, formulas) in FORMULAS.items():
    peers = {
        "step": {
            "robustness": lambda madry=madry, size=size: robustness_step(madry, **size),
            "foolbox": lambda foolbox=foolbox, size=size: foolbox_step(foolbox, **size),
        },
        "project": {"robustness": lambda madry=madry, size=size: robustness_projection(madry, **size)},
        "sample": {},
    }
    for kind, draw in {"step": step, "project": projection, "sample": sample}.items():
        register(
            Case(
                op=f"{norm}_{kind}",
                arguments=lambda sizes, draw=draw, size=size: draw(sizes, **size),
                eager=formulas[kind],
                peers=peers[kind],
                same=kind != "sample",
            )
        )
