"""Plugins that begin complete: a distribution from templates, written whole or not at all."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from featlab.names import lookup
from featlab.plugins import KINDS, NOUNS, registry

COMMON: Final[Mapping[str, str]] = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    ".gitignore": "gitignore",
    "src/{module}/__init__.py": "hooks.py",
}
"""Each file of every plugin, and the template that it is made from."""

FILES: Final[Mapping[str, Mapping[str, str]]] = {
    "threat-model": {"src/{module}/models.py": "threat_model.py", "tests/test_{module}.py": "test_threat_model.py"},
    "extractor": {"src/{module}/features.py": "extractor.py", "tests/test_{module}.py": "test_extractor.py"},
    "task": {"src/{module}/tasks.py": "task.py", "tests/test_{module}.py": "test_task.py"},
    "dataset": {"src/{module}/data.py": "dataset.py", "tests/test_{module}.py": "test_dataset.py"},
    "kernel": {
        "setup.py": "setup.py",
        "src/{module}/kernel.cpp": "kernel.cpp",
        "src/{module}/kernel.py": "kernel.py",
        "src/{module}/models.py": "kernel_model.py",
        "tests/test_{module}.py": "test_kernel.py",
    },
}
"""The files of each kind of plugin beside the common ones."""

HOOKS: Final[Mapping[str, str]] = {
    "threat-model": "threat_models",
    "extractor": "extractors",
    "task": "tasks",
    "dataset": "datasets",
    "kernel": "threat_models",
}
"""The kind of entry that each kind of plugin yields."""


def write(name: str, *, kind: str, out: Path) -> Path:
    """Write a plugin called `name` into the folder `out`, and return its folder.

    It is written beside its place and moved there whole. Raises ValueError for a name that cannot be one of a
    distribution and of a module, or that is taken; FileExistsError where its folder is there already.
    """
    files = {**COMMON, **lookup("the kind of a plugin", kind, FILES)}
    check_name(name, kind=kind)
    folder = out / name
    if folder.exists() or folder.is_symlink():
        raise FileExistsError(f"{folder} is there already; remove it, or give another name or --out")
    words = _words(name, kind)
    texts = {path.format(**words): _rendered(template, words) for path, template in files.items()}
    out.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=out))
    try:
        for path, text in texts.items():
            (unfinished / path).parent.mkdir(parents=True, exist_ok=True)
            (unfinished / path).write_text(text, encoding="utf-8")
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def check_name(name: str, *, kind: str) -> None:
    """Refuse a name that a distribution, a module or an entry of this kind cannot have, or that another has."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ValueError(
            "the name of a plugin is words of lower-case letters and digits with '-' between them, such as demo-set; "
            f"got {name!r}"
        )
    module, entries = name.replace("-", "_"), HOOKS[kind]
    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        raise ValueError(f"{module!r} is a word of Python, so no plugin can have it as its name; choose another")
    if importlib.util.find_spec(module) is not None:
        raise ValueError(f"a module {module!r} is installed already; choose another name")
    if name in registry().names(entries):
        provider = registry().find(entries, name).provider
        raise ValueError(f"plugin {provider} has a {NOUNS[entries]} {name!r} already; choose another name")


def _words(name: str, kind: str) -> dict[str, str]:
    """Return what the templates put in place of their names."""
    entries = HOOKS[kind]
    assert entries in KINDS
    module = name.replace("-", "_")
    return {
        "name": name,
        "module": module,
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "kind": kind,
        "noun": NOUNS[entries],
        "hook": f"featlab_{entries}",
    }


def _rendered(template: str, words: Mapping[str, str]) -> str:
    environment = Environment(  # noqa: S701  # Files of code and text, not pages.
        loader=PackageLoader("featlab.scaffold"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"{template}.jinja").render(**words)
