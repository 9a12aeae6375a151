"""The peers: installed or not, imported when they are needed; none of their code is here."""

from __future__ import annotations

import importlib.util
import sys
import types
import warnings
from typing import Any


class MissingPeer(Exception):  # noqa: N818 - it is a fact of the machine, not an error of the program
    """A peer cannot be used, and why."""


def load(module: str) -> Any:
    """Import a module of a peer; its warnings about the present are not ours to show."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if module.startswith("adv_lib"):
            stand_in_for_visdom()
        try:
            return importlib.import_module(module)
        except ImportError as error:
            raise MissingPeer(f"{module} does not import: {error}") from error


def stand_in_for_visdom() -> None:
    """Let adv_lib import without visdom, whose plots it needs only when it is given a logger."""
    if "visdom" not in sys.modules and importlib.util.find_spec("visdom") is None:
        sys.modules["visdom"] = types.ModuleType("visdom")
