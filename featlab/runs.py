"""Work that goes on after an interruption: a folder that knows what it holds, and a file of what is known so far."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from featlab.files import read_tensors, write_json, write_tensors

Terms = Mapping[str, object]
"""Everything that a result is a function of, as JSON values: work done under other terms is not gone on with."""


@dataclass
class Ledger:
    """Columns with one value per example, filled in as work goes on, and kept in a file where there is one.

    The file is written whole or not at all, so what it holds after a kill is true; what is unknown is done again.
    """

    path: Path | None
    terms: Terms
    columns: dict[str, Tensor] = field(default_factory=dict)
    every: float = 1.0
    saved: float = 0.0

    @staticmethod
    def open(path: Path | None, terms: Terms, *, every: float = 1.0) -> Ledger:
        """Return what a file holds, if it was made under the same terms; saved at most once in `every` seconds.

        Raises ValueError, naming what differs, for a file made under other terms.
        """
        terms = plain(terms)
        if path is None or not path.exists():
            return Ledger(path, terms, every=every)
        columns, facts = read_tensors(path)
        refuse_other_terms(path, json.loads(facts.get("terms", "{}")), terms)
        return Ledger(path, terms, columns, every)

    def column(self, name: str, count: int, *, unknown: float, dtype: torch.dtype) -> Tensor:
        """Return a column to fill in place: as far as it is known, or `unknown` everywhere."""
        if name not in self.columns:
            self.columns[name] = torch.full((count,), unknown, dtype=dtype)
        return self.columns[name]

    def save(self, *, now: bool = False) -> None:
        """Write the columns if it is time to, or `now`."""
        if self.path is None or not (now or time.monotonic() - self.saved >= self.every):
            return
        write_tensors(self.path, self.columns, {"terms": json.dumps(self.terms, sort_keys=True)})
        self.saved = time.monotonic()


@dataclass(frozen=True)
class Run:
    """A folder with one run: `run.json` (terms and result), `metrics.jsonl` (a line per finished part), and its files.

    The result is None until the run is finished.
    """

    folder: Path
    terms: Terms
    result: Mapping[str, Any] | None

    @staticmethod
    def open(folder: Path, terms: Terms) -> Run:
        """Begin a run in a new or empty folder, or go on with the same one.

        Raises ValueError, naming what differs, for a folder of another run, and for one that holds anything else.
        """
        terms, marker = plain(terms), folder / "run.json"
        if marker.exists():
            known = _read(marker)
            refuse_other_terms(folder, known["terms"], terms)
            _mend(folder / "metrics.jsonl")
            return Run(folder, terms, known["result"])
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty and holds no run; choose another folder")
        write_json(marker, {"terms": terms, "result": None})
        return Run(folder, terms, None)

    def log(self, row: Mapping[str, object]) -> None:
        """Add a line to `metrics.jsonl`."""
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(row)) + "\n")

    def finish(self, result: Mapping[str, object]) -> None:
        """Write the result, with which the run is finished."""
        write_json(self.folder / "run.json", {"terms": self.terms, "result": plain(result)})


def plain(terms: Mapping[str, object]) -> dict[str, Any]:
    """Return values as JSON gives them back, so that what was written equals what would be."""
    values: dict[str, Any] = json.loads(json.dumps(dict(terms)))
    return values


def refuse_other_terms(place: Path, known: Terms, asked: Terms) -> None:
    """Refuse to go on with what was done under other terms: one sentence names the first that differs."""
    for name in {**known, **asked}:
        if known.get(name) != asked.get(name):
            raise ValueError(
                f"{place} holds a run with other arguments ({name} was {_short(known.get(name))} and is "
                f"{_short(asked.get(name))} now); give the same ones to go on, choose another place, or delete it"
            )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _read(marker: Path) -> dict[str, Any]:
    """Return what a run's marker says; one that is not a run's is refused."""
    try:
        known = json.loads(marker.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{marker} is not whole JSON ({error}); choose another folder, or delete it") from error
    if not (isinstance(known, dict) and {"terms", "result"} <= known.keys()):
        raise ValueError(f"{marker} is that of another command; choose another folder, or delete it")
    return known


def _mend(path: Path) -> None:
    """Cut off a last line that a kill left unfinished."""
    if path.exists():
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            path.write_bytes(whole)
