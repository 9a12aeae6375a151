"""Where nets and sets are made, each once: a run that was stopped finds what it had finished, and goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from featlab import models
from featlab.datasets.construct import Construction, construct
from featlab.datasets.constructed import ConstructedWriter, open_constructed
from featlab.datasets.dataset import Dataset
from featlab.models import Classifier
from featlab.recipes.nets import Net, fresh
from featlab.training import Epoch, Inner, Schedule, train
from featlab.types import Progress


@dataclass(frozen=True)
class Workshop:
    """A folder with the nets and sets of one run.

    Everything is made under `folder/work`, which holds checkpoints and sets; finished nets are in `folder/nets`. What
    is made is a function of the run's arguments alone, which `claim` compares.
    """

    folder: Path
    net: Net
    device: torch.device
    batch_size: int
    seed: int
    progress: Progress
    log: Callable[[dict[str, object]], None]

    @property
    def work(self) -> Path:
        """The folder of what is unfinished."""
        return self.folder / "work"

    def train(
        self, name: str, data: Dataset, *, like: Dataset, schedule: Schedule, seed: int = 0, inner: Inner | None = None
    ) -> Classifier:
        """Return a net trained from its own random weights; `like` gives its normalisation and classes."""
        path = self.folder / "nets" / f"{name}.safetensors"
        if path.exists():
            self.progress(f"train {name}", schedule.epochs, schedule.epochs)
            return models.load(f"file:{path}", device=self.device)
        own = self.seed * 1000 + seed
        net = fresh(self.net, like=like, seed=own, title=name).to(self.device)
        checkpoint = self.work / f"{name}.checkpoint"
        self.progress(f"train {name}", 0, schedule.epochs)
        for epoch in train(net, data, schedule=schedule, inner=inner, seed=own, checkpoint=checkpoint):
            self._note(name, epoch, schedule)
        models.save(net, path, card={"trained_on": data.name, "schedule": asdict(schedule), "inner": repr(inner)})
        checkpoint.unlink(missing_ok=True)
        return net

    def _note(self, name: str, epoch: Epoch, schedule: Schedule) -> None:
        self.progress(f"train {name}", epoch.number, schedule.epochs)
        self.log({"net": name, **asdict(epoch)})

    def build(
        self,
        name: str,
        construction: Construction,
        *,
        like: Dataset,
        recipe: dict[str, object],
        source: Classifier | None = None,
        columns: Sequence[str],
    ) -> Dataset:
        """Return a constructed set, made shard by shard."""
        path = self.work / "sets" / name
        writer = ConstructedWriter(
            path,
            recipe={"construction": name, **recipe},
            provenance={
                "data": like.name,
                "data_sha256": like.sha256,
                "model_sha256": None if source is None else source.hash(),
                "seed": self.seed,
                "torch": torch.__version__,
            },
            total=len(like),
            shape=like.shape,
            classes=like.classes,
            columns=columns,
            shard_rows=max(self.batch_size, 2000),
        )
        for done in construct(construction, writer, batch_size=self.batch_size):
            self.progress(f"build {name}", done, len(like))
        writer.finish()
        return open_constructed(path, verify=False)

    @contextmanager
    def cleaned(self, *, keep_sets: bool) -> Iterator[None]:
        """Remove checkpoints, and the sets unless they are to be kept, once the block has ended well."""
        yield
        if keep_sets and (self.work / "sets").exists():
            shutil.move(self.work / "sets", self.folder / "sets")
        shutil.rmtree(self.work, ignore_errors=True)
