"""How far the set moves each layer."""

from __future__ import annotations

import torch
from torch import nn

from featlab.audit.findings import LayerRow, Layers
from featlab.audit.subject import Subject
from featlab.datasets import Dataset
from featlab.features.layers import layer_robustness
from featlab.models import Layer, layer_shapes
from featlab.models.layers import head_of, layers_of
from featlab.models.where import LOGITS, PENULTIMATE

MOST = 4
"""So many blocks are measured, evenly spread over the net, besides the last two layers."""


def layers(subject: Subject) -> Layers:
    """Return layer robustness of a handful of blocks, of what the head reads, and of the logits."""
    names = [*blocks(subject.model), *([PENULTIMATE] if subject.has_head else []), LOGITS]
    if subject.address not in names:
        names.insert(-1, subject.address)
    data = subject.some.subset(min(64, len(subject.some)))
    rows = []
    for number, name in enumerate(names):
        subject.progress("layers", number, len(names))
        rows.append(_row(subject, name, data))
    subject.progress("layers", len(names), len(names))
    return Layers(len(data), tuple(rows))


def _row(subject: Subject, name: str, data: Dataset) -> LayerRow:
    extract = Layer(subject.model, name)
    first = data.images(torch.zeros(1, dtype=torch.int64)).to(subject.model.device)
    count = extract(first).shape[1]
    try:
        moved = layer_robustness(
            extract,
            data,
            within=subject.main,
            batch_size=subject.batch_size,
            seed=subject.seed,
        )
    except ValueError as error:
        return LayerRow(name, count, None, str(error))
    return LayerRow(name, count, moved, "")


def blocks(model: nn.Module) -> list[str]:
    """Return a few of the blocks that a net is a sequence of, in the order of its definition.

    Its children, or where these are few the children of the largest: those with parameters that run once and answer
    with a tensor.
    """
    usable = {row.name for row in layer_shapes(model) if row.runs == 1 and row.shape and row.parameters}
    known = layers_of(model)
    head = head_of(model) if _has_head(model) else None
    found = [name for name in known if "." not in name]
    while sum(name in usable for name in found) < MOST:
        size = {name: sum(each.numel() for each in known[name].parameters()) for name in found}
        largest = max((name for name in found if any(known[name].children())), key=lambda name: size[name], default="")
        if not largest:
            break
        inner = [f"{largest}.{name}" for name, _ in known[largest].named_children()]
        place = found.index(largest)
        found[place : place + 1] = inner
    kept = [name for name in found if name in usable and not (head and head in known[name].modules())]
    step = max(1, len(kept) - 1) / max(1, MOST - 1)
    return kept if len(kept) <= MOST else [kept[round(number * step)] for number in range(MOST)]


def _has_head(model: nn.Module) -> bool:
    try:
        head_of(model)
    except ValueError:
        return False
    return True
