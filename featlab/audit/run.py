"""An audit, part by part: each is written whole where there is a folder, and not done again when the run goes on."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from featlab import models
from featlab.audit.attacked import attacked, flipped, spectrum
from featlab.audit.explained import mistakes, saliency
from featlab.audit.features import features, seen
from featlab.audit.findings import (
    Attacked,
    Audit,
    Features,
    Flipped,
    Inverted,
    Layers,
    Mistakes,
    Saliency,
    Sanity,
    Seen,
    Spectrum,
    Strength,
)
from featlab.audit.inverted import inverted
from featlab.audit.layers import layers
from featlab.audit.storing import load, save
from featlab.audit.strength import sanity, strength
from featlab.audit.subject import Subject
from featlab.models.loading import CARDED, Spec

Parts = Mapping[str, Any]

STAGES: Mapping[str, tuple[type, Callable[[Subject, Parts], object]]] = {
    "strength": (Strength, lambda subject, _: strength(subject)),
    "sanity": (Sanity, lambda subject, _: sanity(subject)),
    "features": (Features, lambda subject, _: features(subject)),
    "seen": (Seen, lambda subject, parts: seen(subject, parts["features"])),
    "inverted": (Inverted, lambda subject, _: inverted(subject)),
    "layers": (Layers, lambda subject, _: layers(subject)),
    "attacked": (Attacked, lambda subject, _: attacked(subject)),
    "flipped": (Flipped, lambda subject, parts: flipped(subject, parts["attacked"], parts["features"])),
    "saliency": (Saliency, lambda subject, _: saliency(subject)),
    "spectrum": (Spectrum, lambda subject, parts: spectrum(subject, parts["attacked"])),
    "mistakes": (Mistakes, lambda subject, parts: mistakes(subject, parts["features"])),
}
"""The parts in order: what each finds, and how; later ones may use earlier ones."""


def audit(
    subject: Subject,
    folder: Path | None = None,
    *,
    label: str = "",
    note: Callable[[Mapping[str, object]], None] = lambda row: None,
) -> Audit:
    """Return everything that is found about one classifier.

    Parts are kept in `folder` and taken from there if they were made under the same terms; `note` is told of each part
    that was made now. A model that answers NaN is a ValueError before anything is written.
    """
    digest = digest_of(subject)
    parts: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    subject.refuse_broken()
    for number, (name, (kind, make)) in enumerate(STAGES.items()):
        subject.progress("parts", number, len(STAGES))
        path = None if folder is None else folder / f"{name}.safetensors"
        kept: tuple[Any, float] | None = None if path is None else load(path, kind, terms=digest)
        if kept is None:
            begun = time.monotonic()
            parts[name], seconds[name] = make(subject, parts), round(time.monotonic() - begun, 2)
            if path is not None:
                save(path, parts[name], terms=digest, seconds=seconds[name])
            note({"model": label, "part": name, "seconds": seconds[name]})
        else:
            parts[name], seconds[name] = kept
    subject.progress("parts", len(STAGES), len(STAGES))
    return Audit(label=label, classes=subject.model.classes, conditions=conditions(subject), seconds=seconds, **parts)


def digest_of(subject: Subject) -> str:
    """Return the SHA-256 of the terms: parts with another one are made anew."""
    return hashlib.sha256(json.dumps(terms(subject), sort_keys=True).encode()).hexdigest()


def terms(subject: Subject) -> dict[str, Any]:
    """Return everything that the findings are a function of, as JSON values."""
    known = conditions(subject)
    return {name: known[name] for name in known if name != "card"}


def conditions(subject: Subject) -> dict[str, Any]:
    """Return the model, the data, the threat models, the limits, the versions: what the report says it stands on."""
    return {
        "model": subject.spec,
        "model_sha256": subject.model.hash(),
        "model_source_sha256": _source(subject.spec),
        "card": _card(subject.spec),
        "layer": subject.address,
        "data": subject.test.name,
        "split": subject.test.split,
        "test_images": len(subject.test),
        "test_sha256": subject.test.sha256,
        "train_images": len(subject.train),
        "train_sha256": subject.known.sha256,
        "threat_models": list(subject.specs),
        "threat_models_in_full": [repr(each) for each in subject.within],
        "suite": subject.suite,
        "engine": repr(subject.quick[0]),
        "engine_note": subject.quick[1],
        "limits": asdict(subject.limits),
        "batch_size": subject.batch_size,
        "seed": subject.seed,
        "device": str(subject.model.device),
        "versions": {"python": sys.version.split()[0], "torch": torch.__version__, "featlab": _version()},
    }


def _source(spec: str) -> str | None:
    """Return the SHA-256 of a user's own file, whose code is part of the model; None for other models."""
    parts = Spec.parse(spec)
    if parts.scheme != "factory":
        return None
    return hashlib.sha256(Path(parts.target.rpartition(":")[0]).read_bytes()).hexdigest()


def _card(spec: str) -> Any:
    """Return what a saved net says of how it was made; None for models that have no card."""
    return models.card(spec)["card"] if Spec.parse(spec).scheme in CARDED else None


def _version() -> str:
    from featlab import __version__

    return __version__
