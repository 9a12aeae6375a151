"""The emulated libraries: compiled once per test session, whatever the number of workers."""

import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import emulator
from emulator import Emulator

ROOT = Path(__file__).resolve().parents[2]
ORDERS = {"by thread": 0, "backwards": 1, "shuffled": 20}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Path]:
    """Return what compiles sources under a name, unless another worker has."""
    if not sys.platform.startswith("linux") or shutil.which("c++") is None:
        pytest.skip("the emulation needs Linux and a C++ compiler")
    own = tmp_path_factory.getbasetemp()
    base = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def build(name: str, sources: Path) -> Path:
        library = base / f"emulated-{name}" / "emulated.so"
        with (base / f"emulated-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not library.exists():
                shutil.rmtree(library.parent, ignore_errors=True)
                emulator.build(sources, library.parent)
        return library

    return build


@pytest.fixture(scope="session")
def library(built: Callable[[str, Path], Path]) -> Emulator:
    """The kernels of csrc/cuda."""
    return emulator.load(built("csrc", ROOT / "csrc"))


@pytest.fixture(params=ORDERS)
def kernels(library: Emulator, request: pytest.FixtureRequest) -> Emulator:
    """The kernels of csrc/cuda, with each order in which threads take turns."""
    library.set(order=ORDERS[request.param])
    return library
