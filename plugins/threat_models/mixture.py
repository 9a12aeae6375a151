"""One threat model for some examples of a batch, others for others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F

import featlab as fl

from .relative import Shapes, moves_images

Part = Callable[[int, fl.ThreatModel, torch.Tensor], torch.Tensor]
"""What one threat model, by its number, makes of some of the rows."""


@dataclass(frozen=True, eq=False)
class Mixture(fl.ThreatModel):
    """The threat model `of[which[i]]` for example i; `which` holds whole numbers, (batch,).

    Where all of them move images, the points are images. Where not, they lie flat, (batch, size of the largest), with
    zeros behind those that are smaller.
    """

    of: Sequence[fl.ThreatModel]
    which: torch.Tensor
    shapes: Shapes = field(default_factory=Shapes, repr=False)

    def rows(self, index: torch.Tensor) -> Mixture:
        """Return the threat model of some of the examples."""
        return replace(self, of=tuple(each.rows(index) for each in self.of), which=self.which.to(index.device)[index])

    def start(self, center: torch.Tensor) -> torch.Tensor:
        """Return the start of each example's threat model."""
        return self._points(lambda number, each, rows: each.start(center[rows]), center)

    def sample(self, center: torch.Tensor, *, key: fl.Key) -> torch.Tensor:
        """Return a sample of each example's threat model."""
        return self._points(lambda number, each, rows: each.sample(center[rows], key=key.rows(rows)), center)

    def project(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the projection of each example's threat model."""
        read = self._reader(center)
        return self._points(lambda number, each, rows: each.project(read(points, number, rows), center[rows]), center)

    def decode(self, points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
        """Return the images of each example's threat model."""
        read = self._reader(center)
        return self._gathered(lambda number, each, rows: each.decode(read(points, number, rows), center[rows]))

    def steepest(self, grad: torch.Tensor) -> torch.Tensor:
        """Return the steepest direction of each example's threat model."""
        shapes = None if self._images() else self.shapes.recall(grad.shape[1], whole=max)

        def direction(number: int, each: fl.ThreatModel, rows: torch.Tensor) -> torch.Tensor:
            found = each.steepest(_read(grad[rows], _shape(shapes, number)))
            return found if shapes is None else _laid(found, grad.shape[1])

        return self._gathered(direction)

    def step(
        self,
        points: torch.Tensor,
        grad: torch.Tensor,
        center: torch.Tensor,
        *,
        step_size: float | torch.Tensor,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the step of each example's threat model."""
        read = self._reader(center)

        def stepped(number: int, each: fl.ThreatModel, rows: torch.Tensor) -> torch.Tensor:
            size = step_size[rows] if isinstance(step_size, torch.Tensor) else step_size
            return each.step(read(points, number, rows), read(grad, number, rows), center[rows], step_size=size)

        moved = self._points(stepped, center)
        return moved if out is None else out.copy_(moved)

    def _images(self) -> bool:
        return all(moves_images(each) for each in self.of)

    def _reader(self, center: torch.Tensor) -> Callable[[torch.Tensor, int, torch.Tensor], torch.Tensor]:
        """Return what reads one threat model's rows of points or gradients in their own shape."""
        shapes = None if self._images() else self.shapes.learn(self.of, center)
        return lambda values, number, rows: _read(values[rows], _shape(shapes, number))

    def _points(self, part: Part, center: torch.Tensor) -> torch.Tensor:
        """Return the points that each threat model makes of its rows, as the mixture holds them."""
        if self._images():
            return self._gathered(part)
        width = max(shape.numel() for shape in self.shapes.learn(self.of, center))
        return self._gathered(lambda number, each, rows: _laid(part(number, each, rows), width))

    def _gathered(self, part: Part) -> torch.Tensor:
        """Return what each threat model makes of its rows, in the order of the batch."""
        rows = [(self.which == number).nonzero()[:, 0] for number in range(len(self.of))]
        # An empty batch is nobody's; the first one says what nothing looks like.
        busy = [number for number, some in enumerate(rows) if len(some)] or [0]
        made = torch.cat([part(number, self.of[number].rows(rows[number]), rows[number]) for number in busy])
        return made[torch.cat([rows[number] for number in busy]).argsort()]


def _shape(shapes: Sequence[torch.Size] | None, number: int) -> torch.Size | None:
    return None if shapes is None else shapes[number]


def _read(values: torch.Tensor, shape: torch.Size | None) -> torch.Tensor:
    """Return rows that lie flat in the shape that they have; rows that do not are as they are."""
    return values if shape is None else values[:, : shape.numel()].reshape(-1, *shape)


def _laid(points: torch.Tensor, width: int) -> torch.Tensor:
    """Return points laid flat, with zeros behind them."""
    return F.pad(points.flatten(1), (0, width - points[:1].numel() if len(points) else 0))
