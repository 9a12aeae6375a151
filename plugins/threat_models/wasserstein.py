"""Pixels whose mass moves to their neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

import featlab as fl

from .balls import normalized

DRAW = 34
"""The purpose of the random numbers of a plan."""


@dataclass(frozen=True, eq=False)
class Wasserstein(fl.ThreatModel):
    """Images that arise when mass moves between near pixels at a mean cost of at most eps: W(x', x) <= eps |x|_1.

    The points are transport plans, (batch, channels, window^2, height, width): how much of the mass of a pixel goes to
    each pixel of the square window around it. A plan holds no negative mass, sends out what each pixel has, and nothing
    beyond the image; its cost is the sum of mass times Euclidean distance in pixels. With eps = 0.1, a tenth of the
    mass moves by one pixel. Mass stays in its channel, and no pixel receives more than white, 1. `eps` is one number
    or one each. `cost(points, x)` is at most eps with no tolerance, and the image's distance at most the cost. Channels
    keep their mass up to rounding, 1e-6 of it in float32.

    The projection onto plans of bounded cost is the nearest one (dual: one price of distance per image, and one number
    per pixel), to `rounds` rounds of Newton's method; mass that would make a pixel brighter than 1 then stays where it
    was. Steps follow the normalised gradient; a direction of length one changes each entry by 1 / window (root mean
    square), and the radius is 1.
    Source: Wu et al. 2020, "Stronger and faster Wasserstein adversarial attacks", section 3 (plans as variables, dual
    projection); Wong et al. 2019, "Wasserstein adversarial examples via projected Sinkhorn iterations" (local plans).
    """

    eps: float | torch.Tensor
    window: int = 5
    rounds: int = 12

    def __post_init__(self) -> None:
        if not bool(torch.as_tensor(self.eps >= 0).all()):
            raise ValueError(f"eps must be a number >= 0, got {self.eps}")
        if self.window < 1 or self.window % 2 == 0 or self.rounds < 1:
            raise ValueError(f"window must be odd and rounds >= 1, got {self.window} and {self.rounds}")

    def rows(self, index: torch.Tensor) -> Wasserstein:
        """Return the threat model of some of the examples."""
        return replace(self, eps=self.eps.to(index.device)[index]) if isinstance(self.eps, torch.Tensor) else self

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return the plan that moves nothing."""
        if center.dim() != 4:
            raise ValueError(
                f"mass moves in pictures of shape (batch, channels, height, width), got {tuple(center.shape)}"
            )
        plan = center.new_zeros(*center.shape[:2], self.window**2, *center.shape[2:])
        plan[:, :, self.window**2 // 2] = center
        return plan

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return where the mass arrives."""
        return self._arrived(points).clamp(0, 1)

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return grad / |grad|, times the root of the number of entries over the window's width."""
        return math.sqrt(grad[:1].numel()) / self.window * normalized(grad)

    def cost(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return what a plan costs, as the mean over the mass of the image: what eps bounds; 0 for a black image."""
        mass = center.double().flatten(1).sum(dim=1)
        paid = (points.double() * self._distances(points).double()).flatten(1).sum(dim=1)
        return paid / torch.where(mass > 0, mass, 1.0)

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the nearest plan of bounded cost, less what would not fit where it goes."""
        around = self._seen(torch.ones_like(center)) > 0
        # Off the image nothing is ever wanted.
        wanted = torch.where(around, points.nan_to_num(0.0), -1e30)
        mass, distances = center.flatten(1), self._distances(points).reshape(-1, 1, 1)
        # A little less than eps, so that a cost that is rounded otherwise is not more.
        limit = torch.as_tensor(self.eps, device=center.device) * mass.sum(dim=1, dtype=torch.float64) * (1 - 1e-6)
        rows = wanted.movedim(2, 0).flatten(2)
        plan = _cheapened(rows, mass, distances, limit, rounds=self.rounds)
        return self._fitted(plan.reshape(wanted.movedim(2, 0).shape).movedim(0, 2).contiguous(), center)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return the projection of a plan that sends random shares, uniform in (0, 1), everywhere."""
        plan = self.start(center)
        shares = fl.ops.random.uniform(plan, seed=key.seed, examples=key.examples, restart=key.restart, purpose=DRAW)
        return self.project(plan + shares * center[:, :, None], center)

    def _distances(self, like: torch.Tensor) -> torch.Tensor:
        """Return the distance to each pixel of the window, (window^2, 1, 1)."""
        along = torch.arange(self.window, dtype=like.dtype, device=like.device) - self.window // 2
        return torch.hypot(along[:, None], along[None, :]).reshape(-1, 1, 1)

    def _arrived(self, plan: torch.Tensor) -> torch.Tensor:
        """Return what each pixel receives, (batch, channels, height, width)."""
        batch, channels, _, height, width = plan.shape
        sent = plan.reshape(batch * channels, -1, height * width)
        return F.fold(sent, (height, width), self.window, padding=self.window // 2).reshape(
            batch, channels, height, width
        )

    def _seen(self, values: torch.Tensor) -> torch.Tensor:
        """Return, for each pixel, what the pixels of the window around it hold, shaped like a plan; 0 off the image."""
        batch, channels, height, width = values.shape
        windows = F.unfold(values.reshape(-1, 1, height, width), self.window, padding=self.window // 2)
        return windows.reshape(batch, channels, -1, height, width)

    def _fitted(self, plan: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the plan with less of what goes to pixels that would become brighter than 1.

        Each pixel takes a share of what comes: at first as much as fits whatever it sends away itself, then more, as
        what the others take of it is known. Shares only grow, so a pixel never has less room than it was thought to.
        """
        bright = (self._arrived(plan) > 1 + 1e-6).flatten(1).any(dim=1)
        if not bool(bright.any()):
            return plan
        away = plan.clone()
        away[:, :, self.window**2 // 2] = 0
        coming, room = self._arrived(away), 1 - center
        for _ in range(self.rounds):
            share = torch.where(coming > room, room / coming, 1.0)
            sent = away * self._seen(share)
            room = 1 - center + sent.sum(dim=2)
        sent[:, :, self.window**2 // 2] = (center - sent.sum(dim=2)).clamp_min(0)
        return torch.where(bright.reshape(-1, 1, 1, 1, 1), sent, plan)


def _cheapened(
    wanted: torch.Tensor, mass: torch.Tensor, distances: torch.Tensor, limit: torch.Tensor, *, rounds: int
) -> torch.Tensor:
    """Return the plans nearest to `wanted` whose cost is at most `limit`.

    `wanted` is (window^2, batch, pixels), `mass` (batch, pixels), `distances` (window^2, 1, 1), `limit` (batch,). With
    a price p per distance, the nearest plan is that to wanted - p * distances alone; the least price that makes it
    cheap enough is found by Newton's method, kept between prices that are known to be too low and high enough.
    """
    price = low = torch.zeros_like(limit)
    stay = wanted[len(wanted) // 2]
    gain = ((wanted - stay + mass) / distances.clamp_min(1)).amax(dim=(0, 2))
    high = gain.double().clamp_min(0)
    positive = (wanted > -1e29).to(wanted.dtype)
    for _ in range(rounds):
        plan, positive = _nearest(wanted - price.to(wanted.dtype)[:, None] * distances, mass, positive)
        over = _cost(plan, distances) - limit
        settled = ((over <= 0) & (price == 0)) | (over.abs() <= 1e-6 * limit)
        if bool(settled.all()):
            break
        low, high = torch.where(over > 0, price, low), torch.where(over > 0, high, price)
        newton = price + over / _slope(positive, distances)
        between = (newton > low) & (newton < high)
        price = torch.where(settled, price, torch.where(between, newton, (low + high) / 2))
    return _affordable(plan, mass, distances, limit)


def _nearest(values: torch.Tensor, mass: torch.Tensor, positive: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the nearest plan: for each pixel, non-negative numbers whose sum is its mass, max(0, values - t).

    `positive` is a first guess which entries are above 0 (1 or 0; any will do), and is returned as it turned out. The
    t of a guess is too small, and so leaves too many above 0; each further one is nearer.
    Source: Michelot 1986, "A finite algorithm for finding the projection of a point onto the canonical simplex".
    """
    t = mass.new_zeros(mass.shape)
    for _ in range(len(values) + 1):
        count = positive.sum(dim=0)
        t = torch.where(count > 0, ((positive * values).sum(dim=0) - mass) / count.clamp_min(1), t)
        before, positive = positive, (values > t).to(values.dtype)
        if torch.equal(positive, before):
            break
    plan = (values - t).clamp_min(0)
    total = plan.sum(dim=0)
    return plan * (mass / torch.where(total > 0, total, 1.0)), positive


def _cost(plan: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    return (plan * distances).sum(dim=(0, 2), dtype=torch.float64)


def _slope(positive: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    """Return how fast the cost falls with the price: the squared distances' spread over the entries above 0."""
    count, first = positive.sum(dim=0).clamp_min(1), (positive * distances).sum(dim=0)
    return ((positive * distances.square()).sum(dim=0) - first.square() / count).sum(dim=1, dtype=torch.float64)


def _affordable(plan: torch.Tensor, mass: torch.Tensor, distances: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
    """Return the plans with so much less moved that none costs more than its limit."""
    cost = _cost(plan, distances)
    share = torch.where(cost > limit, limit / torch.where(cost > 0, cost, 1.0), 1.0)
    moved = plan * share.to(plan.dtype)[:, None]
    moved[len(plan) // 2] = 0
    moved[len(plan) // 2] = (mass - moved.sum(dim=0)).clamp_min(0)
    return moved
