"""Standard and robust training: an ordinary loop, with an optional inner problem."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featlab.attacks import Model
from featlab.data import Data, as_data
from featlab.evaluation import device_of
from featlab.files import read_tensors, write_tensors
from featlab.names import lookup
from featlab.problem import Problem, maximize
from featlab.types import Images, Labels, Seeds

Augmentation = Callable[[Images, torch.Generator], Images]


class Inner(Protocol):
    """What robust training maximises on every batch before it learns from it."""

    def __call__(self, model: Model, images: Images, labels: Labels, *, seed: int, examples: Seeds) -> Problem:
        """Return the inner problem of one batch."""
        ...


@dataclass(frozen=True)
class Epoch:
    """What one pass over the data gave: mean loss and accuracy on the (perturbed) training batches."""

    number: int
    loss: float
    accuracy: float
    lr: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How to descend: SGD with Nesterov momentum, its learning rate over time, and what is averaged.

    `curve` is "one-cycle" (linear from 0 to `lr` over the first fifth, then a half cosine to 0), "step" (a tenth after
    each third) or "constant". `augment` is "none", "crop" (shift by up to 4 pixels) or "crop-flip". `ema` is the decay
    of the exponential moving average of the weights, with which training ends; 0 for none. `precision` "auto" is
    bfloat16 autocast on CUDA and float32 elsewhere. On CUDA, and in bfloat16, pictures and weights lie in memory
    channels last, as tensor cores and a CPU's matrix units want them; in float32 on CPUs that was seen to gain nothing.
    """

    epochs: int
    lr: float
    batch_size: int = 128
    momentum: float = 0.9
    weight_decay: float = 5e-4
    curve: str = "one-cycle"
    augment: str = "none"
    ema: float = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch_size < 1 or not self.lr >= 0:
            raise ValueError(
                f"epochs and lr must be >= 0 and batch_size >= 1, got {self.epochs}, {self.lr} and {self.batch_size}"
            )
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema is a decay in [0, 1), got {self.ema}")
        lookup("curve", self.curve, CURVES)
        lookup("augment", self.augment, AUGMENTATIONS)


CURVES: Mapping[str, Callable[[float], float]] = {
    "one-cycle": lambda done: done / 0.2 if done < 0.2 else 0.5 + 0.5 * math.cos(math.pi * (done - 0.2) / 0.8),
    "step": lambda done: 0.1 ** int(done * 3),
    "constant": lambda done: 1.0,
}


def _crop(images: Images, generator: torch.Generator) -> Images:
    """Shift each image by up to 4 pixels each way, with zeros entering."""
    count, _, height, width = images.shape
    shift = torch.randint(0, 9, (2, count), generator=generator).to(images.device)
    rows = shift[0, :, None] + torch.arange(height, device=images.device)
    columns = shift[1, :, None] + torch.arange(width, device=images.device)
    padded = F.pad(images, (4, 4, 4, 4))
    each = torch.arange(count, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def _crop_flip(images: Images, generator: torch.Generator) -> Images:
    """Shift, and mirror half of the images."""
    images = _crop(images, generator)
    mirrored = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


AUGMENTATIONS: Mapping[str, Augmentation] = {
    "none": lambda images, generator: images,
    "crop": _crop,
    "crop-flip": _crop_flip,
}


def train(
    model: nn.Module,
    data: Data | tuple[Images, Labels],
    *,
    schedule: Schedule,
    inner: Inner | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    every: float = 30.0,
) -> Iterator[Epoch]:
    """Train a model in place on clean batches, or on the solutions of `inner`; yield one record per epoch.

    min_w E_(x, y) L(f_w(x'), y), x' = x or x' = argmax over S(x) of L. All randomness is a function of `seed` and the
    step number, so a run that was killed and is started again from its `checkpoint` (written every `every` seconds, and
    at the end) ends in the same weights, bit for bit on one kind of CPU. Incomplete batches at the end of an epoch are
    left out. Source: Madry et al. 2018, equation 2.1.
    """
    run = _Run(model, as_data(data), schedule, inner, seed)
    if checkpoint is not None and checkpoint.exists():
        run.restore(checkpoint)
    saved = time.monotonic()
    while run.step < run.total:
        run.advance()
        if run.step % run.per_epoch == 0:
            yield run.epoch()
        if checkpoint is not None and time.monotonic() - saved >= every:
            run.save(checkpoint)
            saved = time.monotonic()
    if checkpoint is not None:
        run.save(checkpoint)
    run.finish()


class _Run:
    """The state of one training run: everything that a checkpoint holds."""

    def __init__(self, model: nn.Module, data: Data, schedule: Schedule, inner: Inner | None, seed: int) -> None:
        if len(data) == 0:
            raise ValueError("training needs at least one example, got none")
        self.model, self.data, self.schedule, self.inner, self.seed = model, data, schedule, inner, seed
        self.device = device_of(model)
        self.half = schedule.precision == "bfloat16" or (schedule.precision == "auto" and self.device.type == "cuda")
        self.channels_last = _channels_last(self.device, half=self.half)
        if self.channels_last:
            model.to(memory_format=torch.channels_last)
        self.batch = min(schedule.batch_size, len(data))
        self.per_epoch = len(data) // self.batch
        self.total = self.per_epoch * schedule.epochs
        self.step, self.loss, self.right, self.seconds = 0, torch.zeros(()), torch.zeros(()), 0.0
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=schedule.lr,
            momentum=schedule.momentum,
            weight_decay=schedule.weight_decay,
            nesterov=schedule.momentum > 0,
        )
        self.mean = {name: value.detach().clone() for name, value in self._floats()} if schedule.ema else {}

    def _floats(self) -> list[tuple[str, Tensor]]:
        return [(name, value) for name, value in self.model.state_dict().items() if value.is_floating_point()]

    def lr(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.schedule.lr * CURVES[self.schedule.curve]((step + 0.5) / self.total)

    def _rows(self) -> Tensor:
        """Return the examples of the present step: a slice of the epoch's own permutation."""
        epoch, position = divmod(self.step, self.per_epoch)
        order = torch.randperm(len(self.data), generator=_generator(self.seed, "order", epoch))
        return order[position * self.batch : (position + 1) * self.batch]

    def advance(self) -> None:
        """Take one step of SGD."""
        begun = time.monotonic()
        rows = self._rows()
        images, labels = self.data.images(rows).to(self.device), self.data.labels[rows].to(self.device)
        images = AUGMENTATIONS[self.schedule.augment](images, _generator(self.seed, "augment", self.step))
        if self.channels_last and images.dim() == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        with self._autocast(), _seeded(_mix(self.seed, "step", self.step), self.device):
            if self.inner is not None:
                problem = self.inner(
                    self.model, images, labels, seed=_mix(self.seed, "inner", self.step), examples=rows
                )
                images = maximize(problem)
            self.model.train()
            logits = self.model(images)
            loss = F.cross_entropy(logits, labels)
        self._descend(loss)
        if self.step % self.per_epoch == 0:
            self.loss, self.right, self.seconds = torch.zeros(()), torch.zeros(()), 0.0
        # Sums stay on the device: reading them on every step would make the host wait for it.
        self.loss = self.loss.to(loss.device) + loss.detach()
        self.right = self.right.to(loss.device) + (logits.argmax(dim=1) == labels).float().mean()
        self.step += 1
        self.seconds += time.monotonic() - begun

    def _descend(self, loss: Tensor) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        if self.mean:
            # The average follows closely at first, so that it forgets the initial weights.
            decay = min(self.schedule.ema, (1 + self.step) / (10 + self.step))
            for name, value in self._floats():
                self.mean[name].lerp_(value.detach(), 1 - decay)

    def _autocast(self) -> AbstractContextManager[object]:
        if self.half:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def epoch(self) -> Epoch:
        """Return the record of the epoch that has just ended."""
        return Epoch(
            number=self.step // self.per_epoch,
            loss=float(self.loss) / self.per_epoch,
            accuracy=float(self.right) / self.per_epoch,
            lr=self.lr(self.step - 1),
            seconds=self.seconds,
        )

    def finish(self) -> None:
        """Give the model its averaged weights."""
        if self.mean:
            self.model.load_state_dict(self.mean, strict=False)

    def _recipe(self) -> str:
        """Return what must be the same for a checkpoint to be continued."""
        labels = hashlib.sha256(self.data.labels.numpy().tobytes()).hexdigest()
        recipe = {"schedule": asdict(self.schedule), "inner": repr(self.inner), "seed": self.seed, "labels": labels}
        return json.dumps(recipe, sort_keys=True)

    def save(self, path: Path) -> None:
        """Write a checkpoint atomically."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"mean.{name}": value for name, value in self.mean.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            if state.get("momentum_buffer") is not None:
                tensors[f"momentum.{index}"] = state["momentum_buffer"]
        tensors |= {"loss": self.loss, "right": self.right}
        facts = {"recipe": self._recipe(), "step": str(self.step), "seconds": repr(self.seconds)}
        write_tensors(path, tensors, facts)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint, which must come from the same run."""
        tensors, facts = read_tensors(path)
        if facts.get("recipe") != self._recipe():
            raise ValueError(
                f"{path} is the checkpoint of a run with other arguments or data; delete it, or give another path"
            )
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "mean": {}, "momentum": {}}
        for key, value in tensors.items():
            kind, _, name = key.partition(".")
            parts.get(kind, {})[name] = value
        self.model.load_state_dict(parts["model"])
        self.mean = {name: value.to(self.device) for name, value in parts["mean"].items()}
        state = self.optimizer.state_dict()
        state["state"] = {int(index): {"momentum_buffer": value} for index, value in parts["momentum"].items()}
        self.optimizer.load_state_dict(state)
        self.loss, self.right = tensors["loss"].to(self.device), tensors["right"].to(self.device)
        self.step, self.seconds = int(facts["step"]), float(facts["seconds"])


def _channels_last(device: torch.device, *, half: bool) -> bool:
    """Return whether pictures and weights go channels last."""
    return half or device.type == "cuda"


def _mix(seed: int, purpose: str, number: int) -> int:
    """Return a 63-bit seed that is a function of the three."""
    text = f"{seed} {purpose} {number}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little") >> 1


def _generator(seed: int, purpose: str, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(_mix(seed, purpose, number))


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's own random state for one step (dropout draws from it), and give the caller's back afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
