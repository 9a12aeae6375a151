"""Weights from files that others wrote, read as data: no pickled code runs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from featlab.files import read_tensors


def weights_of(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a checkpoint: a state dictionary, or one under `model` or `state_dict`.

    A missing file is a FileNotFoundError. A ValueError refuses what is damaged, holds no weights, or would have to run
    pickled code to be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.suffix == ".safetensors":
        return read_tensors(path)[0]
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # A damaged pickle can fail in any way; whatever it is, the file is refused.
        raise ValueError(refusal(path)) from error
    if isinstance(content, dict):
        content = content.get("model", content.get("state_dict", content))
    if not (isinstance(content, dict) and content and all(isinstance(each, Tensor) for each in content.values())):
        raise ValueError(f"{path} has no weights: neither named tensors nor such under 'model' or 'state_dict'")
    return content


def refusal(path: Path) -> str:
    """Say why a file is not read, and how to convert it."""
    try:
        wanted = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # Not even that can be told of a damaged or an old file.
        wanted = []
    needs = f"it asks to run {', '.join(sorted(wanted))}" if wanted else "it is damaged or asks to run pickled code"
    return (
        f"{path} cannot be read as plain weights: {needs}; if you trust it, convert it where its packages are "
        "installed: torch.save({'model': torch.load(OLD, weights_only=False)['model']}, NEW)"
    )
