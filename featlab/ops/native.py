"""The compiled libraries: which are there, which were loaded, and why not.

The environment variable FEATLAB_EXT says what to do about them: `0` leaves them alone, `1` (the default) loads what
loads, `require` makes every operator fail on a device whose library is not loaded.
"""

import functools
import importlib
import json
import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from featlab.ops.schema import DEFINITIONS, define

_PACKAGE: Final = Path(__file__).resolve().parent.parent
_MODES: Final = ("0", "1", "require")


@dataclass(frozen=True, kw_only=True)
class Library:
    """One compiled library; `reason` says in one sentence why it was not loaded."""

    device: str
    file: str
    present: bool
    loaded: bool
    reason: str | None


def mode() -> str:
    """Return FEATLAB_EXT: `0`, `1` or `require`."""
    value = os.environ.get("FEATLAB_EXT", "1")
    if value not in _MODES:
        raise ValueError(f"FEATLAB_EXT must be one of {', '.join(_MODES)}; got {value!r}.")
    return value


def build_facts() -> dict[str, Any]:
    """Return what the build wrote down (torch, compilers, architectures); empty where nothing was built."""
    try:
        facts = json.loads((_PACKAGE / "_build.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def host_facts() -> dict[str, Any]:
    """Return what the host module sees: the instruction set in use, and cache sizes in bytes."""
    try:
        host = importlib.import_module("featlab._host")
    except ImportError as error:
        return {"reason": f"featlab._host does not import: {error}"}
    return {"isa": host.isa(), "machine_isa": host.machine_isa(), "caches": host.caches(), "build": host.build()}


def load(device: str) -> Library:
    """Load the library for `device`, and say what came of it; only FEATLAB_EXT itself can raise."""
    path = _PACKAGE / f"_{device}.so"
    reason = _obstacle(path, device)
    if reason is None:
        try:
            torch.ops.load_library(str(path))
        except (OSError, RuntimeError) as error:
            reason = f"{path.name} does not load: {_first_line(error)}"
            warnings.warn(f"featlab runs on plain PyTorch on {device}: {reason}", RuntimeWarning, stacklevel=2)
    return Library(device=device, file=path.name, present=path.is_file(), loaded=reason is None, reason=reason)


def _obstacle(path: Path, device: str) -> str | None:
    """Return why the library need not be tried."""
    if mode() == "0":
        return "FEATLAB_EXT=0 forbids it."
    if not path.is_file():
        failed = build_facts().get("failed", {}).get(path.stem)
        return f"{path.name} was not built{f': {failed}' if failed else ''}."
    if device == "cuda":
        return _cuda_obstacle(torch.version.cuda, build_facts().get("cuda"))
    return None


def _cuda_obstacle(torch_cuda: str | None, built_cuda: str | None) -> str | None:
    if torch_cuda is None:
        return "This PyTorch has no CUDA."
    if built_cuda and built_cuda.split(".")[0] != torch_cuda.split(".")[0]:
        return f"_cuda.so was built with CUDA {built_cuda}, this PyTorch uses CUDA {torch_cuda}; build it anew."
    return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].replace(f"{_PACKAGE}{os.sep}", "")


_LIBRARY: Final = define()
LIBRARIES: Final = {device: load(device) for device in ("cpu", "cuda")}


def fallback_reason(device: str, dtype: torch.dtype) -> str | None:
    """Return why points of this type on this device are served by the reference; None where a kernel serves them."""
    library = LIBRARIES.get(device)
    if library is None:
        return f"there are no kernels for device {device!r}."
    if not library.loaded:
        return library.reason
    if dtype != torch.float32:
        return f"the kernels work on float32 points, these are {str(dtype).removeprefix('torch.')}."
    return None


def is_native(name: str, device: str, dtype: torch.dtype) -> bool:
    """Return whether a kernel serves the call; raise where FEATLAB_EXT=require and its library is missing.

    The first call on a CUDA device that has to run the reference warns, once for each reason.
    """
    reason = fallback_reason(device, dtype)
    if reason is None:
        return True
    if device in LIBRARIES and not LIBRARIES[device].loaded and mode() == "require":
        raise RuntimeError(f"FEATLAB_EXT=require, but {name} has no kernel on {device}: {reason} See `featlab doctor`.")
    if device == "cuda":
        _warn_once(reason)
    return False


@functools.cache
def _warn_once(reason: str) -> None:
    text = f"featlab runs PyTorch operations in place of its CUDA kernels: {reason} See `featlab doctor`."
    warnings.warn(text, RuntimeWarning, stacklevel=4)


def status() -> dict[str, Any]:
    """Return what was built, what was loaded and what runs native, as plain values; `ok` is whether FEATLAB_EXT holds.

    FEATLAB_EXT=require holds where the CPU library is loaded and, if this machine has a CUDA device, the CUDA one too.
    """
    needed = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    served = {device: library.reason or "native" for device, library in LIBRARIES.items()}
    return {
        "mode": mode(),
        "ok": mode() != "require" or all(LIBRARIES[device].loaded for device in needed),
        "libraries": {device: asdict(library) for device, library in LIBRARIES.items()},
        "ops": {name: dict(served) for name in DEFINITIONS},
        "host": host_facts(),
        "build": build_facts(),
    }
