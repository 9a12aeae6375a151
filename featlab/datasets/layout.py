"""The on-disk format of a constructed data set: a folder with `dataset.json` and safetensors shards.

`dataset.json` holds what is needed to make the set again (the plan), and once the set is complete a table of its shards
with their SHA-256. Its own checksum shows that nobody changed it. Every shard carries the plan's hash, its rows and the
hash of its tensors, so that a shard is known to be whole without the table: this makes an interrupted build resumable.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from featlab.files import write_json, write_tensors

FORMAT: Final = "featlab constructed data set"
VERSION: Final = 1
INDEX: Final = "dataset.json"
FACTS: Final = "featlab"
DTYPES: Final = {"float32": torch.float32}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a constructed set is to be: everything that its images are a function of, and their arrangement."""

    recipe: Mapping[str, object]
    provenance: Mapping[str, object]
    classes: list[str]
    shape: list[int]
    columns: list[str]
    total: int
    shard_rows: int
    dtype: str = "float32"

    @property
    def sha256(self) -> str:
        """The hash of the plan, which every shard carries."""
        return _hash(asdict(self))

    def ranges(self) -> Iterator[range]:
        """Yield the rows of each shard."""
        for first in range(0, self.total, self.shard_rows):
            yield range(first, min(first + self.shard_rows, self.total))


@dataclass(frozen=True, kw_only=True)
class Index:
    """The content of `dataset.json`."""

    plan: Plan
    complete: bool = False
    shards: list[dict[str, object]] = field(default_factory=list)


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"shard-{number:05d}.safetensors"


def write_index(folder: Path, index: Index) -> None:
    """Write `dataset.json` whole, with its checksum."""
    content = {"format": FORMAT, "version": VERSION, **asdict(index)}
    write_json(folder / INDEX, {**content, "checksum": _hash(content)})


def read_index(folder: Path) -> Index:
    """Return the content of `dataset.json`.

    Raises FileNotFoundError if there is none, ValueError if it is no JSON, of a later version, or was changed.
    """
    path = folder / INDEX
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is no constructed data set: it holds no {INDEX}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not whole JSON ({error}); restore it or build the set again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} does not describe a constructed data set: its format is not {FORMAT!r}")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path} has format version {content.get('version')}, this featlab reads {VERSION}; upgrade it"
        )
    if content.pop("checksum", None) != _hash(content):
        raise ValueError(f"{path} was changed after it was written; restore it or build the set again")
    return _parse(content, path)


def write_shard(folder: Path, plan: Plan, rows: range, tensors: Mapping[str, Tensor]) -> None:
    """Write one shard whole."""
    facts = {"plan": plan.sha256, "first": rows.start, "rows": len(rows), "sha256": tensors_sha256(tensors)}
    # One fact only, as text: the order of several in the file is not fixed, and equal sets shall be equal files.
    write_tensors(folder / shard_name(rows.start // plan.shard_rows), tensors, {FACTS: json.dumps(facts)})


def read_shard(folder: Path, plan: Plan, rows: range) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Return a shard's tensors, mapped into memory, and its facts; ValueError names a shard that is not as planned."""
    path = folder / shard_name(rows.start // plan.shard_rows)
    if not path.is_file():
        raise ValueError(f"shard {path.name} of {folder} is missing; {MEND}")
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get(FACTS, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"shard {path.name} of {folder} is cut off or corrupt ({error}); {MEND}") from error
    found = {name: (value.dtype, tuple(value.shape)) for name, value in tensors.items()}
    if found != shard_types(plan, len(rows)) or not isinstance(facts, dict) or facts.get("plan") != plan.sha256:
        raise ValueError(f"shard {path.name} of {folder} belongs to another set; {MEND}")
    return tensors, facts


def shard_types(plan: Plan, rows: int) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Return the type and shape of each tensor in a shard of some rows."""
    columns = {name: (torch.int64, (rows,)) for name in ("labels", *plan.columns)}
    return {"images": (DTYPES[plan.dtype], (rows, *plan.shape)), **columns}


def shard_is_whole(folder: Path, plan: Plan, rows: range) -> bool:
    """Return whether a shard is there with the content that it was written with."""
    try:
        tensors, facts = read_shard(folder, plan, rows)
    except ValueError:
        return False
    return facts.get("first") == rows.start and facts.get("sha256") == tensors_sha256(tensors)


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of named tensors, in the order of their names."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        sha.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\n".encode())
        sha.update(tensors[name].contiguous().numpy().data)
    return sha.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


MEND: Final = "run the command that built the set again, it rebuilds only what is damaged"


def _parse(content: Mapping[str, object], path: Path) -> Index:
    plan, complete, shards = (content.get(key) for key in ("plan", "complete", "shards"))
    if not isinstance(plan, dict) or set(plan) != {item.name for item in fields(Plan)} or not isinstance(shards, list):
        raise ValueError(f"{path} lacks entries of format version {VERSION}; restore it or build the set again")
    if plan["dtype"] not in DTYPES:
        raise ValueError(f"{path}: dtype must be one of {', '.join(DTYPES)}; got {plan['dtype']!r}")
    return Index(plan=Plan(**plan), complete=complete is True, shards=shards)


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()
