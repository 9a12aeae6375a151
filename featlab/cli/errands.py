"""The work of a task's command, and the folder that it leaves."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import featlab as fl
from featlab.cli.material import Errand, Material
from featlab.cli.progress import shown
from featlab.files import write_tensors, write_text, written_whole
from featlab.following import Trace, follow
from featlab.forms import values_of
from featlab.models import Classifier
from featlab.problem import Problem, Step
from featlab.report.paths import Film, grid
from featlab.report.pictures import save_png, to_png
from featlab.runs import Run


def done(errand: Errand, net: Classifier | None, material: Material, *, animate: bool, batch_size: int) -> Done:
    """Return what becomes of a task's images, done batch after batch with a frame of the trace for every step."""
    options = values_of(errand.maker, errand.chosen, what=f"task {errand.name!r}")
    parts = Done(errand.name, net, material, film=Film() if animate else None)
    with shown() as progress:
        for first in range(0, material.count, batch_size):
            last = min(first + batch_size, material.count)
            given = material.rows(first, last)
            problem = _problem(errand, net, given, options, range(first, last))
            parts.add(problem, given.get("labels"), film=first == 0)
            progress(errand.name, last, material.count)
    return parts


def _problem(
    errand: Errand, net: Classifier | None, given: Mapping[str, Any], options: Mapping[str, Any], examples: range
) -> Problem:
    """Return the problem of a batch, on the model's device."""
    device = torch.device("cpu") if net is None else net.device
    words = {word: value.to(device) if isinstance(value, Tensor) else value for word, value in given.items()}
    if "model" in errand.words:
        words["model"] = net
    if "examples" in inspect.signature(errand.maker).parameters:
        words["examples"] = torch.tensor(examples, device=device)
    problem = errand.maker(**words, **options)
    if not isinstance(problem, Problem):
        raise TypeError(f"task {errand.name!r} must return a featlab.Problem, got {type(problem).__name__}")
    return problem


@dataclass
class Done:
    """A task's images as they come, with what was said of them on the way."""

    task: str
    net: Classifier | None
    material: Material
    film: Film | None
    starts: list[Tensor] = field(default_factory=list)
    found: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    scores: list[Tensor] = field(default_factory=list)

    def add(self, problem: Problem, labels: Tensor | None, *, film: bool) -> None:
        """Solve the problem of a batch and take note of its every frame."""
        fits = labels is not None and len(labels) == len(problem.center)
        trace = Trace(self.net, labels.to(problem.center.device) if labels is not None and fits else None)
        batch = len(self.found)

        def see(step: Step) -> None:
            self.rows.append({"batch": batch, **trace.row(step)})
            if film and self.film is not None:
                self.film.add(step.images)

        found = follow(problem, see)
        with torch.no_grad():
            self.scores.append(torch.stack([problem.objective(problem.center), problem.objective(found)]).cpu())
        self.starts.append(problem.center.cpu())
        self.found.append(found.cpu())
        if trace.labels is not None:
            self.labels.append(trace.labels.cpu())

    def odds(self, images: Tensor) -> Tensor:
        """Return the model's probabilities of all classes."""
        assert self.net is not None
        size = max(len(part) for part in self.found)
        with torch.no_grad(), fl.frozen(self.net):
            parts = [self.net(part.to(self.net.device)).softmax(dim=1).cpu() for part in images.split(size)]
        return torch.cat(parts)

    def write(self, out: Path, terms: Mapping[str, object]) -> dict[str, Any]:
        """Write the folder (pictures, trace, tensors, and what is told of them), and return what is told."""
        starts, found = torch.cat(self.starts), torch.cat(self.found)
        scores = torch.cat(self.scores, dim=1).double()
        result: dict[str, Any] = {
            "task": self.task,
            "count": len(found),
            "steps": max(row["step"] for row in self.rows),
            "score": {"start": float(scores[0].mean()), "end": float(scores[1].mean())},
            "change": float((found - starts).flatten(1).norm(dim=1).mean()),
        }
        tensors, notes = {"images": found, "starts": starts}, []
        if self.net is not None:
            labels, before, after = torch.cat(self.labels), self.odds(starts), self.odds(found)
            tensors |= {"labels": labels, "answers": after.argmax(dim=1)}
            sure = [each.gather(1, labels[:, None])[:, 0] for each in (before, after)]
            result["probability"] = {"start": float(sure[0].mean()), "end": float(sure[1].mean())}
            notes = [f"{self.net.classes[i]} {p:.2f}" for p, i in zip(*after.max(dim=1), strict=True)]
        run = Run.open(out, terms)
        write_tensors(out / "result.safetensors", tensors, {"task": json.dumps(result)})
        write_text(out / "trace.jsonl", "".join(json.dumps(row) + "\n" for row in self.rows))
        result |= self._pictures(out, starts, found, notes)
        run.finish(result)
        return result

    def _pictures(self, out: Path, starts: Tensor, found: Tensor, notes: list[str]) -> dict[str, Any]:
        """Write what can be looked at, and return the names of the files."""
        for place, (start, image) in enumerate(zip(starts, found, strict=True)):
            for name, picture in (("start", start), ("result", image)):
                with written_whole(out / "images" / f"{place:04d}-{name}.png") as temporary:
                    temporary.write_bytes(to_png(picture[None]))
        given = self.material.words
        rows = [
            ("original", self.material.originals),
            ("image", given.get("images")),
            ("reference", given.get("reference")),
        ]
        shown = [(name, images) for name, images in rows if images is not None and not _same(images, starts)]
        columns = ()
        if self.net is not None and "labels" in given and len(given["labels"]) == len(found):
            columns = tuple(self.net.classes[i] for i in given["labels"].tolist())
        picture = grid(self.task, [*shown, ("start", starts), ("result", found)], columns=columns, notes=notes)
        files: dict[str, Any] = {"grid": save_png(picture, out).name, "images": "images"}
        if self.film is not None:
            with written_whole(out / "path.webp") as temporary:
                temporary.write_bytes(self.film.webp(found))
            files["path"] = "path.webp"
        return files


def _same(images: Tensor, others: Tensor) -> bool:
    return images.shape == others.shape and bool((images == others).all())
