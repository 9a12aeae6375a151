"""Classifiers as files: weights in safetensors, and everything that makes them a classifier in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from featlab.files import read_tensors, write_tensors
from featlab.models.architecture import Architecture
from featlab.models.building import build_net
from featlab.models.classifier import Classifier, fingerprint
from featlab.names import lookup

RECORD = "featlab"
"""The entry of the header that holds the record, a JSON object."""

VERSION = 1
"""Of the record's layout."""


def save(
    classifier: Classifier,
    path: str | Path,
    *,
    card: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a classifier as one safetensors file, whole or not at all.

    `card` is any JSON object: recipe, data, accuracies, seeds. `dtype` stores the floating weights in another type,
    such as torch.float16 for a small file. A net that does not say how it was built is a ValueError.
    """
    if classifier.architecture is None:
        raise ValueError(
            f"{classifier.label} cannot be saved, because nothing says how to build its net again; build it with "
            "featlab.models.build, or pass architecture=Architecture(name, arguments) to Classifier"
        )
    target = Path(path)
    if target.suffix != ".safetensors":
        raise ValueError(f"a classifier is saved as NAME.safetensors; got {str(path)!r}")
    state = {name: stored(value, dtype) for name, value in classifier.net.state_dict().items()}
    record = record_of(classifier, card=dict(card or {}))
    record["sha256"] = fingerprint(state, identity(record))
    write_tensors(target, state, {RECORD: json.dumps(record, sort_keys=True, allow_nan=False)})


def stored(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Return an own copy (weights may share memory, files cannot) in the type to be stored."""
    copy = value.detach().to("cpu", copy=True).contiguous()
    return copy.to(dtype) if dtype is not None and copy.is_floating_point() else copy


def record_of(classifier: Classifier, *, card: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything about a classifier but its weights, as a JSON object."""
    return {
        "version": VERSION,
        "name": classifier.name,
        "architecture": classifier.architecture.record() if classifier.architecture else None,
        "normalization": classifier.normalization(),
        "classes": list(classifier.classes),
        "shape": list(classifier.shape),
        "card": card,
    }


def identity(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a record that `Classifier.hash` covers."""
    return {"normalization": record["normalization"], "architecture": record["architecture"]}


def load_file(path: Path) -> Classifier:
    """Read what `save` wrote, on the CPU, in float32 (float64 where that was saved).

    A missing file is a FileNotFoundError; one that is cut off, altered or no classifier is a ValueError.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    state, facts = read_tensors(path)
    record = parse(path, facts.get(RECORD))
    if fingerprint(state, identity(record)) != record["sha256"]:
        raise ValueError(f"the weights in {path} are not those that were saved (their SHA-256 differs); get it again")
    try:
        classifier = assemble(record, state)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"the header of {path} does not fit its weights ({error}); save the classifier again"
        ) from error
    return classifier.eval()


def assemble(record: Mapping[str, Any], state: Mapping[str, Tensor]) -> Classifier:
    """Return the classifier that a record and weights describe."""
    architecture = Architecture.from_record(record["architecture"])
    net = build_net(architecture)
    if any(value.dtype == torch.float64 for value in state.values()):
        net = net.double()
    net.load_state_dict(dict(state))
    normalization = record["normalization"]
    return Classifier(
        net,
        mean=normalization["mean"],
        std=normalization["std"],
        resize=normalization["resize"],
        classes=record["classes"],
        shape=record["shape"],
        name=record["name"],
        architecture=architecture,  # As saved, so that the hash stays.
    )


def read_card(path: str | Path) -> dict[str, Any]:
    """Return a saved classifier's record without reading its weights: architecture, classes, sha256, card."""
    place = Path(path)
    if not place.is_file():
        raise FileNotFoundError(f"there is no file {place}")
    try:
        with safe_open(place, framework="pt") as file:
            facts = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{place} is not a whole safetensors file ({error})") from error
    return parse(place, facts.get(RECORD))


def parse(path: Path, text: str | None) -> dict[str, Any]:
    """Return the record in a header; a header without one, or with another version's, is a ValueError."""
    if text is None:
        raise ValueError(f"{path} holds weights only, no featlab classifier; write it with featlab.save")
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"the header of {path} is damaged ({error}); get the file again") from error
    if not isinstance(record, dict) or record.get("version") != VERSION:
        version = record.get("version") if isinstance(record, dict) else None
        raise ValueError(f"{path} has record version {version!r}, this featlab reads {VERSION}; save it again")
    missing = {"architecture", "normalization", "classes", "shape", "name", "sha256", "card"} - record.keys()
    if missing:
        raise ValueError(f"the header of {path} lacks {', '.join(sorted(missing))}; save the classifier again")
    return record


def zoo() -> dict[str, Path]:
    """Return the classifiers that come with featlab, by name."""
    folder = Path(str(resources.files("featlab"))) / "zoo"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def zoo_file(name: str) -> Path:
    """Return the file of a zoo classifier; an unknown name is a ValueError that names the nearest."""
    shipped = zoo()
    if not shipped:
        raise ValueError(
            f"this featlab ships no trained classifiers, so there is no zoo:{name}; train one and use file:"
        )
    return lookup("a zoo classifier", name, shipped)
