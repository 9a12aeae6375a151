"""Square attack: random search with windows, which needs no gradients."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from featlab.ops import random
from featlab.rules import State, StepRule
from featlab.smallest import counters
from featlab.threat_models import Key, ThreatModel
from featlab.types import Images, PerExample, Points, Scores

PURPOSE = 32
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


@dataclass(frozen=True)
class Square(StepRule):
    """Random search: a window of the picture changes, and the change stays where the score rises.

    In the max norm the first change is stripes of +-radius, and a window becomes +-radius in each channel. In l2 and
    l1, where the values share one budget, the first change is 5 x 5 tiles of two opposite pyramids, and such a pair
    goes to one window with all of the budget that it, another window (which is emptied) and the rest leave.
    The windows cover the share `share` of the picture, halved after 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000
    steps. Pictures are (..., height, width), and all before is channels; of one dimension, they are one row. The radius
    must be finite.
    Source: Andriushchenko et al. 2020, section 3; in l1, Croce and Hein 2021, "Mind the box", section 5.
    """

    share: float = 0.8
    needs_gradient = False

    def begin(self, points: Points, *, steps: int, key: Key) -> State:
        """Return the start as the best point, and what the random numbers depend on."""
        state = counters(points, steps=steps)
        return {
            **state,
            "best": points.clone(),
            "best_score": torch.full((len(points),), -torch.inf, dtype=torch.float64, device=points.device),
            "examples": key.examples.to(torch.int64),
            "seed": torch.full_like(state["number"], random.signed(key.seed)),
            "restart": torch.full_like(state["number"], key.restart),
        }

    def update(
        self,
        points: Points,
        grad: Points,
        scores: Scores,
        center: Images,
        *,
        within: ThreatModel,
        step_size: PerExample,
        state: State,
        out: Points | None = None,
    ) -> tuple[Points, State]:
        """Return the best points with a window changed."""
        del grad, step_size
        number = int(state["number"][0])
        # The first change is taken whatever it does: windows of it are what the search goes on from.
        better = (scores.double() > state["best_score"]) | (number == 1)
        best = torch.where(_each(better, points), points, state["best"])
        shape, origin = picture_shape(points.shape[1:]), within.start(center)
        draw = _Draw.of(state, number, shape)
        change, room = (best - origin).reshape(-1, *shape), _room(within, points)
        if within.order in {1.0, 2.0}:
            side = _odd_side(self._share_at(number), shape)
            new = (
                _tiles(draw, shape, change) if number == 0 else _shifted(draw, side, shape, change, room, within.order)
            )
            new = _filled(new, room, within.order) if number == 0 else new
        else:
            new = (
                _stripes(draw, shape, room)
                if number == 0
                else _window(draw, self._share_at(number), shape, change, room)
            )
        moved = within.project(origin + new.reshape(points.shape), center)
        moved = moved if out is None else out.copy_(moved)
        record = {"best": best, "best_score": torch.where(better, scores.double(), state["best_score"])}
        return moved, {**state, **record, "number": state["number"] + 1}

    def _share_at(self, number: int) -> float:
        return float(self.share * 0.5 ** sum(number > halving for halving in HALVINGS))


def picture_shape(shape: torch.Size) -> tuple[int, int, int]:
    """Return the channels, height and width of one example: all before the last two dimensions is channels."""
    height, width = (1, shape[0]) if len(shape) == 1 else shape[-2:]
    return math.prod(shape[:-2]), height, width


def _each(value: Tensor, like: Tensor) -> Tensor:
    return value.reshape(-1, *[1] * (like.dim() - 1))


def _room(within: ThreatModel, points: Points) -> Tensor:
    """Return the radius of each example as a column that broadcasts over (batch, channels, height, width)."""
    radius = torch.as_tensor(within.radius, dtype=points.dtype, device=points.device)
    if not bool(torch.isfinite(radius).all()):
        raise ValueError(f"the Square attack changes windows by the radius, so it must be finite; got {within.radius}")
    return radius.reshape(-1, 1, 1, 1).expand(len(points), 1, 1, 1)


@dataclass(frozen=True)
class _Draw:
    """The random numbers of one step: each a row of 32-bit words per example."""

    words: Tensor

    @staticmethod
    def of(state: State, number: int, shape: tuple[int, int, int]) -> _Draw:
        """Return the words of a step, a function of seed, example, restart and step alone."""
        channels, _, width = shape
        elements = 5 + (channels * max(width, 25) if number == 0 else channels)
        restart = (int(state["restart"][0]) * (int(state["steps"][0]) + 1) + number) % (1 << 24)
        seed = int(state["seed"][0])
        drawn = random.words(state["examples"], elements=elements, seed=seed, restart=restart, purpose=PURPOSE)
        return _Draw(drawn)

    def place(self, position: int, count: int) -> Tensor:
        """Return whole numbers in [0, count)."""
        return (self.words[:, position] * count) >> 32

    def signs(self, count: int, dtype: torch.dtype) -> Tensor:
        """Return (batch, count) numbers +1 or -1."""
        return ((self.words[:, 5 : 5 + count] & 1) * 2 - 1).to(dtype)

    @property
    def transposed(self) -> Tensor:
        """Return which pyramids lie side by side rather than one above the other."""
        return self.words[:, 4] & 1 != 0


def _stripes(draw: _Draw, shape: tuple[int, int, int], room: Tensor) -> Tensor:
    """Return columns of +-room, drawn for each channel."""
    channels, height, width = shape
    return room * draw.signs(channels * width, room.dtype).reshape(-1, channels, 1, width).expand(-1, -1, height, -1)


def _window(draw: _Draw, share: float, shape: tuple[int, int, int], change: Tensor, room: Tensor) -> Tensor:
    """Return the change with one window at +-room in each channel."""
    channels, height, width = shape
    side = min(max(round(math.sqrt(share * height * width)), 1), height, width) if height > 1 else 1
    across = side if height > 1 else max(round(share * width), 1)
    inside = _inside(draw, 0, (side, across), shape)
    return torch.where(inside[:, None], room * draw.signs(channels, room.dtype)[:, :, None, None], change)


def _inside(draw: _Draw, which: int, sides: tuple[int, int], shape: tuple[int, int, int]) -> Tensor:
    """Return (batch, height, width) truths: where the window lies."""
    rows, columns = _offsets(draw, which, sides, shape)
    return ((rows >= 0) & (rows < sides[0]))[:, :, None] & ((columns >= 0) & (columns < sides[1]))[:, None, :]


def _offsets(draw: _Draw, which: int, sides: tuple[int, int], shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Return rows and columns as seen from the window's corner, (batch, height) and (batch, width)."""
    _, height, width = shape
    top = draw.place(2 * which, height - sides[0] + 1)
    left = draw.place(2 * which + 1, width - sides[1] + 1)
    rows, columns = (torch.arange(length, device=top.device) for length in (height, width))
    return rows[None] - top[:, None], columns[None] - left[:, None]


def _odd_side(share: float, shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return height and width of a window whose pyramids have a middle."""
    _, height, width = shape
    if height == 1:
        return 1, min(max(round(share * width), 2), width)
    side = max(round(math.sqrt(share * height * width)), 3)
    side += 1 - side % 2
    return min(side, height), min(side, width)


@functools.lru_cache(maxsize=256)
def pyramids(height: int, width: int) -> Tensor:
    """Return two opposite pyramids, one above the other: +eta and -eta, with eta = sum_{k >= m} 1 / (k + 1)^2.

    m is the distance to the middle of the half in the max norm; a single row has them side by side.
    """
    if height == 1:
        return pyramids(width, 1).T.contiguous() if width > 1 else torch.ones(1, 1)
    half = height // 2
    return torch.cat([_pyramid(half, width), -_pyramid(height - half, width)])


def _pyramid(height: int, width: int) -> Tensor:
    rows, columns = (torch.arange(length) - length // 2 for length in (height, width))
    distance = torch.maximum(rows.abs()[:, None], columns.abs()[None, :])
    tail = torch.tensor([1.0 / (k + 1) ** 2 for k in range(int(distance.max()) + 1)]).flip(0).cumsum(0).flip(0)
    pyramid: Tensor = tail[distance]
    unit: Tensor = pyramid / torch.linalg.vector_norm(pyramid)
    return unit


def _tiles(draw: _Draw, shape: tuple[int, int, int], like: Tensor) -> Tensor:
    """Return a grid of 5 x 5 pairs of pyramids (5 in a row), with random signs in each channel."""
    channels, height, width = shape
    down, across = min(5, height), min(5, width)
    tile = pyramids(height // down, width // across).to(like)
    signs = draw.signs(channels * down * across, like.dtype).reshape(-1, channels, down, 1, across, 1)
    grid = (signs * tile[:, None, :]).reshape(len(signs), channels, down * tile.shape[0], across * tile.shape[1])
    spare = height - grid.shape[2], width - grid.shape[3]
    top, left = spare[0] // 2, spare[1] // 2
    return torch.nn.functional.pad(grid, (left, spare[1] - left, top, spare[0] - top))


def _shifted(
    draw: _Draw, side: tuple[int, int], shape: tuple[int, int, int], change: Tensor, room: Tensor, order: float
) -> Tensor:
    """Return the change with the budget of two windows, and what is left of it, in the first of them."""
    here, there = _inside(draw, 0, side, shape)[:, None], _inside(draw, 1, side, shape)[:, None]
    rest = torch.where(here | there, 0.0, change)
    before = torch.where(here, change, 0.0)
    size = _norm(before, order)
    pattern = _placed(draw, side, shape, change.dtype) * draw.signs(shape[0], change.dtype)[:, :, None, None]
    pattern = pattern / _norm(pattern, order) + torch.where(size > 0, before / torch.where(size > 0, size, 1.0), 0.0)
    left = (room**order - _norm(rest, order) ** order).clamp_min(0.0) ** (1 / order)
    return rest + _filled(pattern, left, order)


def _placed(draw: _Draw, side: tuple[int, int], shape: tuple[int, int, int], dtype: torch.dtype) -> Tensor:
    """Return the pair of pyramids at each example's window, (batch, 1, height, width), half of them lying."""
    rows, columns = _offsets(draw, 0, side, shape)
    inside = _inside(draw, 0, side, shape)
    pair = pyramids(*side).to(device=rows.device, dtype=dtype)
    row, column = rows.clamp(0, side[0] - 1)[:, :, None], columns.clamp(0, side[1] - 1)[:, None, :]
    values = pair[row, column]
    if side[0] == side[1]:
        values = torch.where(draw.transposed[:, None, None], pair.T[row, column], values)
    return torch.where(inside, values, 0.0)[:, None]


def _norm(change: Tensor, order: float) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(change.flatten(1), ord=order, dim=1)
    return norm.reshape(-1, 1, 1, 1)


def _filled(pattern: Tensor, length: Tensor, order: float) -> Tensor:
    """Return the pattern at a length."""
    size = _norm(pattern, order)
    return pattern * torch.where(size > 0, length / torch.where(size > 0, size, 1.0), 0.0)
