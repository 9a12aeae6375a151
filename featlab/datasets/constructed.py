"""Constructed data sets: written shard by shard, resumed after a kill, verified on opening.

Source of the idea: Ilyas et al. 2019, section 3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor

from featlab.data import check_images, check_labels
from featlab.datasets.dataset import Dataset, check_label_range, named
from featlab.datasets.layout import (
    INDEX,
    MEND,
    Index,
    Plan,
    file_sha256,
    read_index,
    read_shard,
    shard_is_whole,
    shard_name,
    write_index,
    write_shard,
)
from featlab.datasets.shards import Shards
from featlab.types import Images, Labels

SHARD_BYTES: Final = 2**25
RESERVED: Final = ("images", "labels")


class ConstructedWriter:
    """Write a constructed set of `total` images shard by shard; kill it at any moment, make it again, and it goes on.

        writer = ConstructedWriter(path, recipe=..., provenance=..., total=50_000, shape=(3, 32, 32), classes=names)
        for rows in writer.pending():
            images, labels = build(rows)          # a function of `rows` and the recipe alone
            writer.write(rows, images, labels)
        data = writer.finish()

    `recipe` and `provenance` are plain JSON values. Several processes may write different shards of one folder.
    Raises ValueError if the folder holds another set, or one with another recipe.
    """

    def __init__(
        self,
        path: Path,
        *,
        recipe: Mapping[str, object],
        provenance: Mapping[str, object],
        total: int,
        shape: Sequence[int],
        classes: Sequence[str],
        columns: Sequence[str] = (),
        shard_rows: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.plan = Plan(
            recipe=_plain(recipe, "recipe"),
            provenance=_plain(provenance, "provenance"),
            classes=[str(name) for name in classes],
            shape=[int(size) for size in shape],
            columns=list(columns),
            total=total,
            shard_rows=max(1, SHARD_BYTES // (4 * max(1, _product(shape)))) if shard_rows is None else shard_rows,
        )
        _check_plan(self.plan)
        self._claim_folder()

    @property
    def done(self) -> int:
        """How many rows are on the disk."""
        return self.plan.total - sum(len(rows) for rows in self.pending())

    def pending(self) -> tuple[range, ...]:
        """Return the rows of each shard that is not there, or not whole."""
        return tuple(rows for rows in self.plan.ranges() if not shard_is_whole(self.path, self.plan, rows))

    def write(
        self, rows: range, images: Images, labels: Labels, *, columns: Mapping[str, Tensor] = MappingProxyType({})
    ) -> None:
        """Write the shard with these rows, one of `pending()`; ValueError if its content is not as planned."""
        if rows not in tuple(self.plan.ranges()):
            raise ValueError(f"rows must be those of one shard, as pending() gives them; got {rows}")
        tensors = {"images": images, "labels": labels, **columns}
        _check_rows(self.plan, rows, tensors)
        write_shard(self.path, self.plan, rows, {name: value.detach().cpu() for name, value in tensors.items()})

    def finish(self) -> Dataset:
        """Declare the set complete and open it; ValueError if shards are missing."""
        if pending := self.pending():
            raise ValueError(f"{self.path} still lacks {len(pending)} shards, the first with rows {pending[0]}")
        for leftover in (*self.path.glob(".shard-*"), *self.path.glob(f".{INDEX}.*")):
            leftover.unlink()  # A killed process left them.
        shards = [self._row(number, len(rows)) for number, rows in enumerate(self.plan.ranges())]
        write_index(self.path, Index(plan=self.plan, complete=True, shards=shards))
        return open_constructed(self.path, verify=False)

    def _row(self, number: int, rows: int) -> dict[str, object]:
        file = self.path / shard_name(number)
        return {"file": file.name, "rows": rows, "bytes": file.stat().st_size, "sha256": file_sha256(file)}

    def _claim_folder(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path} is a file; a constructed set is a folder")
        if (self.path / INDEX).exists():
            _check_same(self.path, read_index(self.path).plan, self.plan)
            return
        if self.path.exists() and any(not file.name.startswith(f".{INDEX}.") for file in self.path.iterdir()):
            raise ValueError(f"{self.path} holds files but no {INDEX}; choose an empty or new folder")
        write_index(self.path, Index(plan=self.plan))


def open_constructed(path: Path, *, verify: bool = True) -> Dataset:
    """Return a constructed set, its images mapped into memory; recipe and provenance are in `facts`.

    With `verify` every shard is read once, and its SHA-256 and the range of its values are checked.
    Raises FileNotFoundError if there is no set, ValueError naming the shard that is missing, cut off or changed.
    """
    folder = Path(path)
    index = read_index(folder)
    ranges = list(index.plan.ranges())
    if not index.complete or len(index.shards) != len(ranges):
        raise ValueError(f"{folder} is not complete; run the command that builds it again, it goes on where it stopped")
    parts = [read_shard(folder, index.plan, rows)[0] for rows in ranges]
    if verify:
        for number, part in enumerate(parts):
            _verify_shard(folder / shard_name(number), str(index.shards[number].get("sha256")), part["images"])
    return Dataset(
        pixels=Shards([part["images"] for part in parts], index.plan.shard_rows),
        labels=torch.cat([part["labels"] for part in parts]),
        classes=tuple(index.plan.classes),
        name=f"constructed:{folder}",
        columns={name: torch.cat([part[name] for part in parts]) for name in index.plan.columns},
        facts={"recipe": index.plan.recipe, "provenance": index.plan.provenance},
    )


def _verify_shard(file: Path, sha256: str, images: Images) -> None:
    if file_sha256(file) != sha256:
        raise ValueError(f"shard {file.name} of {file.parent} was changed, its SHA-256 is not the recorded one; {MEND}")
    with named(f"shard {file.name} of {file.parent}"):
        check_images(images)


def _check_plan(plan: Plan) -> None:
    if plan.total < 1 or plan.shard_rows < 1:
        raise ValueError(f"a set needs at least one image, and one per shard; got {plan.total} and {plan.shard_rows}")
    if len(plan.shape) != 3 or min(plan.shape) < 1:
        raise ValueError(f"shape must be that of one image, (channels, height, width); got {tuple(plan.shape)}")
    if not plan.classes:
        raise ValueError("a set needs the names of its classes; got none")
    if len(set(plan.columns)) < len(plan.columns) or set(plan.columns) & set(RESERVED):
        raise ValueError(f"columns must have different names other than images and labels; got {plan.columns}")


def _check_rows(plan: Plan, rows: range, tensors: Mapping[str, Tensor]) -> None:
    if set(tensors) != {*RESERVED, *plan.columns}:
        raise ValueError(f"columns must be {plan.columns}, as planned; got {sorted(set(tensors) - set(RESERVED))}")
    images = tensors["images"]
    if images.dtype != torch.float32 or tuple(images.shape) != (len(rows), *plan.shape):
        raise ValueError(
            f"images must be float32 of shape {(len(rows), *plan.shape)}; got {images.dtype} of {tuple(images.shape)}"
        )
    check_images(images)
    for name, column in tensors.items():
        if name != "images":
            check_labels(column, count=len(rows))
    check_label_range(tensors["labels"], classes=len(plan.classes), name="the set")


def _check_same(folder: Path, old: Plan, new: Plan) -> None:
    """Refuse to mix two recipes in one folder, and say where they differ."""
    for item in fields(Plan):
        before, now = getattr(old, item.name), getattr(new, item.name)
        if before == now:
            continue
        where, before, now = _first_difference(item.name, before, now)
        raise ValueError(
            f"{folder} was begun with another recipe: {where} was {before!r} and is {now!r} now; "
            "give the old one to go on, or choose another folder"
        )


def _first_difference(where: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                return _first_difference(f"{where}.{key}", old.get(key), new.get(key))
    return where, old, new


def _plain(value: Mapping[str, object], noun: str) -> dict[str, object]:
    """Return plain JSON values, as they will be read again."""
    try:
        plain: dict[str, object] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{noun} must hold text, finite numbers, lists and dicts only: {error}") from error
    return plain


def _product(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())
