"""A threat model: a set of points around each image, and how to move in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from featlab.types import Images, PerExample, Points, Rows, Scores, Seeds, Verdicts


@dataclass(frozen=True, kw_only=True)
class Key:
    """What random numbers are a function of: the run's seed, each example's identity, and the restart.

    Nothing else enters: a draw depends neither on the device, nor on the batch that an example is in, nor on draws
    before it.
    """

    seed: int
    examples: Seeds
    restart: int = 0

    def rows(self, index: Rows) -> Key:
        """Return the key of some of the examples."""
        return Key(seed=self.seed, examples=self.examples[index], restart=self.restart)


@dataclass(frozen=True, eq=False)
class Trail:
    """Where an ascent has been: the points one step before, and the best points with their gradients."""

    previous: Points
    best: Points
    best_grad: Points


class ThreatModel(ABC):
    """A set S(center) of points that stand for the same image, and how to move in it.

    Three methods say what the set is; the others have defaults. `decode` lets what moves differ from the image:
    a pose, a flow field, Fourier coefficients. Every argument with a batch dimension may be split along it: no method
    lets examples influence each other. Where steps and `decode` read no value of a tensor (no `item`, no `if` on one),
    whole iterations can be recorded on a GPU.
    """

    @abstractmethod
    def project(self, points: Points, center: Images) -> Points:
        """Return the nearest points of S(center): argmin over p in S(center) of |p - points|."""

    @abstractmethod
    def steepest(self, grad: Points) -> Points:
        """Return the direction of length one that gains most: argmax over |d| <= 1 of <d, grad>; 0 where grad is 0."""

    @abstractmethod
    def sample(self, center: Images, *, key: Key) -> Points:
        """Return random points of S(center), a function of `center` and `key` alone."""

    def admissible(self, grad: Points, points: Points) -> Points:
        """Return the gradient with 0 where the set lets `points` go no further; by default, all of it.

        For steps that move few values: the projection would undo those that leave the set, and nothing would be gained.
        """
        del points
        return grad

    @property
    def radius(self) -> PerExample:
        """The size of the set in the units of the step size (eps for a ball), which relative step sizes multiply."""
        return 1.0

    @property
    def order(self) -> float | None:
        """The p of the norm where the set is a ball of an lp norm cut to a box (1, 2 or inf); None elsewhere."""
        return None

    def resized(self, radius: PerExample) -> ThreatModel:
        """Return the same set with another radius, which may be infinite: then only the box bounds it.

        What searches the smallest change, or tries several sizes, needs it; without an override it is refused.
        """
        raise ValueError(
            f"{type(self).__name__} has no radius that could become {radius}, so no smallest change can be searched in "
            "it; define resized(radius) in the threat model, or use attacks that stay inside (suite='pgd')"
        )

    def sparse(self, share: PerExample) -> ThreatModel:
        """Return the same set whose steps move only the `share` of the values with the largest gradient.

        By default the set itself, whose steps move all of them.
        """
        del share
        return self

    def reach(self, points: Points, grad: Points, gain: Scores) -> Points:
        """Return the nearest points of the box where the score, if it is linear, has grown by `gain` (of either sign).

        argmin |p - points| over <grad, p - points> = gain, in the set's own norm and whatever its radius; by default
        without the box, along the steepest direction. Points stay where the gradient is 0.
        Source: Croce and Hein 2020 (FAB), section 2.
        """
        direction = self.steepest(grad.to(points.dtype))
        slope = (direction * grad).flatten(1).sum(dim=1)
        way = torch.where(slope > 0, gain.to(slope.dtype) / torch.where(slope > 0, slope, 1.0), 0.0)
        return points + spread(way, points) * direction

    @property
    def variants(self) -> int:
        """How many sets take turns: the best over their restarts is the worst case over all of them."""
        return 1

    def at(self, restart: int) -> ThreatModel:
        """Return the set of one restart; restarts r, r + variants, r + 2 variants, ... have the same one."""
        del restart
        return self

    def drawn(self, key: Key) -> ThreatModel:
        """Return the set with what is random about it drawn by `key`, once for each restart; by default nothing is."""
        del key
        return self

    def start(self, center: Images) -> Points:
        """Return the points that decode to `center` (a new tensor)."""
        return center.clone()

    def decode(self, points: Points, center: Images) -> Images:
        """Return the images that the points stand for."""
        del center  # Only threat models whose points are not images need it.
        return points

    def distance(self, points: Points, center: Images) -> Scores:
        """Return how far the points' images are from `center`; by default, the Euclidean length of the change.

        In float64, so that comparing it with the radius is exact. Balls return the length in their own norm.
        """
        change = self.decode(points, center).double() - center.double()
        length: Scores = torch.linalg.vector_norm(change.flatten(1), ord=self.order or 2.0, dim=1)
        return length

    def step(
        self, points: Points, grad: Points, center: Images, *, step_size: PerExample, out: Points | None = None
    ) -> Points:
        """Return one projected steepest-ascent step, P(points + step_size * steepest(admissible(grad, points))).

        `out` receives the result where given, and may be `points` itself.
        Source: Madry et al. 2018, section 2.1.
        """
        size = spread(step_size, points)
        uphill = self.admissible(grad.to(points.dtype), points)
        moved = self.project(points + size * self.steepest(uphill), center)
        return moved if out is None else out.copy_(moved)

    def accumulated_step(
        self,
        points: Points,
        grad: Points,
        center: Images,
        *,
        momentum: Points,
        decay: PerExample,
        step_size: PerExample,
        out: Points | None = None,
    ) -> Points:
        """Return the step along m' = decay * momentum + grad / |grad|_1; `momentum` is written over and becomes m'.

        A gradient that is zero, or not finite anywhere, adds nothing. `out` receives the result where given, and may be
        `points` itself. Source: Dong et al. 2018, section 3.1 (MI-FGSM).
        """
        length = grad.double().abs().flatten(1).sum(dim=1)
        usable = ((length > 0) & length.isfinite()).reshape(-1, *[1] * (grad.dim() - 1))
        unit = torch.where(usable, grad.double() / torch.where(usable, length.reshape(usable.shape), 1.0), 0.0)
        momentum.copy_(spread(decay, momentum) * momentum + unit.to(momentum.dtype))
        return self.step(points, momentum, center, step_size=step_size, out=out)

    def momentum_step(
        self,
        points: Points,
        grad: Points,
        center: Images,
        *,
        trail: Trail,
        improved: Verdicts,
        back: Verdicts,
        step_size: PerExample,
        alpha: PerExample,
        out: Points | None = None,
    ) -> Points:
        """Return P(x + alpha (z - x) + (1 - alpha) (x - previous)) with z = P(x + step_size * steepest(g)).

        Points that are `improved` become their example's best ones first; x and g are the best point and its gradient
        where an example goes `back`, and `points` and `grad` elsewhere. The trail is written over: `previous` becomes
        x. `out` receives the result where given, and may be `points` itself.
        Source: Croce and Hein 2020 (AutoAttack), section 3 and algorithm 1.
        """
        each = (-1, *[1] * (points.dim() - 1))
        better, again, share = improved.reshape(each), back.reshape(each), spread(alpha, points)
        trail.best.copy_(torch.where(better, points, trail.best))
        trail.best_grad.copy_(torch.where(better, grad.to(points.dtype), trail.best_grad))
        start = torch.where(again, trail.best, points)
        near = self.step(start, torch.where(again, trail.best_grad, grad), center, step_size=step_size)
        moved = self.project(start + share * (near - start) + (1 - share) * (start - trail.previous), center)
        trail.previous.copy_(start)
        return moved if out is None else out.copy_(moved)

    def rows(self, index: Rows) -> ThreatModel:
        """Return the threat model of some of the examples; override where options are per example."""
        del index
        return self


def spread(value: PerExample, like: Points) -> PerExample | Points:
    """Return a per-example value shaped so that it broadcasts over each example of `like`."""
    if isinstance(value, float | int):
        return float(value)
    return value.to(like.dtype).reshape(-1, *[1] * (like.dim() - 1))
